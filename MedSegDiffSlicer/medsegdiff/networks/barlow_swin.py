"""Barlow-Swin: a short Swin transformer as encoder of a light U-Net."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.layers.factories import Conv, Norm
from monai.networks.nets.swin_unetr import PatchMergingV2, SwinTransformerBlock, compute_mask
from torch import Tensor, cat, nn
from torch.nn import functional as F

from .attention import checked_dims, map_of, positions_for, random_positions

_PATCH = 4
_SHIFT = 1


class BarlowSwin(nn.Module):
    """Three stages of shifted window attention, and a decoder of separable convolutions.

    image: (B, in_channels, *spatial), sizes divisible by 16 -> logits (B, out_channels, *spatial).
    image_size: the side for which positions are learnt, a multiple of 4; those of other sizes are interpolated.
    width: channels at 1/4 of the image's size; twice and four times as many at 1/8 and 1/16.
    heads: of each block.  window: places along the edge of a window.
    decoder: channels of the decoder at 1/8, 1/4, 1/2 and the whole size.  dropout: after each of its blocks.
    spatial_dims: 2 or 3.  Raises ValueError for other arguments.

    Barlow-Swin (2025, arXiv:2509.06885); the defaults are those of the authors' notebook (mkianih/Barlow-Swin), for
    pictures of 512 pixels: patches of 4, three stages of two blocks, windows of 4 shifted by 1, patch merging without
    normalisation, residual decoder blocks of two separable convolutions. The paper trains the encoder by Barlow Twins
    (Zbontar et al., ICML 2021, arXiv:2103.03230) before; here all weights start at random: `encoder` gives its
    features.
    What differs: 3D and several labels; logits, where the notebook ends in a normalised sigmoid; positions are
    interpolated.
    """

    diffusion = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spatial_dims: int = 2,
        image_size: int = 512,
        width: int = 96,
        heads: int = 8,
        window: int = 4,
        decoder: Sequence[int] = (192, 128, 64, 32),
        dropout: float = 0.1,
    ):
        super().__init__()
        self.spatial_dims = dims = checked_dims(spatial_dims)
        if min(in_channels, out_channels, heads, *decoder) < 1 or window <= _SHIFT or len(decoder) != 4:
            raise ValueError("heads and four decoder channels must be at least 1, window at least 2")
        if image_size < _PATCH or image_size % _PATCH or width < 1 or width % heads:
            raise ValueError(f"image_size must be a multiple of {_PATCH}, width {width} one of {heads} heads")
        self.grid = (image_size // _PATCH,) * dims
        self.embed = Conv[Conv.CONV, dims](in_channels, width, _PATCH, _PATCH)
        self.positions = random_positions((image_size // _PATCH) ** dims, width)
        widths = [width, 2 * width, 4 * width]
        self.stages = nn.ModuleList(_Stage(dims, c, heads, window) for c in widths)
        self.merge = nn.ModuleList(PatchMergingV2(c, nn.Identity, dims) for c in widths[:-1])
        ins = [4 * width + 2 * width, decoder[0] + width, *decoder[1:3]]
        self.decode = nn.ModuleList(_Separable(dims, cin, cout, dropout) for cin, cout in zip(ins, decoder))
        self.leave = Conv[Conv.CONV, dims](decoder[-1], out_channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        levels = self.encoder(image)
        x = levels.pop()
        for decode in self.decode:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = decode(cat([x, levels.pop()], 1) if levels else x)
        return self.leave(x)

    def encoder(self, image: Tensor) -> list[Tensor]:
        """Features (B, width * 2**n, *spatial / 2 ** (n + 2)) of the stages n = 0, 1, 2."""
        x = self.embed(image)
        x = x + map_of(positions_for(self.positions, self.grid, x.shape[2:]), x.shape[2:])
        x, levels = x.movedim(1, -1), []
        for n, stage in enumerate(self.stages):
            x = stage(self.merge[n - 1](x) if n else x)
            levels.append(x.movedim(-1, 1))
        return levels


class _Stage(nn.Module):
    """Window attention, then shifted window attention: (B, *grid, width) -> the same."""

    def __init__(self, dims: int, width: int, heads: int, window: int):
        super().__init__()
        self.window = window
        self.blocks = nn.ModuleList(
            SwinTransformerBlock(width, heads, (window,) * dims, (shift,) * dims) for shift in (0, _SHIFT)
        )

    def forward(self, x: Tensor) -> Tensor:
        grid = x.shape[1:-1]
        window = tuple(min(self.window, n) for n in grid)
        shift = tuple(_SHIFT if n > self.window else 0 for n in grid)
        padded = [-(-n // w) * w for n, w in zip(grid, window)]
        mask = compute_mask(padded, window, shift, x.device)
        for block in self.blocks:
            x = block(x, mask)
        return x


class _Separable(nn.Module):
    """Two separable convolutions beside one of a single place: (B, cin, *spatial) -> (B, cout, *spatial)."""

    def __init__(self, dims: int, cin: int, cout: int, dropout: float):
        super().__init__()
        conv, norm = Conv[Conv.CONV, dims], Norm[Norm.BATCH, dims]
        self.convolutions = nn.Sequential(
            *(
                layer
                for a in (cin, cout)
                for layer in (conv(a, a, 3, padding=1, groups=a, bias=False), conv(a, cout, 1), norm(cout), nn.ReLU())
            ),
            nn.Dropout(dropout),
        )
        self.shortcut = nn.Sequential(conv(cin, cout, 1), norm(cout))

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.convolutions(x)
