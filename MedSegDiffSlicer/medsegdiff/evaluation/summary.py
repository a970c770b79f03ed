"""Means, shares and other figures over cases, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

RESAMPLES = 2000
FEWEST = 10  # cases; the resamples of fewer say too little of other cases
Figure = dict[str, float | int | list[float] | None]


def summarise(values: Iterable[float | None], seed: int = 0) -> Figure:
    """Mean and 95 % bootstrap interval (percentiles of the means of 2000 resamples); None values are left out.

    Returns `mean`, `interval` [low, high], `cases` (values used). Without values mean and interval are None, with fewer
    than FEWEST the interval is.
    """
    used = np.array([value for value in values if value is not None], dtype=float)
    if used.size == 0:
        return {"mean": None, "interval": None, "cases": 0}
    interval = None
    if used.size >= FEWEST:
        draws = np.random.default_rng(seed).integers(0, used.size, (RESAMPLES, used.size))
        interval = [float(v) for v in np.quantile(used[draws].mean(axis=1), (0.025, 0.975))]
    return {"mean": float(used.mean()), "interval": interval, "cases": int(used.size)}


def proportion(values: Iterable[float | None]) -> Figure:
    """Mean of shares in [0, 1], each mostly 0 or 1, and its exact binomial 95 % interval (Clopper & Pearson, 1934);
    None values are left out.

    Cases whose share lies between, as of several raters or structures, count as such a part of a hit, which makes the
    interval rather too wide. Returns entries as `summarise`; without values mean and interval are None.
    """
    from scipy.special import betaincinv

    used = [value for value in values if value is not None]
    if not used:
        return {"mean": None, "interval": None, "cases": 0}
    hits, misses = sum(used), len(used) - sum(used)
    low = float(betaincinv(hits, misses + 1, 0.025)) if hits else 0.0
    high = float(betaincinv(hits + 1, misses, 0.975)) if misses else 1.0
    return {"mean": hits / len(used), "interval": [low, high], "cases": len(used)}


def estimate(statistic: Callable[..., np.ndarray], *columns: Sequence[float], seed: int = 0) -> Figure:
    """A figure of several values a case, with its 95 % bootstrap interval over the cases.

    statistic: takes as many arrays (..., n) as there are columns, gives (...); NaN where it is not defined.
    columns: (n,) each.
    Returns `value`, `interval` [low, high] of the resamples for which it is defined, `cases`; None where there is none,
    as no interval of fewer cases than FEWEST.
    """
    arrays = [np.asarray(column) for column in columns]
    count = len(arrays[0])
    if count < 2:
        return {"value": None, "interval": None, "cases": count}
    value = float(statistic(*arrays))
    if np.isnan(value):
        return {"value": None, "interval": None, "cases": count}
    interval = None
    if count >= FEWEST:
        draws = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
        drawn = statistic(*(array[draws] for array in arrays))
        interval = [float(v) for v in np.nanquantile(drawn, (0.025, 0.975))]
    return {"value": value, "interval": interval, "cases": count}
