"""Running moments of the opinions, and the uncertainty measures made from them."""

from __future__ import annotations

import numpy as np


def entropy(probability: np.ndarray) -> np.ndarray:
    """Entropy in nats over labels: (L, ...) probabilities -> (...) float32 in [0, ln L]."""
    out = np.zeros(probability.shape[1:], np.float32)
    for label in probability:  # one at a time: large volumes have no room for copies of all labels
        p = np.clip(label, 1e-12, 1.0)
        out -= p * np.log(p)
    return np.maximum(out, 0, out=out)


def most_probable(probability: np.ndarray) -> np.ndarray:
    """(L, I, J, K) -> (I, J, K) uint8, the label of the largest value; the first one where several are."""
    best, out = probability[0].copy(), np.zeros(probability.shape[1:], np.uint8)
    for value in range(1, len(probability)):
        better = probability[value] > best
        out[better] = value
        np.maximum(best, probability[value], out=best)
    return out


class OpinionAccumulator:
    """Takes the members' probabilities one at a time; what it holds does not grow with their number,
    but for one bit a voxel, label and sample.

    labels: number of labels with background.  shape: (I, J, K).
    """

    def __init__(self, labels: int, shape: tuple[int, int, int]):
        self.count = 0
        self.total = np.zeros((labels, *shape), np.float32)
        self.squares = np.zeros(shape, np.float32)
        self.entropies = np.zeros(shape, np.float32)
        self.packed: list[np.ndarray] = []

    def add(self, probability: np.ndarray, sample: np.ndarray) -> None:
        """probability: (L, I, J, K) float32 of one member, summing to 1 over labels.  sample: its label map (I, J, K) uint8."""
        self.count += 1
        self.total += probability
        for label in probability:
            self.squares += np.square(label)
        self.entropies += entropy(probability)
        self.packed.append(pack_labelmap(sample, len(probability)))

    def mean(self) -> np.ndarray:
        """(L, I, J, K) float32 mean probability."""
        mean = self.total / self.count
        return np.clip(mean, 0, 1, out=mean)

    def expected_entropy(self) -> np.ndarray:
        """(I, J, K) float32 mean of the members' entropies, nats (the aleatoric part; Kendall & Gal, 2017)."""
        return self.entropies / self.count

    def variance(self) -> np.ndarray:
        """(I, J, K) float32 variance of the members' probabilities, summed over labels, in [0, 1]."""
        out = self.squares / self.count
        for label in self.total:
            out -= np.square(label / self.count)
        return np.maximum(out, 0, out=out)


def pack_labelmap(labelmap: np.ndarray, labels: int) -> np.ndarray:
    """(I, J, K) uint8 -> (L - 1, ceil(I J K / 8)) uint8, a bit a voxel and foreground label."""
    flat = labelmap.reshape(-1)
    return np.stack([np.packbits(flat == value) for value in range(1, labels)])


def unpack_labelmap(packed: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The inverse of pack_labelmap: (I, J, K) uint8."""
    count = int(np.prod(shape))
    out = np.zeros(count, np.uint8)
    for value, bits in enumerate(packed, start=1):
        out[np.unpackbits(bits, count=count).astype(bool)] = value
    return out.reshape(shape)
