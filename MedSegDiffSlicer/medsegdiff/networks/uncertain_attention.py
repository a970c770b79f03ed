"""Uncertain spatial attention: where the anchor says to look, and a little around."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_REACH = 2  # voxels that the Gaussian reaches to each side


class UncertainSpatialAttention(nn.Module):
    """U-SA of MedSegDiff-V2 (Wu et al., AAAI 2024, arXiv:2301.11798): the anchor condition's attention map.

    f_anc = max(f * Gaussian, f); attention = sigmoid(conv_1x1(f_anc)), which the caller applies as
    attention * g + g to the features g of the noisy mask. The Gaussian's mean and variance are learnt, as in the paper.
    Not settled by what is known of it (see MedSegDiffV2): its size. Here one Gaussian a channel, of its own width along
    each axis, cut off at 2 voxels and summing to 1, that starts centred with a standard deviation of 1 voxel.

    f: (B, channels, *spatial), features of the condition model's last layer -> (B, 1, *spatial) in (0, 1).
    """

    def __init__(self, spatial_dims: int, channels: int):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(spatial_dims, channels))  # voxels
        self.log_deviation = nn.Parameter(torch.zeros(spatial_dims, channels))
        self.conv = (nn.Conv2d, nn.Conv3d)[spatial_dims - 2](channels, 1, 1)

    def forward(self, f: Tensor) -> Tensor:
        return torch.sigmoid(self.conv(torch.maximum(self.smooth(f), f)))

    def smooth(self, f: Tensor) -> Tensor:
        """f filtered by the Gaussians, axis by axis; beyond the border is the border's value."""
        axes = f.ndim - 2
        convolve, place = (F.conv2d, F.conv3d)[axes - 2], torch.arange(-_REACH, _REACH + 1, device=f.device)
        f = F.pad(f, [_REACH] * (2 * axes), mode="replicate")
        for axis, (mean, log_deviation) in enumerate(zip(self.mean, self.log_deviation)):
            away = (place - mean[:, None]) / log_deviation.exp()[:, None]
            kernel = torch.softmax(-0.5 * away**2, 1)
            shape = [-1, 1, *(len(place) if axis == other else 1 for other in range(axes))]
            f = convolve(f, kernel.reshape(shape).to(f.dtype), groups=len(kernel))
        return f
