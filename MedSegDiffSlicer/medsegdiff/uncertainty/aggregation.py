"""One number from an uncertainty map.

Which one tells best whether a segmentation failed depends on the task (Kahl et al., 2024, "ValUES", arXiv:2401.08501;
Jungo et al., 2020, Frontiers in Neuroscience 14:282), so several are given:

mean: over the structure.
worst: the highest value inside the structure or at its boundary.
boundary: mean over the voxels on either side of the structure's boundary.
top: the 95th percentile over the structure.
share: part of the structure's voxels above HIGH (meant for entropies).
relative_sum: sum over all voxels, inside and outside, a voxel of the structure.
patch: the highest mean over a patch of 10 voxels' edge, as ValUES (every 5 voxels, cut off by
  the image's edge).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .measures import parts

AGGREGATIONS = ("mean", "worst", "boundary", "top", "share", "relative_sum", "patch")
HIGH = float(np.log(2) / 2)  # nats: half of what two equally likely labels have
_HALF_PATCH = 5


class Places(NamedTuple):
    """Voxels of an image. at: (N,) ascending flat indices.  cells: (N,) flat index of each one's block in the grid of
    blocks of half a patch's edge."""

    at: np.ndarray
    cells: np.ndarray


def places_of(at: np.ndarray, shape: tuple[int, ...]) -> Places:
    """Places for flat indices (N,) into an array of that shape."""
    cells = np.empty(len(at), np.int32)
    for part in parts(len(at), len(shape)):
        blocks = [index // _HALF_PATCH for index in np.unravel_index(at[part], shape)]
        cells[part] = np.ravel_multi_index(blocks, _grid(shape))
    return Places(at, cells)


def aggregate(uncertainty: np.ndarray, mask: np.ndarray) -> dict[str, float | None]:
    """All AGGREGATIONS; those over a structure are None where it has no voxel.

    uncertainty: (I, J, K), at least 0.  mask: (I, J, K) bool, the structure.
    """
    box = bounding_box(mask, 1)
    structure, band, there = mask[box], boundary_band(mask[box]), uncertainty[box]
    blocks = uncertainty
    for axis, n in enumerate(mask.shape):
        blocks = np.add.reduceat(blocks, np.arange(0, n, _HALF_PATCH), axis)
    patch = _worst_patch(blocks, mask.shape)
    return _numbers(structure, band, there[structure], there[band], uncertainty.sum(), patch)


def aggregate_sparse(places: Places, values: np.ndarray, mask: np.ndarray) -> dict[str, float | None]:
    """As aggregate.  values: (N,) uncertainty at the places; 0 elsewhere."""
    grid = _grid(mask.shape)
    blocks = np.bincount(places.cells, values, int(np.prod(grid))).reshape(grid)
    box, band = bounding_box(mask, 1), np.zeros(mask.shape, bool)
    band[box] = boundary_band(mask[box])
    inside, near = (values[part.reshape(-1).take(places.at)] for part in (mask, band))
    return _numbers(mask[box], band[box], inside, near, values.sum(), _worst_patch(blocks, mask.shape))


def _numbers(
    structure: np.ndarray, band: np.ndarray, inside: np.ndarray, near: np.ndarray, total: float, patch: float
) -> dict[str, float | None]:
    """structure, band: masks.  inside, near: the values there, without those that are 0."""
    voxels = int(np.count_nonzero(structure))
    if not voxels:
        return dict.fromkeys(AGGREGATIONS) | {"patch": patch}
    return {
        "mean": float(inside.sum(dtype=np.float64)) / voxels,
        "worst": float(max(inside.max(initial=0), near.max(initial=0))),
        "boundary": float(near.sum(dtype=np.float64)) / max(1, int(np.count_nonzero(band))),
        "top": _quantile(inside, voxels, 0.95),
        "share": int(np.count_nonzero(inside > HIGH)) / voxels,
        "relative_sum": float(total) / voxels,
        "patch": patch,
    }


def boundary_band(mask: np.ndarray) -> np.ndarray:
    """(I, J, K) bool: voxels that have a face in common with a voxel on the other side of the mask's boundary."""
    out = np.zeros_like(mask)
    for axis in range(mask.ndim):
        low, high = (tuple(part if n == axis else slice(None) for n in range(mask.ndim))
                     for part in (slice(None, -1), slice(1, None)))  # fmt: skip
        differ = mask[low] != mask[high]
        out[low] |= differ
        out[high] |= differ
    return out


def bounding_box(mask: np.ndarray, margin: int) -> tuple[slice, ...]:
    """The smallest box around the mask, larger by the margin where the image goes on; empty for an empty mask."""
    box, part = [], mask
    for axis in range(mask.ndim):  # each looks only at what the axes before left over
        rest = tuple(n for n in reversed(range(mask.ndim)) if n != axis)
        line = part
        for other in rest:
            line = line.any(other)
        hit = np.flatnonzero(line)
        if not len(hit):
            return (slice(0, 0),) * mask.ndim
        box.append(slice(int(hit[0]), int(hit[-1]) + 1))
        part = mask[tuple(box)]
    return tuple(slice(max(0, s.start - margin), min(n, s.stop + margin)) for s, n in zip(box, mask.shape))


def _quantile(values: np.ndarray, count: int, share: float) -> float:
    """The quantile of `count` numbers, of which those that are not among the values are 0."""
    rank = min(count - 1, int(share * count))  # from the lowest
    rank -= count - len(values)
    return float(np.partition(values, rank)[rank]) if rank >= 0 else 0.0


def _grid(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-(-n // _HALF_PATCH) for n in shape)


def _worst_patch(total: np.ndarray, shape: tuple[int, ...]) -> float:
    """total: sums over blocks of half a patch's edge."""
    for axis, n in enumerate(shape):
        size = np.diff(np.append(np.arange(0, n, _HALF_PATCH), n))  # the last block may be smaller
        size = size.reshape([-1 if a == axis else 1 for a in range(len(shape))])
        total = _pairs(total, axis) / _pairs(size, axis)
    return float(total.max())


def _pairs(blocks: np.ndarray, axis: int) -> np.ndarray:
    n = blocks.shape[axis]
    if n == 1:
        return blocks
    return np.take(blocks, range(n - 1), axis) + np.take(blocks, range(1, n), axis)
