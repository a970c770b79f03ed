"""The single opinions of a run, from its result or, after a scene was loaded, from the nodes that it left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import slicer
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError
from medsegdiff.uncertainty.alternatives import Alternative, find_alternatives
from medsegdiff.uncertainty.local_alternatives import LocalAlternative, local_alternatives
from medsegdiff.uncertainty.packing import pack_labelmap, unpack_labelmap

from .scene_change import is_in_scene

WEIGHTS = "MedSegDiff.Weights"  # attribute of a samples sequence: how much each counts, where that is not the same


@dataclass(frozen=True)
class Opinions:
    """packed: (S, L - 1, bytes) samples as bits.  shape: (I, J, K).  weights: (S,), summing to 1."""

    packed: np.ndarray
    shape: tuple[int, int, int]
    weights: np.ndarray

    @classmethod
    def of(cls, result, sequence) -> Opinions | None:
        """Those of a backend result or, where that is None, of a samples sequence; None where there is neither."""
        read = cls.source(result, sequence)
        return read() if read else None

    @classmethod
    def source(cls, result, sequence) -> Callable[[], Opinions] | None:
        """`of` in two parts: what is called later may be called in a thread."""
        if result is not None:
            return partial(cls, result.packed_samples, result.labelmap.shape, result.weights)
        if not is_in_scene(sequence) or not sequence.GetNumberOfDataNodes():
            return None
        nodes = [sequence.GetNthDataNode(index) for index in range(sequence.GetNumberOfDataNodes())]
        return partial(
            cls._packed, [slicer.util.arrayFromVolume(node).T for node in nodes], sequence.GetAttribute(WEIGHTS)
        )

    @classmethod
    def _packed(cls, samples: Sequence[np.ndarray], told: str | None) -> Opinions:
        labels = max(2, 1 + max(int(sample.max()) for sample in samples))  # at least one, where nothing was found
        packed = np.stack([pack_labelmap(np.ascontiguousarray(sample), labels) for sample in samples])
        weights = np.array(told.split(), float) if told else np.ones(len(samples))
        return cls(packed, samples[0].shape, weights / weights.sum())

    def __len__(self) -> int:
        return len(self.packed)

    def labelmap(self, number: int) -> np.ndarray:
        """(I, J, K) uint8 of one sample, from 0."""
        return unpack_labelmap(self.packed[number], self.shape)

    def alternatives(self) -> list[Alternative]:
        """What the samples mean, the likeliest first."""
        return find_alternatives(self.packed, self.shape, self.weights)

    def at(self, indices: np.ndarray) -> list[LocalAlternative]:
        """What the samples say at some voxels alone, the likeliest first.  indices: (N,) flat."""
        return local_alternatives(self.packed, self.weights, indices)


def keep_weights(sequence, weights: np.ndarray) -> None:
    """Writes into a samples sequence how much each sample counts."""
    sequence.SetAttribute(WEIGHTS, " ".join(f"{weight:.9g}" for weight in weights))


def other_alternative(alternatives: list[LocalAlternative], now: dict[int, np.ndarray]) -> LocalAlternative:
    """The likeliest labelling that is another one than now; from one of them: the next.

    now: label value to (N,) bool, what the segments hold.  Raises RequestError where the opinions do not differ.
    """
    if len(alternatives) < 2:
        raise RequestError(_("all opinions see this place alike; accept it, or repaint it"))
    differ = [np.count_nonzero([(one.labels == v) != mask for v, mask in now.items()]) for one in alternatives]
    nearest = int(np.argmin(differ))
    if differ[nearest] == 0:
        return alternatives[(nearest + 1) % len(alternatives)]
    return next(one for number, one in enumerate(alternatives) if number != nearest)
