"""Running moments of the opinions on large images, of each voxel's likeliest labels."""

from __future__ import annotations

import numpy as np

from .accumulator import Accumulator, Box, Moments, OpinionAccumulator
from .likeliest import LikeliestLabels, add_to, keeps_all, likeliest, structures_kept
from .measures import entropy, slabs


class LikeliestAccumulator(Accumulator):
    """Keeps the probabilities of the likeliest labels of each voxel, and of each label the sum over the image.

    What it holds does not grow with the number of labels. Entropy, variance and label map of one member are exact but
    for 16-bit rounding; of several, what a label had where it was not kept does not count when it comes back.
    """

    def __init__(self, labels: int, shape: tuple[int, int, int]):
        super().__init__(labels, shape)
        kept = (structures_kept(labels, int(np.prod(shape))), *shape)
        self.values, self.sums = np.zeros(kept, np.uint8), np.zeros(kept, np.float32)
        self.background, self.entropy = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.entropies, self.deviations = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.totals = np.zeros(labels)

    def _sum(self, box: Box, probability: np.ndarray, weight: float) -> None:
        flat = probability.reshape(self.labels, -1)
        entropies = entropy(flat) * np.float32(weight)
        self._join(box, flat if weight == 1 else flat * np.float32(weight), weight, entropies)

    def _join(self, box: Box, sums: np.ndarray, weight: float, entropies: np.ndarray) -> None:
        """Adds opinions of that weight to those so far.  sums: (L, N) of probabilities.  entropies: (N,), sums, too."""
        shape, before = self.background[box].shape, sum(self.weights)
        self.totals += sums.sum(1, dtype=np.float64)
        self.entropies[box] += entropies.reshape(shape)
        entropy_of_mean = entropies / np.float32(weight)
        if before:
            known = self._sums(box)
            apart = known / np.float32(before) - sums / np.float32(weight)
            apart = np.einsum("ln,ln->n", apart, apart) * np.float32(before * weight / (before + weight))
            self.deviations[box] += apart.reshape(shape)
            sums += known
            entropy_of_mean = entropy(sums / np.maximum(sums.sum(0), 1e-9))
        values, likely = likeliest(sums, len(self.values), before + weight)
        every = (slice(None), *box)
        self.values[every], self.sums[every] = (x.reshape(len(x), *shape) for x in (values, likely))
        self.background[box] = sums[0].reshape(shape)
        self.entropy[box] = entropy_of_mean.reshape(shape)

    def _sums(self, box: Box) -> np.ndarray:
        """(L, N) float32, what is kept of the opinions so far."""
        every, out = (slice(None), *box), np.zeros((self.labels, self.background[box].size), np.float32)
        values, sums = (x[every].reshape(len(x), -1) for x in (self.values, self.sums))
        add_to(out, values, sums, self.background[box].reshape(-1))
        return out

    def mean(self, part: slice = slice(None)) -> LikeliestLabels:
        count = np.float32(sum(self.weights))
        shares, background = (_halves(x, count) for x in (self.sums[:, part], self.background[part]))
        return LikeliestLabels(self.values[:, part], shares, background, self.entropy[part], self.totals / count)

    def join(self, others: LikeliestAccumulator, ratio: float) -> None:
        factor = ratio * sum(self.weights) / sum(others.weights)
        added = factor * sum(others.weights)
        self.deviations += np.float32(factor) * others.deviations
        totals = self.totals + factor * others.totals
        for row in range(self.shape[0]):
            box = (slice(row, row + 1), slice(None), slice(None))
            entropies = others.entropies[box].reshape(-1) * np.float32(factor)
            self._join(box, others._sums(box) * np.float32(factor), added, entropies)
        self.totals = totals
        self.weights += [factor * weight for weight in others.weights]
        self.packed += others.packed

    def finish(self) -> Moments:
        count = np.float32(sum(self.weights))
        mean = self.mean()
        del self.sums, self.background
        self.entropies /= count
        self.deviations /= count
        return Moments(mean, self.entropies, self.deviations, None, None)


def _halves(sums: np.ndarray, count: float) -> np.ndarray:
    """Probabilities as float16.  sums: (..., I, J, K) of `count` opinions."""
    out = np.empty(sums.shape, np.float16)
    for rows in slabs(sums.shape[-3:]):
        part = (..., rows, slice(None), slice(None))
        np.minimum(sums[part] / count, 1, out=out[part])
    return out


def accumulator_for(labels: int, shape: tuple[int, int, int]) -> Accumulator:
    """One that has room for opinions of that size.  labels: with background.  shape: (I, J, K)."""
    return (OpinionAccumulator if keeps_all(labels, int(np.prod(shape))) else LikeliestAccumulator)(labels, shape)
