"""MedSegDiff's FF-Parser: a learned map over the spectrum of one image size."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FFParser(nn.Module):
    """Multiplies the spectrum of each channel by a learned complex map (MedSegDiff V1, Wu et al., MIDL 2024,
    arXiv:2211.00611).

    x: (B, channels, size, size) -> the same shape, float32, computed in float32 whatever autocast says.
    The map holds a number a frequency, which binds it to one size; SpectralFilter (spectral.py) is the one without this
    bond.
    """

    def __init__(self, channels: int, size: int):
        super().__init__()
        self.weight = nn.Parameter(0.02 * torch.randn(channels, size, size // 2 + 1, 2))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            spectrum = torch.fft.rfft2(x.float(), norm="ortho") * torch.view_as_complex(
                self.weight.float().contiguous()
            )
            return torch.fft.irfft2(spectrum, s=x.shape[2:], norm="ortho")
