"""Noise schedules: how much of the mask is left at each of the training steps."""

from __future__ import annotations

import torch
from torch import Tensor

TRAIN_STEPS = 1000


class Schedule:
    """Signal share alpha-bar of each training step, from MONAI's schedules.

    name: a MONAI NoiseSchedules name ("cosine": Nichol & Dhariwal, 2021, arXiv:2102.09672).
    alpha_bar: (TRAIN_STEPS,) float64, falling from about 1 to about 0.
    """

    def __init__(self, name: str = "cosine"):
        from monai.networks.schedulers import NoiseSchedules

        self.alpha_bar: Tensor = NoiseSchedules[name](TRAIN_STEPS)[2].double()

    def steps(self, count: int) -> Tensor:
        """(count,) int64 training steps from the last one downwards, evenly spaced, none twice.

        "Trailing" spacing (Lin et al., 2024, arXiv:2305.08891): sampling starts where there is only noise.
        """
        count = min(count, TRAIN_STEPS)
        return (TRAIN_STEPS - 1 - torch.arange(count) * TRAIN_STEPS / count).round().long().clamp(min=0)

    def add_noise(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t for x0 and noise (B, ...) at training steps t (B,) int64."""
        share = self.alpha_bar.to(x0.device)[t].reshape(-1, *[1] * (x0.ndim - 1))
        return (share.sqrt().to(x0.dtype) * x0) + ((1 - share).sqrt().to(x0.dtype) * noise)


def share_of(t: Tensor) -> Tensor:
    """Training steps t (B,) int64 as the networks take them: float32 in [0, 1]."""
    return t.float() / (TRAIN_STEPS - 1)
