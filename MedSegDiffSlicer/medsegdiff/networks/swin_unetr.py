"""Swin UNETR: windows of attention that shift, in a convolutional U-Net."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SwinUNETR(nn.Module):
    """Hatamizadeh et al., "Swin UNETR: Swin Transformers for Semantic Segmentation of Brain Tumors in MRI Images",
    BrainLes 2021, arXiv:2201.01266, as MONAI has it.

    image: (B, in_channels, *spatial) float, spatial even, one axis above 32 -> logits (B, out_channels, *spatial).
    feature_size: channels of the first level, a multiple of 12; they double from level to level, five times.
    depths: transformer blocks, num_heads: heads of attention of each of the four stages.  window_size: side of a
      window.
    dropout: share of the values that are dropped in training, and by Monte-Carlo dropout, in the transformer.
    version2: a residual convolution before each stage (He et al., "SwinUNETR-V2", MICCAI 2023).
    spatial_dims: 2 or 3.  Raises ValueError for other arguments.

    With feature_size 48 and 4 channels it has the authors' 62 million parameters, and their names; the default has 16
    million. Beyond the authors' code, which takes multiples of 32, a level of odd size is padded before it is halved,
    and what comes back up is cut to it.
    """

    diffusion = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        feature_size: int = 24,
        depths: tuple[int, ...] = (2, 2, 2, 2),
        num_heads: tuple[int, ...] = (3, 6, 12, 24),
        window_size: int = 7,
        spatial_dims: int = 3,
        dropout: float = 0.0,
        version2: bool = False,
    ):
        super().__init__()
        self.spatial_dims = spatial_dims
        from monai.networks.nets import SwinUNETR as MonaiSwinUNETR

        self.net = MonaiSwinUNETR(
            in_channels, out_channels, feature_size=feature_size, depths=depths, num_heads=num_heads,
            window_size=window_size, spatial_dims=spatial_dims, drop_rate=dropout, use_v2=version2,
        )  # fmt: skip

    def forward(self, image: Tensor) -> Tensor:
        net = self.net
        seen = self._transformer(image)
        skips = (net.encoder1(image), net.encoder2(seen[0]), net.encoder3(seen[1]), net.encoder4(seen[2]), seen[3])
        x = net.encoder10(seen[4])
        for block, skip in zip((net.decoder5, net.decoder4, net.decoder3, net.decoder2, net.decoder1), skips[::-1]):
            within = (slice(None), slice(None), *(slice(n) for n in skip.shape[2:]))
            x = block.conv_block(torch.cat([block.transp_conv(x)[within], skip], 1))
        return net.out(x)

    def _transformer(self, image: Tensor) -> list[Tensor]:
        """Normalised features of the five levels, without einops, which MONAI's own forward needs."""
        vit = self.net.swinViT
        x, levels = vit.pos_drop(vit.patch_embed(image)), []
        for number in range(1, 6):
            levels.append(F.layer_norm(x.movedim(1, -1), x.shape[1:2]).movedim(-1, 1))
            if number < 5:
                x = getattr(vit, f"layers{number}c")[0](x.contiguous()) if vit.use_v2 else x
                x = _stage(getattr(vit, f"layers{number}")[0], x)
        return levels


def _stage(layer: nn.Module, x: Tensor) -> Tensor:
    """A stage of MONAI's transformer: (B, C, *spatial) -> (B, 2 C, *half, rounded up)."""
    from monai.networks.nets.swin_unetr import compute_mask, get_window_size

    window, shift = get_window_size(x.shape[2:], layer.window_size, layer.shift_size)
    mask = compute_mask([-(-n // side) * side for n, side in zip(x.shape[2:], window)], window, shift, x.device)
    x = x.movedim(1, -1)
    for block in layer.blocks:
        x = block(x, mask)
    return layer.downsample(x).movedim(-1, 1)
