"""What a network that predicts noise gives back for one step."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Denoised(NamedTuple):
    """The answer of `denoise` where a network's `prediction` is "noise" (Ho et al., 2020, arXiv:2006.11239).

    M = L - 1 masks, one a foreground label; x_t = sqrt(alpha-bar) x0 + sqrt(1 - alpha-bar) noise, x0 in {0, 1}.

    noise: (B, M, *spatial), the noise seen in x_t.
    variance: (B, M, *spatial), about -1 to 1: where between the posterior's log variance (-1) and log beta (1) the
      step's log variance lies ("learned range", Nichol & Dhariwal, 2021, arXiv:2102.09672), or None where it is not
      learned.
    mask: (B, M, *spatial) in [0, 1], the network's own direct opinion (MedSegDiff's calibration map), or None.
    """

    noise: Tensor
    variance: Tensor | None = None
    mask: Tensor | None = None
