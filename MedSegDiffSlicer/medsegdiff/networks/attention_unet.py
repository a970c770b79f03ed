"""Attention U-Net: gates that choose what skip connections let through."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class AttentionUNet(nn.Module):
    """Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", MIDL 2018, arXiv:1804.03999, as MONAI
    has it.

    image: (B, in_channels, *spatial) float, spatial divisible by 2 ** (len(channels) - 1) -> logits (B, out_channels,
      *spatial). In training, a batch must hold more than one voxel at the lowest level.
    channels: of the levels, the highest resolution first, two at least.
    dropout: share of the values that are dropped in training, and by Monte-Carlo dropout.
    spatial_dims: 2 or 3.

    With the defaults it has 5.9 million parameters (the paper's 6.4). What differs: a gate takes the level's own
    enlarged features, at the skip's resolution, where the paper's gate takes the coarser ones; the highest skip is
    gated, too; strided convolutions instead of pooling; no deep supervision.
    """

    diffusion = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (16, 32, 64, 128, 256),
        spatial_dims: int = 3,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.spatial_dims = spatial_dims
        if len(channels) < 2:
            raise ValueError("two channels or more are needed")
        from monai.networks.nets import AttentionUnet

        self.net = AttentionUnet(
            spatial_dims, in_channels, out_channels, channels, [2] * (len(channels) - 1), dropout=dropout
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.net(image)
