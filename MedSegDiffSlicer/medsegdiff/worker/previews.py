"""What a run looks like while it is under way."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from ..uncertainty.accumulator import Accumulator
from ..uncertainty.fusion import decide
from ..uncertainty.measures import slabs

INTERVAL = 0.3  # seconds between two previews at least


class Previews:
    """Shows the label map of the mean of the opinions so far: of the first one at once, then now and then.

    show(labelmap (I, J, K) uint8, number of opinions).  threshold: see fusion.decide.
    Where several models are asked, each begins anew.
    """

    def __init__(self, show: Callable[[np.ndarray, int], None], threshold: float | None):
        self._show, self._threshold = show, threshold
        self._shown: float | None = None

    def __call__(self, opinions: Accumulator) -> None:
        """To be called after each opinion."""
        if self._shown is not None and time.monotonic() < self._shown + INTERVAL:
            return
        self._show(mean_labelmap(opinions, self._threshold), len(opinions.weights))
        self._shown = time.monotonic()


def mean_labelmap(opinions: Accumulator, threshold: float | None) -> np.ndarray:
    """(I, J, K) uint8 of the mean probability so far, without a copy of all of it."""
    out = np.empty(opinions.shape, np.uint8)
    for part in slabs(out.shape):
        out[part] = decide(opinions.mean(part), threshold)
    return out
