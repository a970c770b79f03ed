"""Label probabilities with the one face that statistics, fusion and evaluation need, be they kept of all labels or
not."""

from __future__ import annotations

from typing import Any

import numpy as np

from .likeliest import LikeliestLabels
from .measures import entropy, most_probable

Probability = np.ndarray | LikeliestLabels  # (L, ...), as results have it


class AllLabels:
    """Label probabilities (L, ...) of all labels, with the face of LikeliestLabels.

    array: the probabilities.  `p[value]` and `p[value, where]` are arrays of one label, `p[:, where]` is a part of the
      voxels.
    """

    def __init__(self, array: np.ndarray):
        self.array = array

    @property
    def shape(self) -> tuple[int, ...]:
        """(L, ...)."""
        return self.array.shape

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, key: Any) -> Any:
        part = self.array[key]
        return AllLabels(part) if isinstance(key[0] if isinstance(key, tuple) else key, slice) else part

    @property
    def entropy(self) -> np.ndarray:
        """(...) float32 nats, over all labels."""
        return entropy(self.array)

    def take(self, at: np.ndarray) -> AllLabels:
        """The part at flat voxel indices (N,)."""
        return AllLabels(np.take(self._flat, at, 1))

    def known(self, value: int) -> tuple[slice, np.ndarray]:
        """Of (L, N), where a label may have a probability: everywhere; and its probabilities there."""
        return slice(None), self.array[value]

    def chosen(self, labels: np.ndarray) -> np.ndarray:
        """(N,) the probability of one label a voxel.  labels: (N,), where this has as many voxels."""
        return np.take_along_axis(self.array, labels[None].astype(np.int64), 0)[0]

    def different(self, other: AllLabels) -> np.ndarray:
        """(...) bool, where the other has other probabilities."""
        return (self.array != other.array).any(0)

    def max(self) -> np.ndarray:
        """(...) the probability of the likeliest label."""
        return self.array.max(0)

    def argmax(self) -> np.ndarray:
        """(...) uint8, the likeliest label."""
        return most_probable(self.array)

    def foreground(self) -> np.ndarray:
        """(...) uint8, the likeliest structure."""
        return most_probable(self.array[1:]) + np.uint8(1)

    def squares(self) -> np.ndarray:
        """(...), sum over the labels."""
        return np.square(self.array).sum(0)

    def sums(self) -> np.ndarray:
        """(L,) float64, sum over the voxels."""
        return self._flat.sum(1, dtype=np.float64)

    def total(self, value: int) -> float:
        """The sum of a label's probabilities over the whole image."""
        return float(self.array[value].sum())

    def dense(self) -> np.ndarray:
        """(L, ...) the probabilities."""
        return self.array

    @property
    def _flat(self) -> np.ndarray:
        return self.array.reshape(len(self.array), -1)


def labels_of(probability: Probability) -> AllLabels | LikeliestLabels:
    """What a result, or an array, knows of the labels, with one face."""
    return probability if isinstance(probability, LikeliestLabels) else AllLabels(probability)
