"""The U-Net of nnU-Net, with a plain or a residual encoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .supervision import Supervised, deep_supervision


class DynUNet(nn.Module):
    """Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation",
    Nature Methods 18, 2021, as MONAI has it.

    image: (B, in_channels, *spatial) float, spatial divisible by the product of the strides -> logits (B, out_channels,
      *spatial).
    channels: of the levels, the highest resolution first, three at least.
    kernels: of each level, a number or one an axis; 3 everywhere by default.
    strides: from level to level, one fewer; a number or one an axis; 2 everywhere by default.
    residual: encoder blocks have shortcuts (Futrega et al., "Optimized U-Net for Brain Tumor Segmentation", 2021,
      arXiv:2110.03352).
    heads: levels below the highest that are supervised in training, 0 to len(channels) - 2.
    dropout: share of the values that are dropped in training, and by Monte-Carlo dropout.
    spatial_dims: 2 or 3.  Raises ValueError for other arguments.

    With the defaults it is nnU-Net's network for isotropic volumes: 31 million parameters, two lowest resolutions
    without supervision. What differs from its code: the residual encoder has one block a level, that of nnU-Net's
    "ResEnc" up to six.
    """

    diffusion = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (32, 64, 128, 256, 320, 320),
        kernels: Sequence[int | Sequence[int]] | None = None,
        strides: Sequence[int | Sequence[int]] | None = None,
        residual: bool = False,
        heads: int | None = None,
        spatial_dims: int = 3,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.spatial_dims = spatial_dims
        levels = len(channels)
        kernels, strides = kernels or [3] * levels, strides or [2] * (levels - 1)
        heads = levels - 3 + (levels < 4) if heads is None else heads
        if levels < 3 or (len(kernels), len(strides)) != (levels, levels - 1) or not 0 <= heads <= levels - 2:
            raise ValueError("three channels or more, as many kernels, one stride fewer and two heads fewer are needed")
        from monai.networks.nets import DynUNet as MonaiDynUNet

        self.net = MonaiDynUNet(
            spatial_dims, in_channels, out_channels, kernels, [1, *strides], strides, channels, dropout=dropout or None,
            deep_supervision=heads > 0, deep_supr_num=max(heads, 1), res_block=residual,
        )  # fmt: skip
        del self.net.skip_layers  # the same layers under a second name

    def forward(self, image: Tensor) -> Tensor:
        return self.net.output_block(self._decode(image)[-1])

    def supervised(self, image: Tensor) -> Supervised:
        decoded = self._decode(image)[::-1]
        heads = [self.net.output_block, *(self.net.deep_supervision_heads if self.net.deep_supervision else [])]
        return deep_supervision([head(x) for head, x in zip(heads, decoded)])

    def _decode(self, image: Tensor) -> list[Tensor]:
        """The decoder's features from the lowest resolution to the highest."""
        levels, decoded = [self.net.input_block(image)], []
        for down in self.net.downsamples:
            levels.append(down(levels[-1]))
        x = self.net.bottleneck(levels[-1])
        for up in self.net.upsamples:
            x = up(x, levels.pop())
            decoded.append(x)
        return decoded
