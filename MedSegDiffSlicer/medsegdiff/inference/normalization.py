"""Intensities of a channel, as a model wants them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import RequestError
from ..models.config_checks import NORMALIZATIONS
from ..uncertainty.measures import slabs

CLIPPED = ("low", "high", "mean", "deviation")  # entries of the normalization by fixed numbers
PERCENTILES = (0.5, 99.5)
_LEAST = 1e-8  # deviation, as in nnU-Net

# A name of NORMALIZATIONS, or the entries CLIPPED.
Normalization = str | Mapping[str, float]


def check_normalization(how: Any) -> None:
    """Raises RequestError unless it is a Normalization."""
    if isinstance(how, Mapping):
        numbers = set(how) == set(CLIPPED) and all(type(value) in (int, float) for value in how.values())
        good = numbers and how["low"] < how["high"] and how["deviation"] > 0
    else:
        good = how in NORMALIZATIONS
    if not good:
        known = ", ".join(NORMALIZATIONS)
        raise RequestError(f"normalization {how!r} is unknown; use {known}, or numbers for {', '.join(CLIPPED)}")


def normalize(channel: np.ndarray, how: Normalization, mask: np.ndarray | None = None) -> None:
    """In place, float32 (i, j, k). mask: the voxels that "zscore-nonzero" changes; None for those that are not 0."""
    if isinstance(how, Mapping):
        np.clip(channel, how["low"], how["high"], out=channel)
        channel -= how["mean"]
        channel /= max(how["deviation"], _LEAST)
    elif how in ("zscore", "zscore-nonzero"):
        where = slice(None) if how == "zscore" else channel != 0 if mask is None else mask
        inside = channel[where]
        mean, deviation = (inside.mean(dtype=np.float64), inside.std(dtype=np.float64)) if inside.size else (0, 1)
        deviation = deviation if deviation > 1e-6 * abs(mean) else np.inf
        for part in [where] if how == "zscore-nonzero" else slabs(channel.shape):
            channel[part] = (channel[part] - mean) / deviation  # in float64: large volumes have no room for all of that
    elif how == "percentile":
        low, high = np.percentile(channel, PERCENTILES)
        _to_unit(channel, low, high)
        np.clip(channel, 0, 1, out=channel)
    elif how == "minmax":
        _to_unit(channel, channel.min(), channel.max())
    elif how == "8bit":
        channel /= 255


def _to_unit(channel: np.ndarray, low: float, high: float) -> None:
    channel -= low
    channel /= high - low if high > low else np.inf
