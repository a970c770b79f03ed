"""Label maps of samples as bits, and what can be read off them without unpacking all."""

from __future__ import annotations

import numpy as np

_VOXELS_AT_ONCE = 2**20


def pack_labelmap(labelmap: np.ndarray, labels: int) -> np.ndarray:
    """(I, J, K) uint8 -> (L - 1, ceil(I J K / 8)) uint8, a bit a voxel and foreground label."""
    flat = labelmap.reshape(-1)
    return np.stack([np.packbits(flat == value) for value in range(1, labels)])


def unpack_labelmap(packed: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The inverse of pack_labelmap: (I, J, K) uint8."""
    return _unpack(packed, int(np.prod(shape))).reshape(shape)


def labels_at(packed: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """(S, N) uint8, what the samples say at flat voxel indices (N,).  packed: (S, L - 1, bytes)."""
    out = np.zeros((len(packed), len(indices)), np.uint8)
    for value in range(packed.shape[1]):
        bits = packed[:, value, indices >> 3] >> (7 - (indices & 7)).astype(np.uint8) & 1
        out |= bits * np.uint8(value + 1)
    return out


def disputed(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where samples differ, and what they say there.

    packed: (S, L - 1, bytes).  Returns flat voxel indices (N,) in ascending order, and labels (S, N) uint8.
    """
    differ = np.zeros(packed.shape[2], np.uint8)
    for sample in packed[1:]:
        for bits, first in zip(sample, packed[0]):
            differ |= bits ^ first
    at = np.flatnonzero(differ)
    some = np.unpackbits(differ[at]).astype(bool)
    indices = (8 * at[:, None] + np.arange(8)).reshape(-1)[some]
    return indices, np.stack([_unpack(sample[:, at], 8 * len(at))[some] for sample in packed])


def overlaps(packed: np.ndarray) -> np.ndarray:
    """(S, S) float64, voxels that two samples of one label share; sizes on the diagonal.  packed: (S, bytes)."""
    used = np.flatnonzero(np.bitwise_or.reduce(packed, axis=0))
    out = np.zeros((len(packed), len(packed)))
    step = max(1, _VOXELS_AT_ONCE // (8 * len(packed)))
    for at in range(0, len(used), step):
        voxels = np.unpackbits(packed[:, used[at : at + step]], axis=1).astype(np.float32)
        out += voxels @ voxels.T
    return out


def _unpack(packed: np.ndarray, count: int) -> np.ndarray:
    out = np.zeros(count, np.uint8)
    for value, bits in enumerate(packed, start=1):
        out |= np.unpackbits(bits, count=count) * np.uint8(value)
    return out
