"""MPU-Net: a U-Net with position attention at its bottom, attention gates, and one opinion from each scale."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import torch
from monai.networks.layers.factories import Conv, Norm, Pool
from monai.networks.nets.attentionunet import AttentionBlock
from torch import Tensor, cat, nn
from torch.nn import functional as F

from .attention import LINEAR, checked_dims, map_of, tokens_of
from .supervision import Supervised

_COARSER = 0.4


class MPUNet(nn.Module):
    """Segmentation as the mean of what the decoder's four scales say.

    image: (B, in_channels, *spatial), sizes divisible by 8 -> logits (B, out_channels, *spatial), whose softmax is the
      mean of the four scales' probabilities.
    channels: of the four levels, multiples of 4; sizes halve from level to level. The bottom has the last level's size.
    dropout: share of the values that are dropped after the stages.
    spatial_dims: 2 or 3.  Raises ValueError for other arguments.

    MPU-Net (Yu et al., 2023, arXiv:2307.05799), with the numbers of the authors' code (Stefan-Yu404/MP-UNet). The
    bottom's features are a sequence, of which each place attends to all (Position Attention Module of DANet, Fu et al.,
    CVPR 2019, arXiv:1809.02983); gates let pass what the level below asks for; each level is mapped to the labels.
    What differs: 2D, any number of channels and labels; logits, where the code gives probabilities; the three coarser
    scales count 0.4 times as much as the mean in all of training, in the code less and less. The code's ELU takes the
    number of channels for its slope, here it is 1. Modules that the code makes and never uses are left out.
    """

    diffusion = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spatial_dims: int = 3,
        channels: Sequence[int] = (16, 32, 64, 128),
        dropout: float = 0.2,
    ):
        super().__init__()
        self.spatial_dims = dims = checked_dims(spatial_dims)
        if len(channels) != 4 or any(c < 4 or c % 4 for c in channels) or min(in_channels, out_channels) < 1:
            raise ValueError("four channels, multiples of 4, are needed, in_channels and out_channels of 1 or more")
        bottom = 2 * channels[-1]
        widths = [*channels, bottom]
        self.encode = nn.ModuleList(
            _convolutions(dims, cin, cout, 2) for cin, cout in zip([in_channels, *widths[1:]], widths)
        )
        self.down = nn.ModuleList(
            _down(dims, cin, cout, 2 if n < 3 else 1)
            for n, (cin, cout) in enumerate(zip(widths, [*widths[1:], 2 * bottom]))
        )
        self.positions = nn.Sequential(
            _normed(dims, 2 * bottom, bottom), _PositionAttention(dims, bottom), _normed(dims, bottom, bottom)
        )
        decoded = [bottom, *channels[:0:-1]]  # channels of the decoder's levels, coarse to fine
        self.up = nn.ModuleList(
            nn.Sequential(Conv[Conv.CONVTRANS, dims](cin, cout, 2, 2), nn.PReLU(cout))
            for cin, cout in zip(decoded, decoded[1:])
        )
        self.decode = nn.ModuleList(
            _convolutions(dims, skip + (cout if n else 0), cout, 3)
            for n, (skip, cout) in enumerate(zip(reversed(channels), decoded))
        )
        self.gate = nn.ModuleList(AttentionBlock(dims, c // 2, c, c) for c in decoded)
        self.map = nn.ModuleList(Conv[Conv.CONV, dims](c, out_channels, 1) for c in decoded)
        self.dropout = nn.ModuleList(nn.Dropout(dropout) for _ in range(7))

    def forward(self, image: Tensor) -> Tensor:
        return _mean(self._scales(image))

    def supervised(self, image: Tensor) -> Supervised:
        """The mean and the three coarser scales."""
        said = self._scales(image)
        weights = 1.0, *[_COARSER] * (len(said) - 1)
        return Supervised((_mean(said), *said[:-1]), tuple(weight / sum(weights) for weight in weights))

    def _scales(self, image: Tensor) -> list[Tensor]:
        """Logarithms of the scales' probabilities (B, out_channels, *spatial), coarse to fine."""
        x, levels = image, []
        for n, (encode, down) in enumerate(zip(self.encode, self.down)):
            x = encode(x) + (x if n else x.mean(1, keepdim=True))
            x = self.dropout[n - 1](x) if n else x
            levels.append(x)
            x = down(x)
        x, levels, said = self.positions(x), levels[:4], []
        for n, (decode, gate, to_labels) in enumerate(zip(self.decode, self.gate, self.map)):
            below = self.up[n - 1](x) if n else x
            skip = levels.pop()
            x = gate(below, decode(cat([below, skip], 1) if n else skip) + below)
            x = self.dropout[4 + n](x) if n < 3 else x
            logits = F.interpolate(to_labels(x), size=image.shape[2:], mode=LINEAR[image.ndim - 2], align_corners=False)
            said.append(logits.float().log_softmax(1))
        return said


def _mean(said: list[Tensor]) -> Tensor:
    """The logarithm of the mean probabilities."""
    return torch.logsumexp(torch.stack(said), 0) - log(len(said))


def _convolutions(dims: int, cin: int, cout: int, count: int) -> nn.Sequential:
    ends = zip([cin] + [cout] * count, [cout] * count)
    layers = (layer for a, b in ends for layer in (Conv[Conv.CONV, dims](a, b, 3, padding=1), nn.PReLU(b)))
    return nn.Sequential(*layers)


def _normed(dims: int, cin: int, cout: int) -> nn.Sequential:
    return nn.Sequential(Conv[Conv.CONV, dims](cin, cout, 3, padding=1), Norm[Norm.BATCH, dims](cout), nn.PReLU())


def _down(dims: int, cin: int, cout: int, stride: int) -> nn.Sequential:
    """Halves the size, or keeps it at a stride of 1."""
    resize = {"kernel_size": 2, "stride": 2} if stride == 2 else {"kernel_size": 3, "padding": 1}
    return nn.Sequential(
        Pool[Pool.MAX, dims](3, 1, 1), Conv[Conv.CONV, dims](cin, cout, **resize), Norm[Norm.BATCH, dims](cout),
        nn.ELU()
    )


class _PositionAttention(nn.Module):
    """(B, channels, *grid) -> the same, each place told of all others; at first it is told nothing."""

    def __init__(self, dims: int, channels: int):
        super().__init__()
        self.query = Conv[Conv.CONV, dims](channels, channels // 8, 1)
        self.key = Conv[Conv.CONV, dims](channels, channels // 8, 1)
        self.value = Conv[Conv.CONV, dims](channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (tokens_of(part(x)) for part in (self.query, self.key, self.value))
        told = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return x + self.gamma * map_of(told, x.shape[2:])
