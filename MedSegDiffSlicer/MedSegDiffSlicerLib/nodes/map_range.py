"""Which values the colours of a map span; without Slicer, so that a thread can tell it."""

from __future__ import annotations

import math

import numpy as np

# What a map may have: nats; of the variance the most that one label can have; probability.
RANGES = {
    "entropy": (0.0, math.log(2)),
    "expected-entropy": (0.0, math.log(2)),
    "mutual-information": (0.0, math.log(2) / 2),
    "variance": (0.0, 0.25),
    "probability": (0.0, 1.0),
}
DISAGREEMENT = ("mutual-information", "variance")  # mostly a small part of what it may be
SHARE = 1.5  # times the mean of a map, weighted by itself; that of an entropy gives about its whole range
FAINTEST = 0.05  # of the range; opinions that differ by less look as if they agreed


def range_of(kind: str, values: np.ndarray) -> tuple[float, float]:
    """From which to which value: for disagreement what this map has, so that it is seen, else what the kind may have.

    kind: a key of RANGES.  values: the map.
    """
    low, high = RANGES[kind]
    if kind not in DISAGREEMENT:
        return low, high
    flat = values.ravel(order="K")
    total = float(flat.sum(dtype=np.float64))
    own = SHARE * float(np.vdot(flat, flat)) / total if total > 0 else 0.0
    return low, min(max(own, FAINTEST * high), high)
