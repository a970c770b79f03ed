"""Means over cases, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

RESAMPLES = 2000


def summarise(values: Iterable[float | None], seed: int = 0) -> dict[str, float | int | list[float] | None]:
    """Mean and 95 % bootstrap interval (percentiles of the means of 2000 resamples); None values are left out.

    Returns `mean`, `interval` [low, high], `cases` (values used). Without values mean and interval are None, with one
    value the interval is.
    """
    used = np.array([value for value in values if value is not None], dtype=float)
    if used.size == 0:
        return {"mean": None, "interval": None, "cases": 0}
    interval = None
    if used.size > 1:
        draws = np.random.default_rng(seed).integers(0, used.size, (RESAMPLES, used.size))
        interval = [float(v) for v in np.quantile(used[draws].mean(axis=1), (0.025, 0.975))]
    return {"mean": float(used.mean()), "interval": interval, "cases": int(used.size)}
