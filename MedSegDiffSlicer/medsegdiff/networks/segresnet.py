"""SegResNet: a residual encoder that is deeper than its decoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class SegResNet(nn.Module):
    """Myronenko, "3D MRI Brain Tumor Segmentation Using Autoencoder Regularization", BrainLes 2018, arXiv:1810.11654,
    as MONAI has it.

    image: (B, in_channels, *spatial) float, spatial divisible by 2 ** (len(blocks_down) - 1) -> logits (B,
      out_channels, *spatial).
    filters: channels of the first level, a multiple of 8; twice as many each level below.
    blocks_down, blocks_up: residual blocks of each level, of the encoder and, one level fewer, of the decoder.
    dropout: share of the first convolution's channels that are dropped in training, and by Monte-Carlo dropout.
    spatial_dims: 2 or 3.

    The defaults are the paper's, with dropout 0.2 there. What differs: no variational autoencoder beside the decoder,
    which regularises the encoder in training.
    """

    diffusion = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        filters: int = 32,
        blocks_down: Sequence[int] = (1, 2, 2, 4),
        blocks_up: Sequence[int] = (1, 1, 1),
        spatial_dims: int = 3,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.spatial_dims = spatial_dims
        if len(blocks_up) != len(blocks_down) - 1:
            raise ValueError("blocks_up must name one level fewer than blocks_down")
        from monai.networks.nets import SegResNet as MonaiSegResNet

        self.net = MonaiSegResNet(
            spatial_dims, filters, in_channels, out_channels, dropout or None, blocks_down=tuple(blocks_down),
            blocks_up=tuple(blocks_up),
        )  # fmt: skip

    def forward(self, image: Tensor) -> Tensor:
        return self.net(image)
