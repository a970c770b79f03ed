"""Learned filtering in Fourier space."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LINEAR = {2: "bilinear", 3: "trilinear"}


class SpectralFilter(nn.Module):
    """Multiplies the spectrum of each channel by a learned complex map.

    The idea is MedSegDiff's FF-Parser (Wu et al., MIDL 2024, arXiv:2211.00611): noise in the mask lives in the high
    frequencies, so let the network weigh frequencies. Ours: the map is stored on a coarse frequency grid and
    interpolated to the spectrum at hand, so that any image size works (the original is bound to one size), and it
    starts as the identity.

    x: (B, channels, *spatial) float, response: of that size -> the same shape as x. Computed in float32 whatever
      autocast says.
    """

    def __init__(self, channels: int, grid: int = 8, spatial_dims: int = 3):
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(2, channels, *[grid] * (spatial_dims - 1), grid // 2 + 1))

    def response(self, size: Sequence[int]) -> Tensor:
        """(1, channels, I, J, K // 2 + 1) complex64, what each frequency of an image of that size (I, J, K) is
        multiplied by; of a picture (I, J) likewise (1, channels, I, J // 2 + 1)."""
        *others, last = size
        gain = F.interpolate(
            self.gain.float(), size=(*others, last // 2 + 1), mode=_LINEAR[len(size)], align_corners=True
        )
        # frequency 0 is stored in the grid's middle
        gain = torch.fft.ifftshift(gain, dim=list(range(2, 2 + len(others))))
        return torch.complex(1 + gain[:1], gain[1:])

    def forward(self, x: Tensor, response: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            size, axes = tuple(x.shape[2:]), tuple(range(2, x.ndim))
            spectrum = torch.fft.rfftn(x.float(), dim=axes, norm="ortho")
            out = torch.fft.irfftn(spectrum * response, s=size, dim=axes, norm="ortho")
        return out.to(x.dtype)
