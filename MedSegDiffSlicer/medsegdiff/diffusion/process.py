"""What is diffused and what a network's answer says of it: one class for each kind of prediction."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

AGREEING = 0.65  # soft Dice between sample and direct opinion from which MedSegDiff trusts both alike


class Reading(NamedTuple):
    """What one answer of the network says.

    state: (B, M, ...) the clean mask in the process's own representation.
    probability: (B, L, ...) label probabilities of the clean mask.
    variance: (B, M, ...) learned-range interpolation in about [-1, 1], or None.
    """

    state: Tensor
    probability: Tensor
    variance: Tensor | None = None


class MaskProcess:
    """Diffuses the one-hot mask scaled to [-1, 1]; the network answers with logits of the clean mask (x0 prediction).

    all_steps: each step predicts E[mask | x_t, image], and the mean of that over x_t is E[mask | image] whatever t is,
      so every step estimates the posterior's mean; the early ones, not yet committed to one mask, with far less
      variance.
    """

    all_steps = True

    def __init__(self, labels: int):
        self.channels = labels

    def state_of(self, probability: Tensor) -> Tensor:
        """Label probabilities (B, L, ...), or a one-hot mask -> what is diffused."""
        return (2 * probability).sub_(1)

    def read(self, answer: Tensor, x_t: Tensor, share: float) -> Reading:
        """answer: logits (B, L, ...) of the clean mask."""
        likely = torch.softmax(answer.float(), 1)
        return Reading(self.state_of(likely), likely)


class NoiseProcess:
    """Diffuses the foreground masks in {0, 1}; the network answers with the noise (MedSegDiff V1 and V2, their released
    code).

    A sample's probability mixes the sampled mask with the network's direct opinion, where it has one, as the released
    code does: half and half, or opinion + sample / 4 where the two disagree. The clean mask is clamped to [-1, 1] at
    every step.

    spatial_dims: axes that the network sees at once. Whether the two disagree is told of each slice for a 2D network in
      a volume, for a 3D one of all that it looks at, so that tiles may be told otherwise than the whole image.
    """

    all_steps = False  # an early estimate divides the network's error by a vanishing signal share

    def __init__(self, labels: int, spatial_dims: int = 3):
        self.channels, self.spatial_dims = labels - 1, spatial_dims

    def state_of(self, probability: Tensor) -> Tensor:
        """Label probabilities (B, L, ...), or a one-hot mask -> what is diffused."""
        return probability[:, 1:]

    def read(self, answer, x_t: Tensor, share: float) -> Reading:
        """answer: Denoised.  share: alpha-bar of the step."""
        state = ((x_t - (1 - share) ** 0.5 * answer.noise.float()) / share**0.5).clamp(-1, 1)
        variance = None if answer.variance is None else answer.variance.float()
        foreground = state if answer.mask is None else mix(state, answer.mask.float(), self.spatial_dims)
        return Reading(state, self._probability(foreground.clamp(0, 1)), variance)

    def _probability(self, foreground: Tensor) -> Tensor:
        foreground = foreground / foreground.sum(1, keepdim=True).clamp(min=1)
        return torch.cat([1 - foreground.sum(1, keepdim=True), foreground], 1).clamp(0, 1)


def process_for(prediction: str, labels: int, spatial_dims: int = 3) -> MaskProcess | NoiseProcess:
    """The process of a network's `prediction`, "mask" or "noise".  spatial_dims: axes that it sees at once, 2 or 3."""
    return MaskProcess(labels) if prediction == "mask" else NoiseProcess(labels, spatial_dims)


def mix(state: Tensor, opinion: Tensor, spatial_dims: int) -> Tensor:
    """MedSegDiff's calibrated mask: sampled state and direct opinion (B, M, ...) -> (B, M, ...) in [0, 1].

    The soft Dice that decides is taken for each sample and mask alone (the released code takes it over the batch), over
    the first spatial_dims axes after these: of slices, which come after them, for each one.
    """
    over = tuple(range(2, 2 + spatial_dims))
    inked = (state > 0).to(opinion.dtype)
    dice = (2 * (inked * opinion).sum(over, keepdim=True) + 1e-5) / ((inked + opinion).sum(over, keepdim=True) + 1e-5)
    return torch.where(dice < AGREEING, opinion + 0.25 * state, 0.5 * opinion + 0.5 * state).clamp(0, 1)
