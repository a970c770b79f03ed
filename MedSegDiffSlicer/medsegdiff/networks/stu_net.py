"""STU-Net: a residual U-Net that grows in depth and width together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers import Conv, Norm
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import checked_dims
from .supervision import Supervised, deep_supervision

SIZES = {
    "S": {"width": 16, "depth": 1},
    "B": {"width": 32, "depth": 1},
    "L": {"width": 64, "depth": 2},
    "H": {"width": 96, "depth": 3},
}
_WIDEST = 16  # times the first level's channels


class STUNet(nn.Module):
    """Huang et al., "STU-Net: Scalable and Transferable Medical Image Segmentation Models Empowered by Large-Scale
    Supervised Pre-training", 2023, arXiv:2304.06716; with the module names of its code (uni-medical/STU-Net), so that
    published weights fit.

    image: (B, in_channels, *spatial) float, of any size -> logits (B, out_channels, *spatial). In training, more than
    one voxel must remain at the deepest level.
    width: channels of the first level; they double from level to level up to 16 times as many.
    depth: residual blocks of a level and side. SIZES has the paper's: S, B, L and H of 14.6, 58.3, 440 and 1457 million
    parameters (105 labels).  strides: from level to level, a number or one an axis.  spatial_dims: 2 or 3.
    Raises ValueError for other arguments.

    From the paper: kernels of 3 everywhere; shortcuts of 1x1 convolutions where size or channels change; nearest
    neighbours and a 1x1 convolution instead of transposed ones. All levels are supervised in training.
    What differs: a level is enlarged to the very size of the one above, which is the same for multiples of the strides
    and lets other sizes through; the 1x1 convolution comes before the enlargement, which changes no number and is an
    eighth of the work.
    """

    diffusion = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spatial_dims: int = 3,
        width: int = 16,
        depth: int = 1,
        strides: Sequence[int | Sequence[int]] = (2, 2, 2, 2, 2),
    ):
        super().__init__()
        self.spatial_dims = checked_dims(spatial_dims)
        if min(in_channels, width, depth) < 1 or out_channels < 2 or not strides:
            raise ValueError("in_channels, width, depth and strides must be at least 1, out_channels at least 2")
        strides = [tuple(s) if isinstance(s, Sequence) else (s,) * spatial_dims for s in strides]
        if any(len(stride) != spatial_dims or min(stride) < 1 for stride in strides):
            raise ValueError(f"strides {strides} are not {spatial_dims} numbers from 1 on each")
        channels = [width * min(2**level, _WIDEST) for level in range(len(strides) + 1)]
        conv = Conv[Conv.CONV, spatial_dims]

        def stage(cin: int, cout: int, stride: Sequence[int] | int = 1) -> nn.Sequential:
            first = ResidualBlock(spatial_dims, cin, cout, stride, shortcut=True)
            return nn.Sequential(first, *(ResidualBlock(spatial_dims, cout, cout) for _ in range(depth - 1)))

        steps = list(zip(channels, channels[1:], strides))
        self.conv_blocks_context = nn.ModuleList([stage(in_channels, channels[0]), *(stage(*step) for step in steps)])
        steps = [(low, high) for high, low, _ in reversed(steps)]
        self.upsample_layers = nn.ModuleList(nn.ModuleDict({"conv": conv(low, high, 1)}) for low, high in steps)
        self.conv_blocks_localization = nn.ModuleList(stage(2 * high, high) for _, high in steps)
        self.seg_outputs = nn.ModuleList(conv(high, out_channels, 1) for _, high in steps)

    def forward(self, image: Tensor) -> Tensor:
        return self.seg_outputs[-1](self._decode(image)[-1])

    def supervised(self, image: Tensor) -> Supervised:
        said = [head(x) for head, x in zip(self.seg_outputs, self._decode(image))]
        return deep_supervision(said[::-1])

    def _decode(self, image: Tensor) -> list[Tensor]:
        """The decoder's features from the lowest resolution to the highest."""
        levels = [image]
        for block in self.conv_blocks_context:
            levels.append(block(levels[-1]))
        x, decoded = levels.pop(), []
        for up, block in zip(self.upsample_layers, self.conv_blocks_localization):
            skip = levels.pop()
            x = block(torch.cat([F.interpolate(up["conv"](x), size=skip.shape[2:]), skip], 1))
            decoded.append(x)
        return decoded


class ResidualBlock(nn.Module):
    """Two convolutions with instance norm, and their input added; shortcut: through a 1x1 convolution."""

    def __init__(self, dims: int, cin: int, cout: int, stride: Sequence[int] | int = 1, shortcut: bool = False):
        super().__init__()
        conv, norm = Conv[Conv.CONV, dims], Norm[Norm.INSTANCE, dims]
        self.conv1, self.norm1 = conv(cin, cout, 3, stride, 1), norm(cout, affine=True)
        self.conv2, self.norm2 = conv(cout, cout, 3, 1, 1), norm(cout, affine=True)
        self.conv3 = conv(cin, cout, 1, stride) if shortcut else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        return F.leaky_relu(y + (x if self.conv3 is None else self.conv3(x)))
