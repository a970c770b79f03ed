"""Label maps of samples as bits, and what can be read off them without unpacking all."""

from __future__ import annotations

from typing import NamedTuple

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


def unpack_box(
    packed: np.ndarray, box: tuple[slice, slice, slice], shape: tuple[int, int, int]
) -> np.ndarray:  # fmt: skip
    """(S, i, j, k) uint8, a box of the label maps of (S, L - 1, bytes) samples; no more than its slices is unpacked."""
    there, whole = _slab(box, shape), (box[0].stop - box[0].start, *shape[1:])
    labels = [_unpack(sample[:, there.bytes], there.stop)[there.start :].reshape(whole) for sample in packed]
    return np.stack(labels)[(slice(None), slice(None), *box[1:])]


def pack_box(
    packed: np.ndarray, labels: np.ndarray, box: tuple[slice, slice, slice], shape: tuple[int, int, int]
) -> None:  # fmt: skip
    """Puts (S, i, j, k) label maps into a box of (S, L - 1, bytes) samples, in place."""
    there, whole = _slab(box, shape), (box[0].stop - box[0].start, *shape[1:])
    for sample, new in zip(packed, labels):
        for value, bits in enumerate(sample, start=1):
            voxels = np.unpackbits(bits[there.bytes])
            voxels[there.start : there.stop].reshape(whole)[(slice(None), *box[1:])] = new == value
            bits[there.bytes] = np.packbits(voxels)


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


class _Slab(NamedTuple):
    """bytes: of a label's bits.  start, stop: the voxels meant, counted from the first one in these bytes."""

    bytes: slice
    start: int
    stop: int


def _slab(box: tuple[slice, slice, slice], shape: tuple[int, int, int]) -> _Slab:
    """All slices across the first axis that a box has a part in."""
    first, last = (end * shape[1] * shape[2] for end in (box[0].start, box[0].stop))
    low = first // 8
    return _Slab(slice(low, -(-last // 8)), first - 8 * low, last - 8 * low)


def _unpack(packed: np.ndarray, count: int) -> np.ndarray:
    out = np.zeros(count, np.uint8)
    for value, bits in enumerate(packed, start=1):
        out |= np.unpackbits(bits, count=count) * np.uint8(value)
    return out
