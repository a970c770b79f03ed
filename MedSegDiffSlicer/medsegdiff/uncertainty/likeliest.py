"""Label probabilities of large images: of each voxel the likeliest labels alone, whatever the number of labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from .measures import entropy, slabs

FEWEST, MOST = 4, 16  # structures kept for each voxel, beside the background
KEPT_BYTES = 2**30  # as many as this has room for, while opinions are added up
NEGLIGIBLE = 1e-3  # where all structures together have less, none is kept
DENSE_BYTES = 2**30  # probabilities of all labels are kept up to this much: 512 x 512 x 10 voxels of 104 structures
_TURNED = 2**12  # voxels whose labels are laid side by side at once, so that they stay in the processor's cache
_KEPT, _PREFIX = ("values", "shares", "background", "entropy", "totals"), "likeliest_"


def keeps_all(labels: int, voxels: int) -> bool:
    """Whether the probabilities of all labels are kept, as float32: of small images, and of so few structures that
    nothing would be left out.  labels: their number with background."""
    return labels - 1 <= FEWEST or labels * voxels * 4 <= DENSE_BYTES


def structures_kept(labels: int, voxels: int) -> int:
    """Of how many structures a voxel's probabilities are kept where not all are.  labels: with background."""
    return min(labels - 1, MOST, max(FEWEST, KEPT_BYTES // (5 * voxels)))


class LikeliestLabels:
    """What is kept of label probabilities (L, ...); AllLabels has the same face for all of them.

    values: (K, ...) uint8, structures, the likeliest first; 0 where there are fewer.  shares: the same shape,
    float16, their probabilities.  background: (...) float16.  entropy: (...) float32 nats, over all labels.
    totals: (L,) float64, sum of each label's probability over the whole image.
    `p[value]` and `p[value, where]` are arrays of one label (0 where it is none of the likeliest), `p[:, where]` is a
    part of the voxels; `p[:, where] = array` takes what is likeliest in (L, ...) probabilities.
    """

    def __init__(
        self, values: np.ndarray, shares: np.ndarray, background: np.ndarray, entropy: np.ndarray, totals: np.ndarray
    ):  # fmt: skip
        self.values, self.shares, self.background = values, shares, background
        self.entropy, self.totals = entropy, totals

    @property
    def shape(self) -> tuple[int, ...]:
        """(L, ...)."""
        return len(self.totals), *self.background.shape

    def __len__(self) -> int:
        return len(self.totals)

    def __getitem__(self, key: Any) -> Any:
        value, where = (key[0], key[1:]) if isinstance(key, tuple) else (key, ())
        if isinstance(value, slice):
            parts = (self.values[key], self.shares[key], self.background[where], self.entropy[where])
            return LikeliestLabels(*parts, self.totals)
        if value == 0:
            return self.background[where].astype(np.float32)
        out = np.zeros(self.background[where].shape, np.float32)
        for values, shares in zip(self.values, self.shares):
            np.copyto(out, shares[where], where=values[where] == value)
        return out

    def __setitem__(self, key: tuple, probability: np.ndarray) -> None:
        where, flat = key[1:], probability.reshape(len(self), -1).astype(np.float32)
        before = self[key].dense().reshape(len(self), -1)
        self.totals += flat.sum(1, dtype=np.float64) - before.sum(1, dtype=np.float64)
        values, shares = likeliest(flat, len(self.values))
        shape = self.background[where].shape
        self.values[key], self.shares[key] = (x.reshape(len(x), *shape) for x in (values, shares))
        self.background[where], self.entropy[where] = (x.reshape(shape) for x in (flat[0], entropy(flat)))

    def copy(self) -> LikeliestLabels:
        """Of its own memory."""
        return LikeliestLabels(*(getattr(self, name).copy() for name in _KEPT))

    def take(self, at: np.ndarray) -> LikeliestLabels:
        """The part at flat voxel indices (N,)."""
        flat = self._flat
        kept = (np.take(x, at, 1) for x in (flat.values, flat.shares))  # laid row by row, other than [:, at]
        return LikeliestLabels(*kept, flat.background.take(at), flat.entropy.take(at), self.totals)

    def known(self, value: int) -> tuple[np.ndarray, np.ndarray]:
        """Of (L, N), the ascending indices where a structure is among the likeliest, and its probabilities there."""
        places = [np.flatnonzero(values == value) for values in self.values]
        at, known = np.concatenate(places), np.concatenate([x[there] for x, there in zip(self.shares, places)])
        order = at.argsort(kind="stable")
        return at[order], known[order].astype(np.float32)

    def chosen(self, labels: np.ndarray) -> np.ndarray:
        """(N,) float32, the probability of one label a voxel.  labels: (N,), where this has as many voxels."""
        out = np.where(labels == 0, self.background, 0).astype(np.float32)
        for values, shares in zip(self.values, self.shares):
            np.copyto(out, shares, where=(values == labels) & (labels > 0))
        return out

    def different(self, other: LikeliestLabels) -> np.ndarray:
        """(...) bool, where the other has other probabilities."""
        out = self.background != other.background
        for ours, theirs in ((self.values, other.values), (self.shares, other.shares)):
            for a, b in zip(ours, theirs):
                out |= a != b
        return out

    def max(self) -> np.ndarray:
        """(...) float32, the probability of the likeliest label."""
        return np.maximum(self.background, self.shares[0]).astype(np.float32)

    def argmax(self) -> np.ndarray:
        """(...) uint8, the likeliest label."""
        return np.where(self.shares[0] > self.background, self.values[0], 0).astype(np.uint8)

    def foreground(self) -> np.ndarray:
        """(...) uint8, the likeliest structure."""
        return self.values[0]

    def squares(self) -> np.ndarray:
        """(...), sum over the labels that are kept."""
        return sum(np.square(x.astype(np.float32)) for x in (self.background, *self.shares))

    def sums(self) -> np.ndarray:
        """(L,) float64, sum over the voxels of what is kept."""
        rows = zip(self.values, self.shares)
        out = sum(sums_by_label(values.reshape(-1), shares.reshape(-1), len(self)) for values, shares in rows)
        out[0] = self.background.sum(dtype=np.float64)
        return out

    def total(self, value: int) -> float:
        """The sum of a label's probabilities over the whole image."""
        return float(self.totals[value])

    def dense(self) -> np.ndarray:
        """(L, ...) float32; the labels that are not kept share what is missing."""
        flat = self._flat
        out = np.zeros((len(self), flat.background.size), np.float32)
        add_to(out, flat.values, flat.shares, flat.background)
        lacking = np.maximum(1 - out.sum(0), 0)
        others = out == 0
        out += others * (lacking / np.maximum(others.sum(0), 1))
        return out.reshape(self.shape)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All that is kept, by name."""
        return {_PREFIX + name: getattr(self, name) for name in _KEPT}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], LikeliestLabels]:
        """What to_arrays gave, found among other arrays, which are returned, too."""
        others = {name: array for name, array in arrays.items() if not name.startswith(_PREFIX)}
        return others, cls(*(arrays[_PREFIX + name] for name in _KEPT))

    @property
    def _flat(self) -> LikeliestLabels:
        kept = (x.reshape(len(x), -1) for x in (self.values, self.shares))
        return LikeliestLabels(*kept, self.background.reshape(-1), self.entropy.reshape(-1), self.totals)


def likeliest(probability: np.ndarray, count: int, whole: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Of (L, N) float32: `count` structures (count, N) uint8, the likeliest first, and their probabilities; both 0
    where there are fewer.  whole: what all labels add up to."""
    some = np.flatnonzero(probability[0] < whole * (1 - NEGLIGIBLE))
    values = np.zeros((count, probability.shape[1]), np.uint8)
    shares = np.zeros((count, probability.shape[1]), np.float32)
    for at in (some[start : start + _TURNED] for start in range(0, len(some), _TURNED)):
        left, voxels = np.ascontiguousarray(probability[1:, at].T), np.arange(len(at))
        for own_values, own_shares in zip(values, shares):
            best = left.argmax(1)
            own_values[at], own_shares[at] = best + 1, left[voxels, best]
            left[voxels, best] = -1
    values[shares == 0] = 0
    return values, shares


def sums_by_label(labels: np.ndarray, amounts: np.ndarray, count: int) -> np.ndarray:
    """(count,) float64: of each label the sum of the amounts (N,) where labels (N,) have it."""
    return sum((np.bincount(labels[x], amounts[x], count) for x in slabs(labels.shape)), np.zeros(count))


def add_to(probability: np.ndarray, values: np.ndarray, shares: np.ndarray, background: np.ndarray) -> None:
    """Adds what is kept of some voxels to (L, N) float32, in place."""
    voxels = np.arange(probability.shape[1])
    for value, share in zip(values, shares):
        probability[value, voxels] += share
    probability[0] += background
