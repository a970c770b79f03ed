"""UNet++: a U-Net whose skip connections are U-Nets."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .supervision import Supervised


class UNetPlusPlus(nn.Module):
    """Zhou et al., "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", DLMIA 2018, arXiv:1807.10165,
    as MONAI has it.

    image: (B, in_channels, *spatial) float, spatial 16 at least, 32 along one axis -> logits (B, out_channels,
      *spatial).
    channels: of the five levels, the highest resolution first.
    deep_supervision: in training the U-Nets of one to four levels are all compared with the label.
    dropout: share of the values that are dropped in training, and by Monte-Carlo dropout.
    spatial_dims: 2 or 3.  Raises ValueError for other arguments.

    With the defaults in 2D it has the authors' 9 million parameters. What differs: the logits are always the deepest
    U-Net's, where the authors average all four; instance norm and leaky ReLU follow each convolution, ReLU in the
    paper.
    """

    diffusion = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (32, 64, 128, 256, 512),
        deep_supervision: bool = True,
        spatial_dims: int = 3,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.spatial_dims, self.deep_supervision = spatial_dims, deep_supervision
        if len(channels) != 5:
            raise ValueError("five channels are needed, one for each level")
        from monai.networks.nets import BasicUNetPlusPlus

        self.net = BasicUNetPlusPlus(
            spatial_dims, in_channels, out_channels, (*channels, channels[0]), deep_supervision=True, dropout=dropout
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.net(image)[-1]

    def supervised(self, image: Tensor) -> Supervised:
        logits = self.net(image)[::-1] if self.deep_supervision else [self(image)]
        return Supervised(tuple(logits), (1 / len(logits),) * len(logits))
