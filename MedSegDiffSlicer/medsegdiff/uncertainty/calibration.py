"""Fits that make a model's own estimates agree with validation cases; stored in the model package as `calibration`.

temperature, power, label_scale: see uncertainty.scaling.
expected_dice: label -> what predict_dice reads.
relative_volume_error: label -> bound that 95 % of cases keep, beyond the spread of the samples.
coverage: share of cases that the 95 % volume interval covered in cross-validation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .rules import DICE_FEATURES

FEATURES = DICE_FEATURES  # what the expected Dice depends on; see dice_features
_RIDGE, _FEWEST = 0.1, 10  # strength of the shrinkage per case; few cases are shrunk as if they were so many
_SMALL_ERROR = 0.01  # Dice; below it errors count by their square, above it by their size
_ROUNDS = 20
_CONFORMAL = 19  # least cases of which one is the conformal 95 % quantile
_MISSED = 0.1  # a volume of less than this share of the reference is a missed structure
_OUTLYING = 6  # medians; errors beyond count as if they were so large


def dice_features(soft: float | None, agreement: float | None, volume: float) -> list[float]:
    """The numbers of FEATURES for one structure; NaN where one does not exist.

    soft: soft Dice of mask and probability.  agreement: mean pairwise Dice of the samples.  volume: mm^3.
    """
    return [np.nan if x is None else float(x) for x in (soft, agreement, np.log(volume) if volume > 0 else None)]


def predict_dice(entry: Any, features: list[float]) -> float | None:
    """Expected Dice in [0, 1] of one structure; None where its soft Dice does not exist, or nothing was fitted for it.

    entry: the calibration's `expected_dice` of this label: {"dice", "highest", "features": {name: [usual, slope]}},
      where "dice" is the median of the calibration cases and "highest" their best; or [offset, slope] of a line over
      the soft Dice; or None.  features: as from dice_features; those that do not exist count as usual.
    """
    soft = features[0]
    if entry is None or np.isnan(soft):
        return None
    if isinstance(entry, (list, tuple)):
        return float(np.clip(entry[0] + entry[1] * soft, 0, 1))
    known = dict(zip(FEATURES, features))
    shifts = [slope * (known[name] - usual) for name, (usual, slope) in entry["features"].items()]
    return float(np.clip(entry["dice"] + np.nansum(shifts), 0, entry["highest"]))


def without_agreement(calibration: dict) -> dict:
    """A copy of a calibration whose expected Dice does not depend on the agreement of the samples: it counts as usual.

    For samples that were drawn otherwise than in the calibration, whose agreement is another for the same Dice.
    """
    entries = {}
    for label, entry in calibration.get("expected_dice", {}).items():
        if isinstance(entry, dict):
            kept = {name: line for name, line in entry["features"].items() if name != "sample_agreement"}
            entry = {**entry, "features": kept}
        entries[label] = entry
    return {**calibration, "expected_dice": entries}


def after(own: dict, then: dict, labels: int) -> dict:
    """The calibration `then`, with the scaling that equals the scaling of `own` followed by its own.

    labels: with background.
    """
    power, further = float(own.get("power", 1.0)), float(then.get("power", 1.0))
    both = [
        [float(entry.get("temperature", 1.0)) * factor for factor in entry.get("label_scale", [1.0] * labels)]
        for entry in (own, then)
    ]
    factors = [first**further * second for first, second in zip(*both)]
    return {**then, "temperature": 1.0, "power": power * further, "label_scale": factors}


def undone(entry: dict, labels: int) -> dict:
    """A calibration whose scaling takes back that of another one, but for what rounding has lost.

    labels: with background.
    """
    power, temperature = float(entry.get("power", 1.0)), float(entry.get("temperature", 1.0))
    factors = entry.get("label_scale", [1.0] * labels)
    return {"power": 1 / power, "label_scale": [(temperature * factor) ** (-1 / power) for factor in factors]}


def fit_expected_dice(features: np.ndarray, dice: np.ndarray) -> list[dict | None]:
    """An entry for predict_dice a label; None for labels that no case has.

    features: (N, L, F) as from dice_features, NaN where the structure is absent.  dice: (N, L) true Dice, NaN likewise.
    The labels share their slopes (of features standardised a label at a time), which are at least 0, shrunk, and fitted
    with Huber's loss, because few cases of a data set are bad ones: few numbers from few cases.
    """
    from scipy.optimize import nnls

    usual, spread = _centre(features)
    present = [column[np.isfinite(column)] for column in dice.T]
    middle = np.array([np.median(column) if len(column) else np.nan for column in present])
    scores = np.nan_to_num((features - usual) / spread)
    known = np.isfinite(dice)
    x, y = scores[known], (dice - middle)[known]
    ridge = np.sqrt(_RIDGE * max(len(y), _FEWEST)) * np.eye(x.shape[1])
    slopes, weights = np.zeros(x.shape[1]), np.ones(len(y))
    for _ in range(_ROUNDS):
        root = np.sqrt(weights)
        slopes, _ = nnls(np.vstack([x * root[:, None], ridge]), np.append(y * root, np.zeros(len(ridge))))
        weights = np.minimum(1, _SMALL_ERROR / np.maximum(np.abs(y - x @ slopes), 1e-9))
    entries: list[dict | None] = []
    for label, best in enumerate(np.nanmax(np.where(known, dice, -np.inf), 0)):
        if not known[:, label].any():
            entries.append(None)
            continue
        lines = zip(FEATURES, usual[label], slopes / spread[label])
        kept = {name: [_rounded(u), _rounded(s)] for name, u, s in lines if s > 0 and np.isfinite(u)}
        entries.append({"dice": _rounded(middle[label]), "highest": _rounded(best), "features": kept})
    return entries


def _centre(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and deviations (L, F) of what exists; a feature that never changes has an infinite deviation."""
    present = np.isfinite(features)
    count = np.maximum(present.sum(0), 1)
    mean = np.where(present.any(0), np.where(present, features, 0).sum(0) / count, np.nan)
    deviation = np.sqrt((np.where(present, features - mean, 0) ** 2).sum(0) / count)
    return mean, np.where(deviation > 1e-6, deviation, np.inf)


def fit_relative_errors(volume: np.ndarray, half_width: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """For each label the c for which hypot(half_width, c volume) covers |volume - reference| in 95 % of new cases.

    All (N, L), mm^3, NaN where the structure is absent -> (L,), 0 for labels that no case has. Each label has its own
    scale (root mean square of what its interval lacks, in which outliers count no more than 6 median errors). With 19
    cases or more the quantile, ceil(0.95 (n + 1)) of n, is the conformal one (Vovk et al., 2005) of all labels' scaled
    errors together, since that of 40 numbers would be nearly their largest. With fewer, of which none is that quantile,
    it is that of Student's t with as many degrees of freedom as the label has cases, which takes the errors for normal.
    Missed structures (less than a tenth of the reference found) are left out: no multiple of such a volume tells the
    error.
    """
    from scipy.special import stdtrit

    found = volume > _MISSED * np.nan_to_num(reference)
    with np.errstate(invalid="ignore"):
        lacking = np.sqrt(np.maximum((volume - reference) ** 2 - half_width**2, 0))
    known = np.isfinite(lacking) & found
    errors = np.where(known, lacking, 0) / np.where(known, volume, 1)
    whole = np.where(known, np.abs(volume - reference), np.nan) / np.where(known, volume, 1)
    medians = np.array([np.median(x[k]) if k.any() else 0.0 for x, k in zip(whole.T, known.T)])
    count = np.maximum(known.sum(0), 1)
    scale = np.sqrt((np.minimum(errors, _OUTLYING * medians) ** 2).sum(0) / count)
    if known.any(1).sum() < _CONFORMAL:
        return stdtrit(count, 0.975) * scale
    scaled = np.sort((errors / np.maximum(scale, 1e-9))[known])
    rank = min(len(scaled), int(np.ceil(0.95 * (len(scaled) + 1))))
    return scaled[rank - 1] * scale


def covered(volume: np.ndarray, half_width: np.ndarray, reference: np.ndarray, relative: np.ndarray) -> np.ndarray:
    """Whether the intervals hold the reference: (N, L) float, 1 or 0, NaN where the structure is absent. relative:
    (L,)."""
    inside = np.abs(volume - reference) <= np.hypot(half_width, relative * volume)
    return np.where(np.isfinite(volume - reference), inside, np.nan)


def folds(cases: int, most: int = 20) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(numbers to fit on, numbers held out) of a cross-validation with `most` parts or fewer; none with fewer than 3
    cases."""
    if cases < 3:
        return
    order = np.random.default_rng(0).permutation(cases)
    for held in np.array_split(order, min(cases, most)):
        yield np.setdiff1d(order, held), held


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
