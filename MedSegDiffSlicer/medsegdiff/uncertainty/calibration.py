"""Fits that make a model's own estimates agree with validation cases; stored in the model package as `calibration`.

temperature: divides the logits of every member (Guo et al., 2017, arXiv:1706.04599).
expected_dice: label -> [offset, slope] of true Dice over soft Dice.
relative_volume_error: label -> bound that 95 % of cases keep, beyond the spread of the samples.
"""

from __future__ import annotations

import numpy as np


def negative_log_likelihood(probability: np.ndarray, reference: np.ndarray) -> float:
    """Mean over voxels in nats. probability: (L, I, J, K); reference: (I, J, K) labels."""
    right = np.take_along_axis(probability, reference[None].astype(np.int64), 0)
    return float(-np.log(np.clip(right, 1e-7, 1)).mean(dtype=np.float64))


def fit_expected_dice(soft: np.ndarray, true: np.ndarray) -> list[float]:
    """[offset, slope] of the least-squares line through (soft, true), one value a case; the mean where slope has no meaning."""
    if len(soft) < 3 or np.ptp(soft) < 1e-6:
        return [float(np.mean(true)), 0.0]
    slope, offset = np.polyfit(soft, true, 1)
    return [float(offset), float(slope)] if slope > 0 else [float(np.mean(true)), 0.0]


def fit_relative_error(volume: np.ndarray, half_width: np.ndarray, reference: np.ndarray) -> float:
    """Smallest c for which hypot(half_width, c volume) covers |volume - reference| in 95 % of the cases.

    The quantile is the conformal one, ceil(0.95 (n + 1)) of n, so that new cases are covered too (Vovk et al., 2005).
    """
    error = np.abs(volume - reference)
    missing = np.sqrt(np.maximum(error**2 - half_width**2, 0)) / np.maximum(volume, 1e-9)
    rank = min(len(missing), int(np.ceil(0.95 * (len(missing) + 1))))
    return float(np.sort(missing)[rank - 1])
