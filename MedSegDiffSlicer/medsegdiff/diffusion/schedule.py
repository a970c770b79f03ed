"""Noise schedules: how much of the mask is left at each of the training steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

TRAIN_STEPS = 1000  # where nothing else is said
SCHEDULES = ("linear", "cosine", "shifted-cosine")
SHIFT = 1 / 4  # of the signal's amplitude beside the noise's


class Schedule:
    """Signal share alpha-bar of each training step.

    name: "linear" (Ho et al., 2020, arXiv:2006.11239, as MedSegDiff's code has it, in float64) or "cosine" (Nichol &
      Dhariwal, 2021, arXiv:2102.09672, MONAI's), or "shifted-cosine" (Hoogeboom et al., 2023, arXiv:2301.11093):
      noisier at every step. Large smooth masks show through much noise, so that "cosine" decides their size and outline
      in its first steps and spends the others on single pixels. Raises ValueError for others.
    length: training steps, from 21 (of fewer, "linear" has steps that leave no signal at all).
    alpha_bar: (length,) float64, falling from about 1 to about 0.
    """

    def __init__(self, name: str = "cosine", length: int = TRAIN_STEPS):
        if name == "linear":
            betas = 1000 / length * torch.linspace(1e-4, 0.02, length, dtype=torch.float64)
            self.alpha_bar: Tensor = (1 - betas).cumprod(0)
            return
        if name not in SCHEDULES:
            raise ValueError(f"noise schedule '{name}' is unknown; give one of {', '.join(SCHEDULES)}")
        from monai.networks.schedulers import NoiseSchedules

        self.alpha_bar = NoiseSchedules["cosine"](length)[2].double()
        if name == "shifted-cosine":
            signal = SHIFT**2 * self.alpha_bar
            self.alpha_bar = signal / (signal + 1 - self.alpha_bar)

    def steps(self, count: int, truncation: float = 1.0) -> Tensor:
        """Training steps from the noisiest one downwards, (count,) int64, evenly spaced, none twice.

        "Trailing" spacing (Lin et al., 2024, arXiv:2305.08891): sampling starts where there is only noise.
        truncation: share in (0, 1] of the training steps that are walked; 1 starts at pure noise. Where it holds fewer
        than `count` steps, all of these are given.
        """
        length = max(1, round(len(self.alpha_bar) * truncation))
        count = min(count, length)
        return (length - 1 - torch.arange(count) * length / count).round().long().clamp(min=0)

    def add_noise(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t for x0 and noise (B, ...) at training steps t (B,) int64."""
        share = self.alpha_bar.to(x0.device)[t].reshape(-1, *[1] * (x0.ndim - 1))
        return (share.sqrt().to(x0.dtype) * x0) + ((1 - share).sqrt().to(x0.dtype) * noise)


def schedule_of(sampling: Mapping[str, Any]) -> Schedule:
    """The schedule of a package's `sampling`. Raises ValueError for one that is unknown."""
    return Schedule(sampling.get("schedule", "cosine"), sampling.get("training_steps", TRAIN_STEPS))
