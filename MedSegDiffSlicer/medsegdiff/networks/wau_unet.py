"""U-Net with Window Attention Upsample: the decoder's features are upsampled by what the skips ask of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers.factories import Conv, Pool
from monai.networks.nets.basic_unet import TwoConv
from monai.networks.nets.swin_unetr import window_partition, window_reverse
from torch import Tensor, cat, nn
from torch.nn import functional as F

from .attention import LINEAR, Attention, FeedForward, checked_dims

_ACT = ("leakyrelu", {"negative_slope": 0.01, "inplace": True})
_NORM = ("instance", {"affine": True})


class WAUUNet(nn.Module):
    """The classic U-Net whose upsampling is cross attention in windows.

    image: (B, in_channels, *spatial) of any size that leaves 2 places at the deepest level -> logits (B, out_channels,
      *spatial).
    channels: of each level, multiples of `heads` but for the last; sizes halve from level to level.
    window: places along the edge of a window of the lower of two levels; twice as many at the higher one.
    heads: of the attention.  dropout: of attention and multilayer perceptrons.
    spatial_dims: 2 or 3.  Raises ValueError for other arguments.

    Window Attention Upsample (Li et al., "More than Encoder: Introducing Transformer Decoder to Upsample", 2021,
    arXiv:2106.10637), after its abstract; its full text was not at hand and there is no code. From there: each
    upsampling is the attention decoder of a transformer, conditioned on the skip's detail, with bilinear upsampling as
    its residual, and attention stays in local windows. Not settled by it, and here plain: queries are the skip's
    places, keys and values the places of the lower level in the same window, brought to the skip's channels by one
    convolution; a learned offset for each pair of places of a window; then a perceptron of twice the width; the U-Net
    is of two convolutions a level with instance norm, the upsampled features join the skip as in any U-Net.
    """

    diffusion = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spatial_dims: int = 3,
        channels: Sequence[int] = (32, 64, 128, 256, 512),
        window: int = 4,
        heads: int = 4,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.spatial_dims = dims = checked_dims(spatial_dims)
        if len(channels) < 2 or min(in_channels, out_channels, window, *channels) < 1:
            raise ValueError("two or more channels, in_channels, out_channels and window of 1 or more are needed")

        def convolutions(cin: int, cout: int) -> TwoConv:
            return TwoConv(dims, cin, cout, _ACT, _NORM, bias=False)

        steps = list(zip(channels, channels[1:]))
        self.encode = nn.ModuleList(convolutions(a, b) for a, b in zip([in_channels, *channels], channels))
        self.pool = Pool[Pool.MAX, dims](2, ceil_mode=True)
        self.up = nn.ModuleList(
            WindowAttentionUpsample(dims, low, high, window, heads, dropout) for high, low in reversed(steps)
        )
        self.decode = nn.ModuleList(convolutions(2 * high, high) for high, _ in reversed(steps))
        self.leave = Conv[Conv.CONV, dims](channels[0], out_channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        levels = []
        for encode in self.encode:
            levels.append(encode(self.pool(levels[-1]) if levels else image))
        x = levels.pop()
        for up, decode in zip(self.up, self.decode):
            skip = levels.pop()
            x = decode(cat([up(x, skip), skip], 1))
        return self.leave(x)


class WindowAttentionUpsample(nn.Module):
    """x (B, low, *grid), skip (B, high, *size), size twice the grid or one less -> (B, high, *size)."""

    def __init__(self, dims: int, low: int, high: int, window: int, heads: int, dropout: float):
        super().__init__()
        self.window = window
        self.enter = Conv[Conv.CONV, dims](low, high, 1)
        self.norm_skip, self.norm_low, self.norm_told = nn.LayerNorm(high), nn.LayerNorm(high), nn.LayerNorm(high)
        self.attention = Attention(high, heads, dropout)
        self.offset = nn.Parameter(torch.zeros(heads, (2 * window) ** dims, window**dims))
        self.mlp = FeedForward(high, 2 * high, dropout)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.enter(x)
        size, dims = skip.shape[2:], skip.ndim - 2
        padded = [-(-n // self.window) * self.window for n in x.shape[2:]]
        windows, double = (self.window,) * dims, (2 * self.window,) * dims
        asked = window_partition(_padded(self.norm_skip(skip.movedim(1, -1)), [2 * n for n in padded]), double)
        given = window_partition(_padded(self.norm_low(x.movedim(1, -1)), padded), windows)
        told = self.attention(asked, given, self._bias(x, padded))
        told = window_reverse(told.unflatten(1, double), double, [len(x), *(2 * n for n in padded)])
        told = told[(slice(None), *(slice(n) for n in size))]
        told = told + F.interpolate(x, size=size, mode=LINEAR[dims], align_corners=False).movedim(1, -1)
        return (told + self.mlp(self.norm_told(told))).movedim(-1, 1)

    def _bias(self, x: Tensor, padded: Sequence[int]) -> Tensor:
        """The offsets of the pairs of places; those of padding let nothing through. (1 or B * windows, heads, N, M)."""
        if list(padded) == list(x.shape[2:]):
            return self.offset[None]
        there = _padded(torch.ones(1, *x.shape[2:], 1, device=x.device), padded)
        there = window_partition(there, (self.window,) * (x.ndim - 2))[:, None, None, :, 0]
        return self.offset[None] + torch.where(there > 0, 0.0, float("-inf")).repeat(len(x), 1, 1, 1)


def _padded(x: Tensor, size: Sequence[int]) -> Tensor:
    """(B, *grid, C) -> (B, *size, C), zeros at the end of the axes."""
    ends = [end for have, want in zip(reversed(x.shape[1:-1]), reversed(list(size))) for end in (0, want - have)]
    return F.pad(x, (0, 0, *ends)) if any(ends) else x
