"""Do the probabilities mean what they say? Calibration errors and proper scores of the voxels near the structures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..uncertainty.all_labels import Probability, labels_of
from .neighbourhood import near

BINS = 15
NEIGHBOURHOOD = 10.0  # voxels
SCORES = ("ece", "ace", "brier", "nll")
_LEAST = 1e-7  # a probability of 0 that comes true would cost infinitely much


@dataclass(frozen=True)
class Reliability:
    """Voxels sorted into BINS equal bins of [0, 1] by a probability; sums, so that cases add up to a data set.

    counts: voxels.  probability: sum of their probabilities.  true: how many came true. Each (BINS,) float64.
    """

    counts: np.ndarray
    probability: np.ndarray
    true: np.ndarray

    @classmethod
    def of(cls, probability: np.ndarray, true: np.ndarray) -> Reliability:
        """probability: (n,) in [0, 1].  true: (n,) bool, whether what it is the probability of is so."""
        places = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
        sums = (np.bincount(places, weights, BINS) for weights in (None, probability, true))
        return cls(*(part.astype(np.float64) for part in sums))

    def __add__(self, other: Reliability) -> Reliability:
        return Reliability(
            self.counts + other.counts, self.probability + other.probability, self.true + other.true
        )  # fmt: skip

    @property
    def ece(self) -> float:
        """Expected calibration error in [0, 1]: mean gap between probability and frequency, bins weighted by their
        voxels (Naeini et al., 2015; Guo et al., 2017, arXiv:1706.04599)."""
        return float(np.abs(self.probability - self.true).sum() / self.counts.sum())

    @property
    def ace(self) -> float:
        """Average calibration error in [0, 1]: the same with all bins that hold a voxel weighing equally (Neumann et
        al., 2018; Jungo et al., 2020; as in ValUES, Kahl et al., 2024)."""
        used = self.counts > 0
        return float((np.abs(self.probability - self.true)[used] / self.counts[used]).mean())

    def to_dict(self) -> dict[str, float | list[int] | list[float | None]]:
        """`ece`, `ace`, and of each bin `voxels`, mean `probability` and `frequency` (None in empty bins)."""
        means = [
            [float(s / n) if n else None for s, n in zip(sums, self.counts)] for sums in (self.probability, self.true)
        ]
        voxels = [int(n) for n in self.counts]
        return {"ece": self.ece, "ace": self.ace, "voxels": voxels, "probability": means[0], "frequency": means[1]}


@dataclass(frozen=True)
class Calibration:
    """Reliability, Brier score and negative log-likelihood (nats), both means over the voxels."""

    reliability: Reliability
    brier: float
    nll: float

    def scores(self) -> dict[str, float]:
        """SCORES by name."""
        return {"ece": self.reliability.ece, "ace": self.reliability.ace, "brier": self.brier, "nll": self.nll}


def calibration(probability: Probability, references: Sequence[np.ndarray]) -> Calibration | None:
    """Calibration of all labels together: how often the likeliest label is right, against its probability.

    probability: (L, I, J, K) float in [0, 1], summing to 1.  references: label maps (I, J, K), one a rater; each voxel
    counts once a rater. Counted are voxels within 10 voxels (Euclidean) of a predicted or reference structure. Brier
    score: summed over labels, in [0, 2]. None where nobody sees a structure.
    """
    likely = labels_of(probability)
    likeliest = likely.argmax()
    found = near((likeliest > 0) | np.any([reference > 0 for reference in references], axis=0), NEIGHBOURHOOD)
    if found is None:
        return None
    box, close = found
    p, best = likely[(slice(None), *box)][:, close], likeliest[box][close]
    confidence, squares = p.max(), p.squares()
    parts = []
    for reference in references:
        truth = reference[box][close]
        known = truth < len(p)  # a label that the model does not have was given no probability
        given = np.where(known, p.chosen(np.where(known, truth, 0)), 0)
        brier = (squares - 2 * given + 1).mean()
        nll = -np.log(np.clip(given, _LEAST, 1)).mean()
        parts.append(Calibration(Reliability.of(confidence, best == truth), float(brier), float(nll)))
    return _together(parts)


def structure_calibration(
    probability: np.ndarray, predicted: np.ndarray, references: Sequence[np.ndarray]
) -> Calibration | None:
    """Calibration of one structure: how often a voxel is part of it, against the probability that it is.

    probability: (I, J, K) in [0, 1].  predicted, references: masks (I, J, K), the latter one a rater. Counted as in
    `calibration`, around this structure. Brier score in [0, 1].
    """
    found = near(predicted | np.any(references, axis=0), NEIGHBOURHOOD)
    if found is None:
        return None
    box, close = found
    p = probability[box][close].astype(np.float64)
    parts = []
    for reference in references:
        truth = reference[box][close]
        given = np.where(truth, p, 1 - p)
        nll = -np.log(np.clip(given, _LEAST, 1)).mean()
        parts.append(Calibration(Reliability.of(p, truth), float(np.square(1 - given).mean()), float(nll)))
    return _together(parts)


def _together(raters: Sequence[Calibration]) -> Calibration:
    total = raters[0].reliability
    for one in raters[1:]:
        total += one.reliability
    return Calibration(total, float(np.mean([r.brier for r in raters])), float(np.mean([r.nll for r in raters])))
