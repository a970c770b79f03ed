"""Cutting an image into overlapping tiles that see their surroundings, and weighing what they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CONTEXT = 32  # voxels around a tile that the network sees too; what a voxel's label depends on lies mostly within

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Tile:
    """A box of voxels to be answered for (`core`), and the larger box that the network looks at (`window`)."""

    core: Box
    window: Box

    @property
    def inside(self) -> Box:
        """The core in the window's own indices."""
        return tuple(slice(c.start - w.start, c.stop - w.start) for c, w in zip(self.core, self.window))


def make_tiles(shape: tuple[int, int, int], edge: int, overlap: float, divisible: int) -> list[Tile]:
    """Tiles that cover an image of `shape` (each axis divisible by `divisible`).

    edge: of a core in voxels, rounded up to a multiple of `divisible`.  overlap: share in [0, 0.9] that cores have in common.
    """
    if max(shape) <= edge:
        whole = tuple(slice(0, n) for n in shape)
        return [Tile(whole, whole)]
    from monai.data.utils import dense_patch_slices

    edge, context = (-(-n // divisible) * divisible for n in (edge, CONTEXT))
    size = tuple(min(edge, n) for n in shape)
    step = tuple(max(divisible, int(n * (1 - overlap)) // divisible * divisible) for n in size)
    cores = [tuple(slice(int(s.start), int(s.stop)) for s in core) for core in dense_patch_slices(shape, size, step)]
    return [Tile(core, tuple(_widened(s, n, context) for s, n in zip(core, shape))) for core in cores]


def _widened(core: slice, size: int, context: int) -> slice:
    return slice(max(0, core.start - context), min(size, core.stop + context))


def start_of(box: Box) -> tuple[int, int, int]:
    """First voxel of a box."""
    return tuple(s.start for s in box)


def size_of(box: Box) -> tuple[int, int, int]:
    """Voxels of a box along each axis."""
    return tuple(s.stop - s.start for s in box)


class Weights:
    """Gaussian weights of the tiles' voxels, their middle counting most (Isensee et al., 2021); at every voxel of the image the
    weights of all tiles sum to one. They are products of one factor an axis, so that nothing of the image's size is held.

    tiles: as from make_tiles for an image of `shape`.
    """

    def __init__(self, shape: tuple[int, int, int], tiles: list[Tile]):
        self._totals = [np.zeros(n, np.float32) for n in shape]
        for axis, total in enumerate(self._totals):
            for start, stop in {(t.core[axis].start, t.core[axis].stop) for t in tiles}:
                total[start:stop] += _bell(stop - start)

    def __call__(self, tile: Tile) -> np.ndarray:
        """(i, j, k) float32 of the tile's core."""
        i, j, k = (_bell(c.stop - c.start) / total[c] for c, total in zip(tile.core, self._totals))
        return i[:, None, None] * j[:, None] * k


def _bell(size: int) -> np.ndarray:
    """(size,) float32, a Gaussian of a quarter of the size around the middle, 0.01 at least."""
    place = (np.arange(size, dtype=np.float32) - (size - 1) / 2) / (0.25 * size)
    return np.maximum(np.exp(-0.5 * place**2), 0.01)
