"""Label maps of samples as bits, and what can be read off them without unpacking all.

A sample is (planes, bytes) uint8. Up to SINGLE structures have a plane each, of which a bit says whether the voxel is
theirs; for more the planes are the BITS digits of the label, lowest first, so that a sample never takes more than a
byte a voxel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SINGLE, BITS = 7, 8
_VOXELS_AT_ONCE = 2**20


def pack_labelmap(labelmap: np.ndarray, labels: int) -> np.ndarray:
    """(I, J, K) uint8 -> (planes, ceil(I J K / 8)) uint8."""
    flat = labelmap.reshape(-1)
    if labels - 1 > SINGLE:
        return np.stack([np.packbits(flat & np.uint8(1 << bit)) for bit in range(BITS)])
    return np.stack([np.packbits(flat == value) for value in range(1, labels)])


def plane_of(packed: np.ndarray, value: int) -> np.ndarray:
    """(S, bytes), a bit a voxel: where samples (S, planes, bytes) have one of the structures."""
    if packed.shape[1] <= SINGLE:
        return packed[:, value - 1]
    out = np.full_like(packed[:, 0], 255)
    for bit in range(BITS):
        out &= packed[:, bit] if value >> bit & 1 else ~packed[:, bit]
    return out


def somewhere(packed: np.ndarray) -> np.ndarray:
    """(bytes,), a bit a voxel: where any sample of (S, planes, bytes) has any structure."""
    return np.bitwise_or.reduce(packed.reshape(-1, packed.shape[2]), axis=0)


def highest_label(packed: np.ndarray) -> int:
    """No label of the samples (S, planes, bytes) is higher."""
    return packed.shape[1] if packed.shape[1] <= SINGLE else 2**BITS - 1


def unpack_labelmap(packed: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The inverse of pack_labelmap: (I, J, K) uint8."""
    return _unpack(packed, int(np.prod(shape))).reshape(shape)


def labels_at(packed: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """(S, N) uint8, what the samples say at flat voxel indices (N,).  packed: (S, planes, bytes)."""
    out = np.zeros((len(packed), len(indices)), np.uint8)
    for plane, value in enumerate(_values(packed.shape[1])):
        bits = packed[:, plane, indices >> 3] >> (7 - (indices & 7)).astype(np.uint8) & 1
        out |= bits * value
    return out


def unpack_box(
    packed: np.ndarray, box: tuple[slice, slice, slice], shape: tuple[int, int, int]
) -> np.ndarray:  # fmt: skip
    """(S, i, j, k) uint8, a box of the label maps of (S, planes, bytes) samples; no more than its rows is unpacked."""
    i, j = (np.arange(side.start, side.stop) for side in box[:2])
    length = box[2].stop - box[2].start
    first = ((i[:, None] * shape[1] + j).reshape(-1) * shape[2]) + box[2].start  # voxel of each row
    there = np.minimum((first >> 3)[:, None] + np.arange((length + 14) // 8), packed.shape[2] - 1)
    out, skipped = np.zeros((len(packed), len(first), length), np.uint8), first & 7
    for rows in (np.flatnonzero(skipped == skip) for skip in range(8)):
        if not len(rows):
            continue
        skip = skipped[rows[0]]
        for sample, labels in zip(packed, out):
            for value, bits in zip(_values(len(sample)), sample):
                labels[rows] |= np.unpackbits(bits[there[rows]], axis=1)[:, skip : skip + length] * value
    return out.reshape(len(packed), len(i), len(j), length)


def pack_box(
    packed: np.ndarray, labels: np.ndarray, box: tuple[slice, slice, slice], shape: tuple[int, int, int]
) -> None:  # fmt: skip
    """Puts (S, i, j, k) label maps into a box of (S, planes, bytes) samples, in place."""
    there, whole = _slab(box, shape), (box[0].stop - box[0].start, *shape[1:])
    for sample, new in zip(packed, labels):
        for value, bits in zip(_values(len(sample)), sample):
            voxels = np.unpackbits(bits[there.bytes])
            own = new == value if len(sample) <= SINGLE else new & value > 0
            voxels[there.start : there.stop].reshape(whole)[(slice(None), *box[1:])] = own
            bits[there.bytes] = np.packbits(voxels)


def disputed(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where samples differ, and what they say there.

    packed: (S, planes, bytes).  Returns flat voxel indices (N,) in ascending order, and labels (S, N) uint8.
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
    for value, bits in zip(_values(len(packed)), packed):
        out |= np.unpackbits(bits, count=count) * value
    return out


def _values(planes: int) -> np.ndarray:
    """(planes,) uint8, what a bit of each adds to the label."""
    return (
        np.arange(1, planes + 1, dtype=np.uint8) if planes <= SINGLE else np.uint8(1) << np.arange(BITS, dtype=np.uint8)
    )
