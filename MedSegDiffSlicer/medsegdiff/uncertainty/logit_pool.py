"""Several models' probabilities as one by the mean of their logits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .measures import slabs
from .painting import paint, unpaint

LEAST = 1e-37  # probability; float32 has little below


class LogitPool:
    """The weighted product of probabilities, made to sum to 1 again over the labels: softmax of the mean of the logits
    that they come from (logarithmic opinion pool; Genest & Zidek, "Combining probability distributions", 1986).

    painted: the labels in the order of painting, where all models are of regions that overlap: see painting."""

    def __init__(self, painted: Sequence[int] = ()) -> None:
        self._total: np.ndarray | None = None
        self._painted = painted

    def add(self, probability: np.ndarray, share: float) -> None:
        """probability: (L, I, J, K) float32 of a model.  share: what it counts; all together count 1."""
        if self._total is None:
            self._total = np.zeros_like(probability)
        for part in slabs(probability.shape[1:]):
            logits = np.log(np.maximum(probability[:, part], LEAST))
            unpaint(logits, self._painted)
            self._total[:, part] += np.float32(share) * logits

    def finish(self) -> np.ndarray:
        """(L, I, J, K) float32, in this pool's memory, which is then at its end."""
        for part in slabs(self._total.shape[1:]):
            some = self._total[:, part]
            paint(some, self._painted)
            some -= some.max(0)
            np.exp(some, out=some)
            some /= some.sum(0)
        return self._total
