"""MedNeXt: a U-Net of ConvNeXt's blocks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .supervision import Supervised, deep_supervision

SIZES = {  # blocks of each level, channels within a block as multiples; both are symmetric
    "S": ((2, 2, 2, 2, 2), (2, 2, 2, 2, 2)),
    "B": ((2, 2, 2, 2, 2), (2, 3, 4, 4, 4)),
    "M": ((3, 4, 4, 4, 4), (2, 3, 4, 4, 4)),
    "L": ((3, 4, 8, 8, 8), (3, 4, 8, 8, 8)),
}


class MedNeXt(nn.Module):
    """Roy et al., "MedNeXt: Transformer-driven Scaling of ConvNets for Medical Image Segmentation", MICCAI 2023,
    arXiv:2303.09975, as MONAI has it.

    image: (B, in_channels, *spatial) float, spatial divisible by 2 ** (len(blocks) - 1) -> logits (B, out_channels,
      *spatial).
    size: S, B, M or L, the paper's; or blocks and expansion, of each level and the bottleneck.
    channels: of the first level; twice as many each level below.  kernel: voxels a side of the depthwise convolutions,
      odd.
    deep_supervision: all levels of the decoder and the bottleneck are compared with the label in training.
    spatial_dims: 2 or 3.  Raises ValueError for other arguments.

    S has 5.6, B 10.5, M 17.6 and L 61.8 million parameters with kernels of 3, as in the paper. Not here: growing a
    network of kernels of 5 from one of 3 (UpKern), and dropout, which the architecture has none of.
    """

    diffusion = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: str = "S",
        blocks: Sequence[int] | None = None,
        expansion: Sequence[int] | None = None,
        channels: int = 32,
        kernel: int = 3,
        deep_supervision: bool = True,
        spatial_dims: int = 3,
    ):
        super().__init__()
        self.spatial_dims, self.deep_supervision = spatial_dims, deep_supervision
        if size not in SIZES:
            raise ValueError(f"size '{size}' is unknown; use {', '.join(SIZES)}")
        blocks, expansion = blocks or SIZES[size][0], expansion or SIZES[size][1]
        if len(blocks) != len(expansion) or len(blocks) < 2 or kernel < 1 or kernel % 2 == 0:
            raise ValueError("as many blocks as expansions, two at least, and an odd kernel are needed")
        from monai.networks.nets import MedNeXt as MonaiMedNeXt

        *levels, bottom = blocks
        *wide, widest = expansion
        self.net = MonaiMedNeXt(
            spatial_dims, channels, in_channels, out_channels, encoder_expansion_ratio=wide,
            decoder_expansion_ratio=wide[::-1], bottleneck_expansion_ratio=widest, kernel_size=kernel,
            deep_supervision=deep_supervision, use_residual_connection=True, blocks_down=levels,
            blocks_bottleneck=bottom, blocks_up=levels[::-1],
        )  # fmt: skip

    def train(self, mode: bool = True) -> MedNeXt:
        self.net.do_ds = mode and self.deep_supervision
        return super().train(mode)

    def forward(self, image: Tensor) -> Tensor:
        logits = self.net(image)
        return logits if isinstance(logits, Tensor) else logits[0]

    def supervised(self, image: Tensor) -> Supervised:
        logits = self.net(image)
        return deep_supervision([logits] if isinstance(logits, Tensor) else list(logits))
