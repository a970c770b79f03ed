"""A prepared grid cut to strips along an axis, and the parts of the image that they make up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import floor

import numpy as np

from .grid_change import Box, GridChange
from .resampling import nearest_places, resample_linear, skipped_axis

STRIP_BYTES = 2**27  # of all labels' probabilities in a strip of the image, as float32


@dataclass(frozen=True)
class Strip:
    """Rows of the image along its oriented axis, and those of the padded grid that they follow from (`source`); without
    such rows it was cropped away.  start: the first row, counted from the first that was not cropped away."""

    rows: slice
    source: slice | None = None
    start: int = 0

    @property
    def count(self) -> int:
        return self.rows.stop - self.rows.start


def make_strips(change: GridChange, axis: int, labels: int) -> list[Strip]:
    """Strips that cover the image, in ascending order.  axis: of the prepared grid.  labels: with background."""
    plane = int(np.prod(change.oriented)) // change.oriented[axis]
    most = max(1, STRIP_BYTES // (4 * labels * plane))
    box, count, total = change.box[axis], change.cropped[axis], change.oriented[axis]
    within = [slice(at, min(at + most, count)) for at in range(0, count, most)]
    kept = [Strip(slice(box.start + s.start, box.start + s.stop), _source(change, axis, s), s.start) for s in within]
    outside = [*range(0, box.start, most)], [*range(box.stop, total, most)]
    before, after = (
        [Strip(slice(at, min(at + most, end))) for at in starts] for starts, end in zip(outside, (box.start, total))
    )
    return [*before, *kept, *after]


def image_box(change: GridChange, axis: int, strip: Strip) -> Box:
    """Where a strip lies in the image's own array."""
    rows, count = strip.rows, change.oriented[axis]
    own = slice(count - rows.stop, count - rows.start) if change.flips[axis] else rows
    return tuple(own if here == change.order[axis] else slice(None) for here in range(3))


def restore_strip(change: GridChange, array: np.ndarray, axis: int, strip: Strip) -> np.ndarray:
    """What GridChange.unresample makes of the whole grid, of one strip alone.

    array: (N, i, j, k) float32, of the padded grid the strip's source rows.
    """
    inside = [slice(None), *change.inside]
    inside[1 + axis] = slice(None)
    array, (have, count) = array[tuple(inside)], (change.resampled[axis], change.cropped[axis])
    shape = tuple(strip.count if here == axis else n for here, n in enumerate(change.cropped))
    same = change.resampled == change.cropped
    skipped = skipped_axis(change.wanted, change.before) if change.spline and not same else None
    if have == count:
        return resample_linear(array, shape, skipped)
    first = strip.source.start - change.padding[axis][0]
    if skipped == axis:
        places = nearest_places(have, count)[strip.start : strip.start + strip.count]
        return resample_linear(array.take(places - first, 1 + axis), shape, skipped)
    factor = have / count
    return resample_linear(array, shape, skipped, (axis, factor, (strip.start + 0.5) * factor - 0.5 - first))


def unorient_strip(change: GridChange, array: np.ndarray | None, labels: int, axis: int, strip: Strip) -> np.ndarray:
    """What GridChange.unorient makes of it.  array: of restore_strip; None for a strip that was cropped away."""
    box, oriented = list(change.box), list(change.oriented)
    box[axis], oriented[axis] = slice(0, strip.count), strip.count
    if array is None:
        array = np.zeros((labels, *oriented), np.float32)
        array[0], box = 1, [slice(0, n) for n in oriented]
    return replace(change, box=tuple(box), oriented=tuple(oriented)).unorient(array)


def _source(change: GridChange, axis: int, rows: slice) -> slice:
    """Rows of the padded grid that rows of the cropped one follow from."""
    have, count, before = change.resampled[axis], change.cropped[axis], change.padding[axis][0]
    low, high = rows.start, rows.stop
    if have != count:
        places = [(row + 0.5) * have / count - 0.5 for row in (rows.start, rows.stop - 1)]
        low, high = max(0, floor(places[0])), min(have, floor(places[1]) + 2)
    return slice(before + low, before + high)
