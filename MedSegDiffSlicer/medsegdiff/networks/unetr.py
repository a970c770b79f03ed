"""UNETR: a vision transformer as the encoder of a U-Net."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor, nn

from .attention import Block, checked_dims, map_of, positions_for, random_positions, tokens_of

PATCH = 16  # voxels a side; the decoder doubles the resolution four times


class UNETR(nn.Module):
    """Hatamizadeh et al., "UNETR: Transformers for 3D Medical Image Segmentation", WACV 2022, arXiv:2103.10504.

    image: (B, in_channels, *spatial) float, spatial divisible by 16 -> logits (B, out_channels, *spatial).
    image_size: for which positions are learnt; those of other sizes are interpolated.
    feature_size: channels of the decoder's last level, twice as many each level below.
    hidden, mlp, layers, heads: of the transformer. What the layers 1/4, 2/4 and 3/4 through, counted from 0 as in the
      authors' code, say goes to the decoder, too.
    dropout: of its embeddings, attention and multilayer perceptrons.  spatial_dims: 2 or 3.  Raises ValueError for
      others.

    With the defaults it has the authors' 92 million parameters. The convolutions are MONAI's blocks. What differs:
    authors' and MONAI's code take one image size only; their queries, keys and values are one layer, three here.
    """

    diffusion = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spatial_dims: int = 3,
        image_size: Sequence[int] = (96, 96, 96),
        feature_size: int = 16,
        hidden: int = 768,
        mlp: int = 3072,
        layers: int = 12,
        heads: int = 12,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.spatial_dims = dims = checked_dims(spatial_dims)
        if len(image_size) != dims or any(n < PATCH or n % PATCH for n in image_size):
            raise ValueError(f"image_size must be {dims} multiples of {PATCH}")
        if layers < 4 or layers % 4 or min(in_channels, out_channels, feature_size, mlp) < 1:
            raise ValueError("layers must be a multiple of 4, channels, feature_size and mlp 1 at least")
        from monai.networks.blocks import UnetrBasicBlock, UnetrPrUpBlock, UnetrUpBlock
        from monai.networks.blocks.dynunet_block import UnetOutBlock

        self.grid = tuple(n // PATCH for n in image_size)
        self.patches = (nn.Conv2d, nn.Conv3d)[dims - 2](in_channels, hidden, PATCH, PATCH)
        self.positions = random_positions(prod(self.grid), hidden)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(hidden, heads, mlp, dropout, dropout, qkv_bias=False) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        wide = [feature_size * 2**level for level in range(4)]
        enlarging = {"kernel_size": 3, "upsample_kernel_size": 2, "norm_name": "instance", "res_block": True}
        self.enter = UnetrBasicBlock(dims, in_channels, wide[0], 3, 1, "instance", res_block=True)
        self.skips = nn.ModuleList(
            UnetrPrUpBlock(dims, hidden, wide[level], num_layer=3 - level, stride=1, conv_block=True, **enlarging)
            for level in (3, 2, 1)
        )
        self.up = nn.ModuleList(
            UnetrUpBlock(dims, low, high, **enlarging) for low, high in zip([hidden, *wide[:0:-1]], wide[::-1])
        )
        self.leave = UnetOutBlock(dims, wide[0], out_channels)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image)
        grid, quarter, told = x.shape[2:], len(self.blocks) // 4, []
        x = self.dropout(tokens_of(x) + positions_for(self.positions, self.grid, grid))
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number and number % quarter == 0:
                told.append(map_of(x, grid))
        skips = [skip(y) for skip, y in zip(self.skips, told[::-1])] + [self.enter(image)]
        x = map_of(self.norm(x), grid)
        for up, skip in zip(self.up, skips):
            x = up(x, skip)
        return self.leave(x)
