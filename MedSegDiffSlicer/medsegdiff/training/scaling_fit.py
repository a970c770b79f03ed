"""Fits the scaling of a model's opinions on voxels near the structures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..evaluation.calibration_error import NEIGHBOURHOOD, Reliability
from ..evaluation.neighbourhood import near
from ..uncertainty.calibration import folds
from ..uncertainty.scaling import scale

VOXELS = 4000  # of a case, at random
FOLDS = 5
_BOUNDS = {"power": (0.5, 3.0), "temperature": (0.2, 100.0)}
_HOLD = 1e-4  # keeps the temperatures of rare labels near the others
_LEAST = 1e-7


@dataclass(frozen=True)
class Voxels:
    """Some voxels of a case within 10 voxels of a structure: what each opinion says there, and what is true.

    probability: (S, L, n) float32, not scaled.  label: (n,) int64.  weights: (S,), of the opinions; None: alike.
    """

    probability: np.ndarray
    label: np.ndarray
    weights: np.ndarray | None = None

    def mean(self, power: Tensor | float, temperatures: Tensor) -> Tensor:
        """Of the scaled opinions, (L, n); see uncertainty.scaling."""
        scaled = scale(torch.from_numpy(self.probability), power, temperatures)
        if self.weights is None:
            return scaled.mean(0)
        shares = torch.as_tensor(self.weights / np.sum(self.weights), dtype=scaled.dtype)
        return torch.einsum("s,sln->ln", shares, scaled)


class Collector:
    """Watches a run (see inference.asking.Watch) and keeps what the opinions say of VOXELS voxels near the structures.

    reference: (I, J, K) labels.
    """

    def __init__(self, reference: np.ndarray):
        self.reference, self.at, self.kept = reference.reshape(-1), np.empty(0, np.int64), []
        found = near(reference > 0, NEIGHBOURHOOD)
        if found is not None:
            box, close = found
            there = np.arange(reference.size).reshape(reference.shape)[box][close]
            self.at = np.sort(np.random.default_rng(0).permutation(there)[:VOXELS])

    def __call__(self, probability: np.ndarray, labelmap: np.ndarray) -> None:
        """Takes one opinion."""
        self.kept.append(probability.reshape(len(probability), -1)[:, self.at])

    def voxels(self, weights: np.ndarray | None = None) -> Voxels | None:
        """What was kept; None where the reference has no structure.  weights: of the opinions, see Voxels."""
        if not len(self.at):
            return None
        return Voxels(np.stack(self.kept), self.reference[self.at].astype(np.int64), weights)


def fit_scaling(cases: Sequence[Voxels]) -> dict:
    """`temperature`, `power` and `label_scale` (see uncertainty.scaling) of the least negative log-likelihood of the
    mean of the scaled opinions."""
    from scipy.optimize import minimize

    labels = cases[0].probability.shape[1]
    pairs = [(case, torch.from_numpy(case.label)) for case in cases]

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        numbers = torch.tensor(x, dtype=torch.float32, requires_grad=True)
        power, temperatures = numbers[0].exp(), (numbers[1] + numbers[2:]).exp()
        total = _HOLD * numbers[2:].square().sum()
        for case, label in pairs:
            right = case.mean(power, temperatures).gather(0, label[None]).clamp(min=_LEAST)
            total = total - right.log().mean() / len(pairs)
        total.backward()
        return float(total.detach()), numbers.grad.numpy().astype(np.float64)

    bounds = [tuple(np.log(_BOUNDS["power"])), tuple(np.log(_BOUNDS["temperature"])), *[(-1.5, 1.5)] * labels]
    found = minimize(loss, np.zeros(2 + labels), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 40}).x
    return {
        "temperature": float(f"{np.exp(found[1]):.5g}"), "power": float(f"{np.exp(found[0]):.5g}"),
        "label_scale": [float(f"{x:.5g}") for x in np.exp(found[2:])],
    }  # fmt: skip


def reliability(cases: Sequence[Voxels], scaling: dict) -> Reliability:
    """How often the likeliest label of the mean opinion is right, against its probability."""
    temperatures = torch.tensor(scaling["label_scale"]) * scaling["temperature"]
    parts = []
    for case in cases:
        mean = case.mean(scaling["power"], temperatures).numpy()
        parts.append(Reliability.of(mean.max(0), mean.argmax(0) == case.label))
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total


def cross_validated_ece(images: Sequence[Sequence[Voxels]]) -> float | None:
    """Expected calibration error (15 bins) of images that the scaling was not fitted on; None for fewer than 3 images.

    images: the voxels of each image, once a rater: what an image's raters say is held out together.
    """
    parts = folds(len(images), FOLDS)
    held = [reliability(_flat(images, out), fit_scaling(_flat(images, fit))) for fit, out in parts]
    if not held:
        return None
    total = held[0]
    for part in held[1:]:
        total += part
    return total.ece


def _flat(images: Sequence[Sequence[Voxels]], numbers: Sequence[int]) -> list[Voxels]:
    return [voxels for number in numbers for voxels in images[number]]
