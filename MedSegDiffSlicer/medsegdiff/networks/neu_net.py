"""neU-Net: a plain encoder that is shown the image's wavelets at each level, a decoder of sub-pixel convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution
from torch import Tensor, nn

from .attention import checked_dims
from .supervision import Supervised, deep_supervision

_ADN = {"adn_ordering": "DNA", "norm": ("instance", {"affine": True}), "act": ("leakyrelu", {"inplace": True})}


class NeUNet(nn.Module):
    """Yang et al., "More complex encoder is not all you need", 2023, arXiv:2309.11139, after its abstract and its code
    (aitechlabcn/neUNet).

    image: (B, in_channels, *spatial) float, spatial divisible by the product of the strides -> logits (B,
    out_channels, *spatial). In training, more than one voxel must remain at the deepest level.
    channels: of the levels, the highest resolution first.  strides: from level to level, 2 or, an axis each, 1 or 2.
    convs: of a level and side.  kernels: of a level, a number or one an axis; 3 at all by default.
    dropout: share of the values that are dropped after each convolution in training, and by Monte-Carlo dropout; none
    in the code.
    spatial_dims: 2 or 3.  Raises ValueError for other arguments.

    From the code: the image itself is convolved and joins the features of the first level, the image's Haar subbands
    (all of them, each transform of the approximation before) those of the further levels but the two lowest; the next
    level's strided convolution takes both. Sub-pixel convolution (Shi et al., 2016, arXiv:1609.05158): 5^3 to twice the
    channels, tanh, 3^3 to the subvoxels' channels, tanh, and the voxels are dealt out. All levels of the decoder are
    supervised in training.
    What differs: blocks are MONAI's; wavelets are computed within, of any number of channels, also in 2D.
    """

    diffusion = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spatial_dims: int = 3,
        channels: Sequence[int] = (32, 64, 128, 256, 320, 320),
        strides: Sequence[int | Sequence[int]] = (2, 2, 2, 2, 2),
        convs: int = 2,
        kernels: Sequence[int | Sequence[int]] = (),
        dropout: float = 0.0,
    ):
        super().__init__()
        self.spatial_dims = checked_dims(spatial_dims)
        if min(in_channels, convs, *channels) < 1 or out_channels < 2 or not 0 <= dropout < 1:
            raise ValueError("numbers must be at least 1, out_channels at least 2, dropout from 0 to below 1")
        strides = [tuple(s) if isinstance(s, Sequence) else (s,) * spatial_dims for s in strides]
        kernels = list(kernels) or [3] * len(channels)
        if len(channels) < 2 or (len(strides), len(kernels)) != (len(channels) - 1, len(channels)):
            raise ValueError("channels need two levels at least, as many kernels, and a stride from each to the next")
        if any(len(stride) != spatial_dims or set(stride) - {1, 2} for stride in strides):
            raise ValueError(f"strides {strides} are not {spatial_dims} numbers each, 1 or 2")

        def stack(level: int, cin: int, stride: Sequence[int] | int = 1) -> nn.Sequential:
            units = [
                Convolution(
                    spatial_dims, cin if n == 0 else channels[level], channels[level],
                    strides=stride if n == 0 else 1, kernel_size=kernels[level], dropout=dropout, **_ADN,
                )
                for n in range(convs)
            ]  # fmt: skip
            return nn.Sequential(*units)

        self._axes = [[axis for axis, n in enumerate(stride, 2) if n == 2] for stride in strides[: len(channels) - 3]]
        bands = [in_channels, *(in_channels * 2 ** len(axes) for axes in self._axes)][: len(channels) - 2]
        self.shown = nn.ModuleList(Convolution(spatial_dims, n, c, **_ADN) for n, c in zip(bands, channels))
        joined = [c * (2 if n < len(bands) else 1) for n, c in enumerate(channels)]
        levels = range(1, len(channels))
        lower = (stack(n, joined[n - 1], strides[n - 1]) for n in levels)
        self.encoder = nn.ModuleList([stack(0, in_channels), *lower])
        self.up = nn.ModuleList(
            SubPixelConvolution(spatial_dims, channels[n], channels[n - 1], strides[n - 1]) for n in reversed(levels)
        )
        self.decoder = nn.ModuleList(stack(n - 1, 2 * channels[n - 1]) for n in reversed(levels))
        self.heads = nn.ModuleList(
            Convolution(spatial_dims, channels[n - 1], out_channels, kernel_size=1, conv_only=True)
            for n in reversed(levels)
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.heads[-1](self._decode(image)[-1])

    def supervised(self, image: Tensor) -> Supervised:
        said = [head(x) for head, x in zip(self.heads, self._decode(image))]
        return deep_supervision(said[::-1])

    def _decode(self, image: Tensor) -> list[Tensor]:
        """The decoder's features from the lowest resolution to the highest."""
        wavelets, rest = [image], image
        for axes in self._axes:
            wavelets.append(haar(rest, axes))
            rest = wavelets[-1][:, : image.shape[1]]
        skips = [self.encoder[0](image)]
        for level, block in enumerate(self.encoder[1:]):
            x = skips[-1]
            if level < len(self.shown):
                x = torch.cat([x, self.shown[level](wavelets[level])], 1)
            skips.append(block(x))
        x, decoded = skips.pop(), []
        for up, block in zip(self.up, self.decoder):
            x = block(torch.cat([up(x), skips.pop()], 1))
            decoded.append(x)
        return decoded


class SubPixelConvolution(nn.Module):
    """Features (B, cin, *grid) -> (B, cout, *grid * stride), each voxel's subvoxels from channels of their own."""

    def __init__(self, dims: int, cin: int, cout: int, stride: tuple[int, ...]):
        super().__init__()
        self.stride = stride
        self.convs = nn.Sequential(
            Convolution(dims, cin, 2 * cin, kernel_size=5, conv_only=True), nn.Tanh(),
            Convolution(dims, 2 * cin, cout * math.prod(stride), kernel_size=3, conv_only=True), nn.Tanh(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = self.convs(x)
        grid, dims = x.shape[2:], len(self.stride)
        parts = x.unflatten(1, (-1, *self.stride))  # (B, cout, *stride, *grid)
        order = [axis for n in range(dims) for axis in (2 + dims + n, 2 + n)]
        return parts.permute(0, 1, *order).reshape(len(x), -1, *(n * s for n, s in zip(grid, self.stride)))


def haar(x: Tensor, axes: Sequence[int]) -> Tensor:
    """One level of Haar's wavelet transform of x (B, C, *spatial) along some axes of even length -> (B,
    C * 2**len(axes), ...) with half the size along them, the C approximations first."""
    bands = [x]
    for axis in axes:
        pairs = [band.unflatten(axis, (-1, 2)).unbind(axis + 1) for band in bands]
        bands = [(low + sign * high) / math.sqrt(2) for sign in (1, -1) for low, high in pairs]
    return torch.cat(bands, 1)
