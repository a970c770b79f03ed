"""Running moments of the opinions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from .all_labels import Probability
from .measures import entropy_parts, slabs
from .packing import pack_labelmap

Box = tuple[slice, slice, slice]
# A part of an opinion: the box of (I, J, K), its probabilities (L, i, j, k) and the labels of its sample (i, j, k).
Part = tuple[Box, np.ndarray, np.ndarray]

LABEL_MOMENTS_BYTES = 2**28  # moments of each label are kept up to this much: 256^3 voxels of two structures


def keeps_label_moments(labels: int, voxels: int) -> bool:
    """Whether moments of each structure are kept: not for large images, nor for one structure (whose follow from
    sums)."""
    return labels > 2 and 2 * (labels - 1) * voxels * 4 <= LABEL_MOMENTS_BYTES


class Moments(NamedTuple):
    """What the opinions have in common and where they differ, float32, weighted.

    mean: (L, I, J, K) probability; of large images its likeliest labels.
    expected_entropy: (I, J, K) mean of the members' entropies, nats (the aleatoric part; Kendall & Gal, 2017).
    variance: (I, J, K) of the members' probabilities, summed over labels, in [0, 1].
    label_expected_entropy: (L - 1, I, J, K) of "this structure or not", nats; None where it was not kept.
    label_variance: (L - 1, I, J, K) of each structure's probability, in [0, 1/4]; None where it was not kept.
    """

    mean: Probability
    expected_entropy: np.ndarray
    variance: np.ndarray
    label_expected_entropy: np.ndarray | None
    label_variance: np.ndarray | None


class Accumulator(ABC):
    """Takes the members' probabilities one at a time; what it holds does not grow with their number, but for their
    packed samples.

    labels: number of labels with background.  shape: (I, J, K).
    weights: of the members so far, as they were given.
    """

    def __init__(self, labels: int, shape: tuple[int, int, int]):
        self.labels, self.shape = labels, shape
        self.weights: list[float] = []
        self.packed: list[np.ndarray] = []

    def add(self, probability: np.ndarray, sample: np.ndarray, weight: float = 1.0) -> None:
        """probability: (L, I, J, K) float32 of one member, summing to 1 over labels.
        sample: its label map (I, J, K) uint8.
        weight: above 0; how much this member counts relative to the others."""
        self.add_parts([(tuple(slice(0, n) for n in self.shape), probability, sample)], weight)

    def add_parts(self, opinion: Iterable[Part], weight: float = 1.0) -> None:
        """As add; the member comes in parts that cover the image."""
        labelmap = np.zeros(self.shape, np.uint8)
        for box, probability, sample in opinion:
            labelmap[box] = sample
            self._sum(box, probability, weight)
        self.weights.append(float(weight))
        self.packed.append(pack_labelmap(labelmap, self.labels))

    @property
    def shares(self) -> np.ndarray:
        """(S,) float64 weights that sum to 1."""
        return np.array(self.weights) / sum(self.weights)

    @abstractmethod
    def _sum(self, box: Box, probability: np.ndarray, weight: float) -> None:
        """Adds the probabilities of a part of a member, whose weight is not among the weights yet."""

    @abstractmethod
    def mean(self, part: slice = slice(None)) -> Probability:
        """(L, I, J, K) weighted mean probability so far.  part: of the first axis of the image."""

    @abstractmethod
    def join(self, others: Accumulator, ratio: float) -> None:
        """Adds the opinions of another model, whose accumulator is then at its end.

        ratio: of its share to that of all models so far.
        """

    @abstractmethod
    def finish(self) -> Moments:
        """The moments of all members, in this accumulator's own memory, which is then at its end: large volumes have no
        room for both."""


class OpinionAccumulator(Accumulator):
    """Keeps the probabilities of all labels."""

    def __init__(self, labels: int, shape: tuple[int, int, int]):
        super().__init__(labels, shape)
        self.total = np.zeros((labels, *shape), np.float32)
        self.squares = np.zeros(shape, np.float32)
        self.entropies = np.zeros(shape, np.float32)
        kept = (labels - 1 if keeps_label_moments(labels, self.squares.size) else 0, *shape)
        self.label_squares, self.label_entropies = np.zeros(kept, np.float32), np.zeros(kept, np.float32)

    def _sum(self, box: Box, probability: np.ndarray, weight: float) -> None:
        every = (slice(None), *box)
        total, all_squares, all_entropies = self.total[every], self.squares[box], self.entropies[box]
        label_squares, label_entropies = self.label_squares[every], self.label_entropies[every]
        for part in slabs(all_squares.shape):
            for label, some in enumerate(probability[:, part]):
                square, entropy = _times(weight, np.square(some)), _times(weight, entropy_parts(some))
                total[label, part] += _times(weight, some)
                all_squares[part] += square
                all_entropies[part] += entropy
                if label and len(label_squares):
                    label_squares[label - 1, part] += square
                    label_entropies[label - 1, part] += entropy
                    label_entropies[label - 1, part] += _times(weight, entropy_parts(1 - some))

    def mean(self, part: slice = slice(None)) -> np.ndarray:
        mean = self.total[:, part] / sum(self.weights)
        return np.clip(mean, 0, 1, out=mean)

    def join(self, others: OpinionAccumulator, ratio: float) -> None:
        factor = ratio * sum(self.weights) / sum(others.weights)
        for ours, theirs in zip(self._sums(), others._sums()):
            theirs *= np.float32(factor)
            ours += theirs
        self.weights += [factor * weight for weight in others.weights]
        self.packed += others.packed

    def finish(self) -> Moments:
        count = sum(self.weights)
        for sums in self._sums():
            sums /= count
        for part in slabs(self.squares.shape):
            for label in self.total[:, part]:
                self.squares[part] -= np.square(label)
        for squares, label in zip(self.label_squares, self.total[1:]):
            squares -= np.square(label)
        np.maximum(self.squares, 0, out=self.squares)
        np.maximum(self.label_squares, 0, out=self.label_squares)
        np.clip(self.total, 0, 1, out=self.total)
        kept = len(self.label_squares) > 0
        return Moments(
            self.total, self.entropies, self.squares, self.label_entropies if kept else None,
            self.label_squares if kept else None,
        )  # fmt: skip

    def _sums(self) -> tuple[np.ndarray, ...]:
        """All that is a weighted sum over the members."""
        return self.total, self.squares, self.entropies, self.label_squares, self.label_entropies


def _times(weight: float, x: np.ndarray) -> np.ndarray:
    return x if weight == 1 else weight * x
