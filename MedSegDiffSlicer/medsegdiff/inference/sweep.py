"""Opinions on images too large for the probabilities of all labels: tiles go through the image along one axis, and what
no later tile reaches is restored, taken and dropped, strip by strip."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..uncertainty.accumulator import Part
from ..uncertainty.likeliest import keeps_all
from ..uncertainty.measures import most_probable
from .model import Model
from .plan import Plan
from .preprocessing import Prepared
from .strips import Strip, image_box, make_strips
from .tiling import Tile
from .variants import Variant


@dataclass(frozen=True)
class Sweep:
    """axis: of the prepared grid, along which the tiles go.  strips: of the image, ascending.  prepared: the image.
    labels: their number with background.  logits: whether the model gives these.  painted: see Prepared.restore."""

    axis: int
    strips: tuple[Strip, ...]
    prepared: Prepared
    labels: int
    logits: bool
    painted: tuple[int, ...]

    def ordered(self, tiles: Iterable[Tile]) -> list[Tile]:
        """The tiles in the order in which they are drawn."""
        return sorted(tiles, key=lambda tile: tile.core[self.axis].start)

    def sources(self, variant: Variant) -> Iterator[tuple[Strip, slice | None]]:
        """The strips with their rows in a variant's image, ascending there."""
        count, flipped = self.prepared.array.shape[1 + self.axis], variant.flips == self.axis
        for strip in reversed(self.strips) if flipped else self.strips:
            rows = strip.source
            yield strip, slice(count - rows.stop, count - rows.start) if flipped and rows is not None else rows

    def part(self, strip: Strip, probability: np.ndarray | None, sample: np.ndarray | None) -> Part:
        """A strip of an opinion on the image's own grid.

        probability, sample: (L, i, j, k) of its source rows; None for one that was cropped away, and for no sample
          beside the probability.
        """
        likely = self.prepared.restore_strip(probability, self.labels, self.axis, strip, self.logits, self.painted)
        drawn = likely if sample is None else self.prepared.restore_strip(sample, self.labels, self.axis, strip)
        return image_box(self.prepared.plan, self.axis, strip), likely, most_probable(drawn)


def needs_sweep(labels: int, shape: tuple[int, int, int], prepared: Prepared) -> bool:
    """Whether the probabilities of all labels are too much, on the grid of the image or on that of the model."""
    return not keeps_all(labels, max(int(np.prod(shape)), int(np.prod(prepared.array.shape[1:]))))


def make_sweep(model: Model, plan: Plan, tiles: Sequence[Tile], prepared: Prepared) -> Sweep:
    """Along the axis that takes the least memory, of those whose rows stay together in all variants of the plan."""
    turned = {axis for variant in plan.variants for axis in variant.turns}
    shape, labels = prepared.array.shape[1:], len(model.package.labels)
    axis = min(set(range(3)) - turned, key=lambda axis: (_edge(tiles, axis) / shape[axis], axis))
    return Sweep(axis, tuple(make_strips(prepared.plan, axis, labels)), prepared, labels, model.logits, model.painted)


class Band:
    """16-bit sums of what overlapping tiles say, of the rows between the first that is still needed and the last that a
    tile has reached.

    shape: (i, j, k) of the whole grid.  rows: along the axis that are held at once.
    """

    def __init__(self, labels: int, shape: tuple[int, int, int], axis: int, rows: int):
        self._axis, self._first = axis, 0
        held = tuple(min(rows, n) if here == axis else n for here, n in enumerate(shape))
        self._sums = torch.zeros((labels, *held), dtype=torch.float16)

    def add(self, box: tuple[slice, slice, slice], values: np.ndarray) -> None:
        """values: (L, i, j, k) float32 for a box of the grid."""
        # six times faster than as they are
        self._sums[(slice(None), *self._held(box))] += torch.from_numpy(values).half()

    def rows(self, rows: slice) -> np.ndarray:
        """(L, i, j, k) float32, some rows."""
        box = [slice(None)] * 3
        box[self._axis] = rows
        return self._sums[(slice(None), *self._held(box))].float().numpy()

    def drop(self, before: int) -> None:
        """Rows before this one are no longer needed."""
        gone, held = before - self._first, self._sums.shape[1 + self._axis]
        if gone <= 0:
            return
        kept = max(0, held - gone)
        for label in self._sums:  # one at a time: the rows move within their own memory
            if kept:
                label.narrow(self._axis, 0, kept).copy_(label.narrow(self._axis, gone, kept).clone())
            label.narrow(self._axis, kept, held - kept).zero_()
        self._first = before

    def _held(self, box: Iterable[slice]) -> tuple[slice, ...]:
        own = list(box)
        rows = own[self._axis]
        own[self._axis] = slice(rows.start - self._first, rows.stop - self._first)
        return tuple(own)


def swept(
    sweep: Sweep, variant: Variant, tiles: Iterable[tuple[Tile, tuple[np.ndarray, np.ndarray | None]]],
    bands: list[Band]
) -> Iterator[Part]:  # fmt: skip
    """An opinion on the image's own grid, in parts.

    tiles: in their order, with what is said of their cores, weighted: of the probability and, where there is one, of
      the sample.  bands: one for each of these.
    """
    waiting, tiles = deque(sweep.sources(variant)), iter(tiles)
    coming = next(tiles, None)
    while waiting:
        done = coming[0].core[sweep.axis].start if coming else sweep.prepared.array.shape[1 + sweep.axis]
        while waiting and (waiting[0][1] is None or waiting[0][1].stop <= done):
            strip, rows = waiting.popleft()
            if rows is None:
                yield sweep.part(strip, None, None)
                continue
            yield sweep.part(strip, *([variant.undo(band.rows(rows)) for band in bands] + [None])[:2])
        if coming is None:
            continue
        needed = next((rows.start for _, rows in waiting if rows is not None), done)
        for band in bands:
            band.drop(min(needed, done))
        for band, values in zip(bands, coming[1]):
            band.add(coming[0].core, values)
        coming = next(tiles, None)


def rows_held(sweep: Sweep, tiles: Iterable[Tile]) -> int:
    """How many rows a Band needs."""
    sources = (strip.source for strip in sweep.strips if strip.source is not None)
    return _edge(tiles, sweep.axis) + max(source.stop - source.start for source in sources)


def _edge(tiles: Iterable[Tile], axis: int) -> int:
    return max(tile.core[axis].stop - tile.core[axis].start for tile in tiles)
