"""The plain U-Net: yardstick and ensemble member."""

from __future__ import annotations

from torch import Tensor, nn


class UNet(nn.Module):
    """MONAI's residual U-Net (Kerfoot et al., Left-Ventricle Quantification Using Residual U-Net, 2018) with instance
    norm.

    dropout: share of the values that are dropped in training, and by Monte-Carlo dropout.
    image: (B, in_channels, *spatial) float, spatial divisible by 2 ** len(strides) -> logits (B, out_channels,
      *spatial).
    """

    diffusion = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: tuple[int, ...] = (16, 32, 64, 128),
        strides: tuple[int, ...] = (2, 2, 2),
        num_res_units: int = 2,
        spatial_dims: int = 3,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.spatial_dims = spatial_dims
        from monai.networks.nets import UNet as MonaiUNet

        self.net = MonaiUNet(
            spatial_dims, in_channels, out_channels, channels, strides, num_res_units=num_res_units, norm="instance",
            dropout=dropout,
        )  # fmt: skip

    def forward(self, image: Tensor) -> Tensor:
        return self.net(image)
