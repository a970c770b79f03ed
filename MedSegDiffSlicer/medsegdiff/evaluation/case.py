"""All figures of one case: a segmentation with its opinions against the masks of one or several raters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..image import Image
from ..uncertainty.all_labels import labels_of
from .ambiguity import compare_opinions
from .calibration_error import SCORES, Calibration, Reliability, calibration, structure_calibration
from .error_detection import error_auroc
from .metrics import METRICS, TOLERANCE, compare

ALL = 0  # stands for all structures together, where label values are keys
AMBIGUITY = ("ged", "matched_iou", "sample_diversity", "rater_diversity")
# Entries of a report's `segments` that may tell a good segmentation from a bad one, and the sign by which more is
# better; of the numbers in its entry `uncertainty` less is better.
CONFIDENCES = {"expected_dice": 1, "sample_agreement": 1, "mean_uncertainty": -1, "worst_uncertainty": -1}


@dataclass(frozen=True)
class Prediction:
    """A segmentation and what is known about its uncertainty.

    labelmap: (I, J, K) whole numbers.  probability: (L, I, J, K) in [0, 1], background first.  samples: (S, I, J, K), a
    label map an opinion.  weights: (S,) of the samples, summing to 1; None for equal ones.  uncertainty: maps (I, J, K)
    by the name of their measure; the entropy is made from the probability where it is not given.  statistics: entries
    of a report's `segments`, by label.  aggregates: numbers made of the whole uncertainty map, see
    uncertainty.aggregation.
    """

    labelmap: np.ndarray
    probability: np.ndarray | None = None
    samples: np.ndarray | None = None
    weights: np.ndarray | None = None
    uncertainty: Mapping[str, np.ndarray] = field(default_factory=dict)
    statistics: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    aggregates: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class CaseFigures:
    """structures: by label, plain data.  whole: plain data of the case.  reliability: by label and of ALL, if known."""

    structures: dict[int, dict[str, Any]]
    whole: dict[str, Any]
    reliability: dict[int, Reliability]


def evaluate_case(
    prediction: Prediction,
    references: Sequence[np.ndarray],
    grid: Image,
    values: Sequence[int],
    tolerance: float = TOLERANCE,
) -> CaseFigures:
    """Compares a segmentation with its references.

    references: label maps (I, J, K), one a rater: every figure is the mean over the raters.  grid: an image whose
    voxels all share.  values: labels to compare.  tolerance: of the surface Dice, in mm.
    A structure has the entries of metrics.compare, and where what they need is known: SCORES (see calibration_error),
    AMBIGUITY (see ambiguity), those of CONFIDENCES, `expected_dice_withheld` where that is so, `uncertainty`
    (aggregates), `volume_interval_mm3`, and `covered`: share of the raters' volumes inside of it. The case
    has the means of these over its structures, but its SCORES are of all labels together, and its aggregates its own;
    `error_auroc` by measure, and `auroc`, that of the entropy (see error_detection).
    """
    maps = dict(prediction.uncertainty)
    if prediction.probability is not None:
        maps.setdefault("entropy", labels_of(prediction.probability).entropy)
    by_rater = [compare(prediction.labelmap, reference, grid, values, tolerance) for reference in references]
    structures, reliability = {}, {}
    for index, value in enumerate(values):
        compared = [rater[index] for rater in by_rater]
        figures = {key: _mean(one[key] for one in compared) for key in compared[0]}
        masks = [reference == value for reference in references]
        if prediction.probability is not None and value < len(prediction.probability):
            found = structure_calibration(prediction.probability[value], prediction.labelmap == value, masks)
            figures |= _scores(found, value, reliability)
        if prediction.samples is not None:
            figures |= compare_opinions(prediction.samples == value, masks, prediction.weights)
        volumes = [one["reference_volume_mm3"] for one in compared]
        figures |= _statistics(prediction, value, maps.get("entropy"), volumes)
        structures[value] = {**figures, "label": value}
    whole = _over_structures(list(structures.values()))
    if prediction.aggregates:
        whole["uncertainty"] = dict(prediction.aggregates)
    if prediction.probability is not None:
        whole |= _scores(calibration(prediction.probability, references), ALL, reliability)
    if maps:
        labelmap = prediction.labelmap
        detected = {name: _mean(error_auroc(doubt, labelmap, r) for r in references) for name, doubt in maps.items()}
        whole |= {"error_auroc": detected, "auroc": detected.get("entropy")}
    return CaseFigures(structures, whole, reliability)


def _scores(found: Calibration | None, value: int, reliability: dict[int, Reliability]) -> dict[str, float | None]:
    if found is None:
        return dict.fromkeys(SCORES)
    reliability[value] = found.reliability
    return found.scores()


def _statistics(
    prediction: Prediction, value: int, doubt: np.ndarray | None, volumes: Sequence[float]
) -> dict[str, Any]:  # fmt: skip
    """The structure's entries of the report; without one, what its uncertainty map tells. volumes: raters', mm^3."""
    told = prediction.statistics.get(value)
    if told is None:
        inside = prediction.labelmap == value
        return {} if doubt is None else {"mean_uncertainty": float(doubt[inside].mean()) if inside.any() else None}
    out = {name: told[name] for name in (*CONFIDENCES, "uncertainty") if name in told}
    if told.get("expected_dice_withheld"):
        out["expected_dice_withheld"] = True
    if told.get("volume_interval_mm3"):
        low, high = told["volume_interval_mm3"]
        covered = float(np.mean([low <= volume <= high for volume in volumes]))
        out |= {"volume_interval_mm3": [low, high], "covered": covered}
    return out


def _over_structures(structures: list[dict[str, Any]]) -> dict[str, Any]:
    keys = [key for key in (*METRICS, *AMBIGUITY, *CONFIDENCES, "covered") if any(key in s for s in structures)]
    whole: dict[str, Any] = {key: _mean(s.get(key) for s in structures) for key in keys}
    # the mean of the others would be that of other structures
    if any("expected_dice_withheld" in s for s in structures):
        whole |= {"expected_dice": None, "expected_dice_withheld": True}
    return whole


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
