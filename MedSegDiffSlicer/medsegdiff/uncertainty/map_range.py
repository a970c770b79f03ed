"""Which values the colours of a map span: the same on the command line, in Slicer's panel and in its effect."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

MOST = 4  # equally likely labels that have the brightest colour; a boundary has two, and must be seen among dozens
DISAGREEMENT = ("mutual-information", "variance")  # mostly a small part of what it may be
SHARE = 1.5  # times the mean of a map, weighted by itself; that of an entropy gives about its whole range
FAINTEST = 0.05  # of the range; opinions that differ by less look as if they agreed


class Span(NamedTuple):
    """From which to which value.  open: whether there may be higher ones, which have the colour of the highest."""

    low: float
    high: float
    open: bool = False


def span_of(kind: str, labels: int, values: np.ndarray) -> Span:
    """For disagreement what this map has, so that it is seen, else what the kind may have.

    kind: a measure (see uncertainty.measures), or "probability".  labels: between which the opinions choose, background
    included.  values: the map.
    """
    low, high, is_open = _possible(kind, labels)
    if kind not in DISAGREEMENT:
        return Span(low, high, is_open)
    flat = values.ravel(order="K")
    total = float(flat.sum(dtype=np.float64))
    own = SHARE * float(np.vdot(flat, flat)) / total if total > 0 else 0.0
    return Span(low, min(max(own, FAINTEST * high), high), True)


def _possible(kind: str, labels: int) -> Span:
    """Nats; of the variance the most that one label can have; probability."""
    if kind in ("variance", "probability"):
        return Span(0.0, {"variance": 0.25, "probability": 1.0}[kind])
    high = math.log(min(labels, MOST))
    return Span(0.0, high / 2 if kind == "mutual-information" else high, labels > MOST)
