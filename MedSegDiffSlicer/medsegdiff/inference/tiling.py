"""Cutting an image into overlapping tiles that see their surroundings, and weighing what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import ceil, isqrt

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


@dataclass(frozen=True)
class Cut:
    """How large tiles may be, axis by axis: voxels of a core (None: never cut), of context around it, and what sizes
    are multiples of."""

    edges: tuple[int | None, int | None, int | None]
    context: tuple[int, int, int]
    divisible: tuple[int, int, int]


def plan_cut(
    shape: tuple[int, int, int], edge: int, divisible: tuple[int, int, int], size=(None, None, None), flat: bool = False
) -> Cut:
    """How an image of `shape` is cut for a network.

    edge: of a tile's core in voxels.  divisible, size: see Preprocessing; axes of a fixed size are not cut.
    flat: for networks that see slices: whole slices where they fit, and as many as make up the same number of voxels.
    """
    edges, context = (edge,) * 3, (CONTEXT,) * 3
    if flat:
        side = isqrt(edge**3)
        slices = edge**3 // (min(side, shape[0]) * min(side, shape[1]))
        edges, context = (side, side, max(1, slices)), (CONTEXT, CONTEXT, 0)
    edges = (None if fixed else edge for edge, fixed in zip(edges, size))
    return Cut(tuple(edges), context, divisible)


def make_tiles(shape: tuple[int, int, int], cut: Cut, overlap: float) -> list[Tile]:
    """Tiles that cover an image of `shape` (each axis divisible as the cut says).

    overlap: share in [0, 0.9] that neighbouring cores have in common, along axes with a context.
    An image no larger than a core with its context is one tile.
    """
    edges = [n if edge is None else edge for n, edge in zip(shape, cut.edges)]
    if all(n <= edge + 2 * around for n, edge, around in zip(shape, edges, cut.context)):
        whole = tuple(slice(0, n) for n in shape)
        return [Tile(whole, whole)]
    from monai.data.utils import dense_patch_slices

    size = [min(-(-edge // divisible) * divisible, n) for n, edge, divisible in zip(shape, edges, cut.divisible)]
    context = [-(-c // divisible) * divisible for c, divisible in zip(cut.context, cut.divisible)]
    shares = [overlap if c else 0 for c in context]
    step = [max(d, int(n * (1 - share)) // d * d) for n, share, d in zip(size, shares, cut.divisible)]
    cores = [tuple(slice(int(s.start), int(s.stop)) for s in core) for core in dense_patch_slices(shape, size, step)]
    return [Tile(core, tuple(_widened(s, n, c) for s, n, c in zip(core, shape, context))) for core in cores]


def make_windows(shape: tuple[int, int, int], window: tuple[int | None, int | None, int | None]) -> list[Tile]:
    """Windows of one size, as nnU-Net lays them: at equal distances of half a window at most, from end to end.

    shape: of the image, no axis shorter than the window.  window: voxels along each axis; None for all.
    """
    starts = []
    for count, size in zip(shape, window):
        steps = 1 if size is None else ceil((count - size) / (size * 0.5)) + 1
        apart = 0.0 if steps == 1 else (count - size) / (steps - 1)
        starts.append([round(apart * step) for step in range(steps)])
    sizes = [count if size is None else size for count, size in zip(shape, window)]
    boxes = [tuple(slice(start, start + size) for start, size in zip(place, sizes)) for place in product(*starts)]
    return [Tile(box, box) for box in boxes]


def _widened(core: slice, size: int, context: int) -> slice:
    return slice(max(0, core.start - context), min(size, core.stop + context))


def largest_core(tiles: list[Tile]) -> tuple[int, int, int] | None:
    """Voxels of the largest core along each axis; None where one tile is the whole image."""
    if len(tiles) == 1:
        return None
    sizes = [size_of(tile.core) for tile in tiles]
    return tuple(max(size[axis] for size in sizes) for axis in range(3))


def start_of(box: Box) -> tuple[int, int, int]:
    """First voxel of a box."""
    return tuple(s.start for s in box)


def size_of(box: Box) -> tuple[int, int, int]:
    """Voxels of a box along each axis."""
    return tuple(s.stop - s.start for s in box)


class Weights:
    """Gaussian weights of the tiles' voxels, their middle counting most (Isensee et al., 2021); at every voxel of the
    image the weights of all tiles sum to one. They are products of one factor an axis, so that nothing of the image's
    size is held.

    tiles: as from make_tiles or make_windows for an image of `shape`.  bell: (size,) weights along an axis.
    """

    def __init__(self, shape: tuple[int, int, int], tiles: list[Tile], bell: Callable[[int], np.ndarray] | None = None):
        self._bell = _bell if bell is None else bell
        self._totals = [np.zeros(n, np.float32) for n in shape]
        for axis, total in enumerate(self._totals):
            for start, stop in {(t.core[axis].start, t.core[axis].stop) for t in tiles}:
                total[start:stop] += self._bell(stop - start)

    def __call__(self, tile: Tile) -> np.ndarray:
        """(i, j, k) float32 of the tile's core."""
        i, j, k = (self._bell(c.stop - c.start) / total[c] for c, total in zip(tile.core, self._totals))
        return i[:, None, None] * j[:, None] * k


def _bell(size: int) -> np.ndarray:
    """(size,) float32, a Gaussian of a quarter of the size around the middle, 0.01 at least."""
    place = (np.arange(size, dtype=np.float32) - (size - 1) / 2) / (0.25 * size)
    return np.maximum(np.exp(-0.5 * place**2), 0.01)


def window_bell(size: int) -> np.ndarray:
    """(size,) float32, nnU-Net's Gaussian of an eighth of the size."""
    place = (np.arange(size, dtype=np.float32) - size // 2) / (0.125 * size)
    return np.exp(-0.5 * place**2)
