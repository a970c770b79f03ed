"""Uncertainty measures of label probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..errors import RequestError
from .rules import MEASURES


SLAB = 2**20  # voxels


def slabs(shape: tuple[int, ...]) -> list[slice]:
    """Parts along the first axis of about SLAB voxels: large volumes have no room for copies of all."""
    size = max(1, SLAB // max(1, math.prod(shape[1:])))
    return [slice(at, at + size) for at in range(0, shape[0], size)]


def parts(count: int, labels: int) -> list[slice]:
    """Parts of a list of voxels, each with no more than 16 SLABs of numbers, one a voxel and label."""
    size = max(1, 16 * SLAB // labels)
    return [slice(at, at + size) for at in range(0, count, size)]


def entropy_parts(probability: np.ndarray) -> np.ndarray:
    """What each probability contributes to an entropy, -p ln p in nats: any shape in [0, 1] -> the same, float32."""
    p = np.clip(probability, 1e-12, 1.0)
    out = np.log(p)
    out *= p
    return np.negative(out, out=out)


def entropy(probability: np.ndarray) -> np.ndarray:
    """Entropy in nats over labels: (L, ...) probabilities -> (...) float32 in [0, ln L]."""
    out = np.zeros(probability.shape[1:], np.float32)
    for part in slabs(out.shape):
        for label in probability[:, part]:
            out[part] += entropy_parts(label)
    return out


def binary_entropy(probability: np.ndarray) -> np.ndarray:
    """Entropy in nats of "this label or not": (...) probabilities of one label -> (...) float32 in [0, ln 2]."""
    return entropy_parts(probability) + entropy_parts(1 - probability)


def measured(
    measure: str, total: Callable[[], np.ndarray], expected: np.ndarray | None, variance: np.ndarray | None
) -> np.ndarray:
    """The map of one of MEASURES.  total: gives the entropy of the mean probability.  expected: mean entropy of the
    members.  variance: of the members.  Raises RequestError for another name, and where the map needs what is None."""
    if measure not in MEASURES:
        raise RequestError(f"measure '{measure}' is unknown; choose one of {', '.join(MEASURES)}")
    if measure == "entropy":
        return total()
    if expected is None or variance is None:
        raise RequestError(
            f"for a single structure of an image this large only the entropy is known; "
            f"ask for the {measure} over all labels, or crop the image"
        )
    if measure == "variance":
        return variance.copy()
    return expected.copy() if measure == "expected-entropy" else np.maximum(total() - expected, 0)


def most_probable(probability: np.ndarray) -> np.ndarray:
    """(L, I, J, K) -> (I, J, K) uint8, the label of the largest value; the first one where several are."""
    best, out = probability[0].copy(), np.zeros(probability.shape[1:], np.uint8)
    for value in range(1, len(probability)):
        better = probability[value] > best
        out[better] = value
        np.maximum(best, probability[value], out=best)
    return out
