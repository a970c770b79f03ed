"""When more opinions change nothing any more."""

from __future__ import annotations

import numpy as np

from ..uncertainty.accumulator import Accumulator
from ..uncertainty.fusion import decide

CONSECUTIVE = 2  # members in a row that must have changed the mask by less than the bound


class Settling:
    """Watches the mask of the mean probability while members are added.

    bound: of the change that a member makes: 1 - Dice of the masks before and after it, of the structure that changes
      most.  threshold: see fusion.decide.  least: members that are heard in any case.
    What it says depends on the members and their order alone, not on how many were drawn at once. As the mean of n
    members moves by about 1 / n with the next one, a bound also says how much a single member may still weigh.
    """

    def __init__(self, bound: float, threshold: float | None, least: int):
        self._bound, self._threshold, self._least = bound, threshold, least
        self._mask: np.ndarray | None = None
        self._quiet = 0

    def settled(self, opinions: Accumulator) -> bool:
        """Whether no further member is needed; to be called after each one."""
        mean = opinions.mean()
        mask = decide(mean, self._threshold)
        if self._mask is not None:
            small = largest_change(self._mask, mask, len(mean)) < self._bound
            self._quiet = self._quiet + 1 if small else 0
        self._mask = mask
        return self._quiet >= CONSECUTIVE and len(opinions.weights) >= self._least


def largest_change(before: np.ndarray, after: np.ndarray, labels: int) -> float:
    """1 - Dice of two label maps (I, J, K), in [0, 1], of the structure that differs most.

    labels: their number with background.
    """
    changes = [0.0]
    for value in range(1, labels):
        one, other = before == value, after == value
        size = np.count_nonzero(one) + np.count_nonzero(other)
        if size:
            changes.append(1 - 2 * np.count_nonzero(one & other) / size)
    return max(changes)
