"""TransUNet in 3D: an nnU-Net whose deepest features attend to each other."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.blocks.dynunet_block import UnetBasicBlock, UnetOutBlock, UnetUpBlock
from torch import Tensor, nn

from .attention import checked_dims
from .transunet_encoder import FeatureTransformer

_ACT = ("leakyrelu", {"inplace": True, "negative_slope": 0.01})
_NORM = ("instance", {"affine": True})


class TransUNet3D(nn.Module):
    """nnU-Net's plain U-Net with a vision transformer between its encoder and its decoder.

    image: (B, in_channels, *spatial), sizes divisible by 2 ** (len(channels) - 1) -> logits (B, out_channels,
      *spatial).
    channels: of each level; sizes halve from level to level.
    grid: the deepest level's size for which positions are learnt; those of other sizes are interpolated.
    hidden, mlp, layers, heads: of the transformer.  dropout: of its embeddings and multilayer perceptrons.
    spatial_dims: 2 or 3.  Raises ValueError for other arguments.

    3D TransUNet (Chen et al., 2023, arXiv:2310.07781), its encoder-only form, which the paper found best for organs:
    the deepest features of an nnU-Net become tokens, each place one; a transformer of ViT-B's size (12 layers, 768
    channels, 12 heads) follows, and one convolution back to the channels of the decoder.
    What differs from the authors' code (Beckschen/3D-TransUNet): every stride is 2 and every kernel 3, where nnU-Net's
    plans fit them to the spacing; positions are interpolated, where the code needs the trained patch size; no deep
    supervision; the configurations' layer scale, which the code applies to the shortcut, is left out. Its decoder with
    object queries, the paper's second form, is not here.
    """

    diffusion = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spatial_dims: int = 3,
        channels: Sequence[int] = (32, 64, 128, 256, 320, 320),
        grid: Sequence[int] = (4, 4, 4),
        hidden: int = 768,
        mlp: int = 3072,
        layers: int = 12,
        heads: int = 12,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.spatial_dims = checked_dims(spatial_dims)
        if min(in_channels, out_channels, hidden, mlp, layers, *channels, *grid) < 1:
            raise ValueError("channels, grid, hidden, mlp and layers must be at least 1")
        if len(channels) < 2 or len(grid) != spatial_dims:
            raise ValueError(f"two or more channels and a grid of {spatial_dims} numbers are needed")

        def block(cin: int, cout: int, stride: int) -> UnetBasicBlock:
            return UnetBasicBlock(spatial_dims, cin, cout, 3, stride, _NORM, _ACT)

        self.enter = block(in_channels, channels[0], 1)
        self.down = nn.ModuleList(block(high, low, 2) for high, low in zip(channels, channels[1:]))
        self.transformer = FeatureTransformer(spatial_dims, channels[-1], grid, hidden, mlp, layers, heads, dropout)
        self.conv_more = (nn.Conv2d, nn.Conv3d)[spatial_dims - 2](hidden, channels[-1], 1)
        self.up = nn.ModuleList(
            UnetUpBlock(spatial_dims, low, high, 3, 2, 2, _NORM, _ACT)
            for high, low in reversed(list(zip(channels, channels[1:])))
        )
        self.leave = UnetOutBlock(spatial_dims, channels[0], out_channels)

    def forward(self, image: Tensor) -> Tensor:
        levels = [self.enter(image)]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = self.conv_more(self.transformer(levels.pop()))
        for up in self.up:
            x = up(x, levels.pop())
        return self.leave(x)
