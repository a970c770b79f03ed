"""A result as large as those of real scans, made in seconds by the engine's own functions, without a model."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from medsegdiff.inference.result import SegmentResult
from medsegdiff.models.package import Label
from medsegdiff.uncertainty.accumulator import OpinionAccumulator
from medsegdiff.worker.client import Event

LABELS = (Label(1, "organ", (220, 160, 60)), Label(2, "lesion", (60, 120, 220)))
SAMPLES = 6
SPACING = (0.8, 0.8, 1.5)  # mm


def large_result(shape: tuple[int, int, int]) -> SegmentResult:
    """An organ half as wide as the scan, with a lesion; opinions differ at their boundaries, one has no lesion."""
    opinions, rng = OpinionAccumulator(len(LABELS) + 1, shape), np.random.default_rng(0)
    box = tuple(slice(n // 8, n - n // 8) for n in shape)
    axes = np.ogrid[tuple(slice(-1, 1, complex(side.stop - side.start)) for side in box)]
    for number in range(SAMPLES):
        organ = _blob(axes, rng.normal(0, 0.02, 3), 0.66 + rng.normal(0, 0.02))
        lesion = _blob(axes, 0.3 + rng.normal(0, 0.01, 3), 0.2 if number else 0.01)
        probability = np.zeros((len(LABELS) + 1, *shape), np.float32)
        probability[0] = 1
        probability[0][box], probability[1][box], probability[2][box] = 1 - organ, organ * (1 - lesion), organ * lesion
        opinions.add(probability, probability.argmax(0).astype(np.uint8))
    affine = np.diag([*SPACING, 1.0])
    result = SegmentResult.of(opinions, "mean", None, affine, LABELS, {})
    result.report.update(
        model="toy", model_sha256="ab" * 32, version="0", seed=1, sampler="ddim", steps=1, samples=SAMPLES,
        fusion="mean", threshold=None, warnings=[], device="none",
    )  # fmt: skip
    return result


def _blob(axes, centre, radius: float) -> np.ndarray:
    """(i, j, k) float32, 1 in a ball and 0 outside of it, with a soft boundary."""
    away = sum((axis - c).astype(np.float32) ** 2 for axis, c in zip(axes, centre))
    return np.clip(0.5 - 12 * (np.sqrt(away) - np.float32(radius)), 0, 1).astype(np.float32)


class StandInWorker:
    """A worker's client whose answer to everything is one result."""

    def __init__(self, result: SegmentResult):
        self._result, self.pid, self.last_lines = result, None, []

    def submit(self, request, image, previews: bool = False):
        """A job that is done at once."""
        events = [Event("result", fraction=1.0, result=self._result)]
        return SimpleNamespace(poll=lambda: [events.pop()] if events else [], cancel=lambda: None)

    def close(self) -> None:
        """Nothing is to be ended."""
