"""A session's label map and uncertainty as pictures, prepared beside the GUI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from medsegdiff.uncertainty.map_range import Span

from ..jobs.background import Background
from ..jobs.opinions_session import OpinionsSession
from ..nodes.overlay import TRANSPARENT_BELOW
from ..view.slice_preview import Part, Picture

_LABELS, _MAP = "picture of labels", "picture of uncertainty"  # questions to the background


class EffectPictures:
    """labels, map: the latest pictures, None where there is nothing.  scale: the measure of the map and the values that
    its colours span, None where there is no map.

    background: cuts the labels.  thorough: works out the uncertainty.  ready(): called when a picture is another one.
    """

    def __init__(self, background: Background, thorough: Background, ready: Callable[[], None]):
        self._background, self._thorough, self._ready = background, thorough, ready
        self.clear()

    def clear(self) -> None:
        """Forgets all."""
        self._background.forget(_LABELS)
        self._thorough.forget(_MAP)
        self.labels: Picture | None = None
        self.map: Picture | None = None
        self.scale: tuple[str, Span] | None = None
        self._labelmap = self._result = self._measure = None  # what the pictures are of, or will be

    def follow(self, session: OpinionsSession, measure: str | None, affine: np.ndarray) -> None:
        """Brings the pictures in line with a session that has a label map; a new map of uncertainty the next time, as
        the event loop has to turn in between.  affine: of its volume."""
        self._move(affine)
        labelmap, result, box = session.labelmap, session.result, session.box
        if labelmap is not self._labelmap:
            self._labelmap = labelmap

            def show_labels(part: Part) -> None:
                self.labels = Picture.of(part, box, affine)
                self._ready()

            self._background.ask(_LABELS, lambda: Part.of(labelmap), show_labels)
        elif result is not self._result or measure != self._measure:
            self._result, self._measure = result, measure

            def compute() -> tuple[Part, Span]:
                values = result.uncertainty(measure)
                span = result.span(measure, values)
                return Part.of(values, TRANSPARENT_BELOW * span.high), span

            def show_map(computed: tuple[Part, Span]) -> None:
                part, span = computed
                self.map, self.scale = Picture.of(part, box, affine), (measure, span)
                self._ready()

            if result is None or measure is None:
                self._thorough.forget(_MAP)
                self.map = self.scale = None
                self._ready()
            else:
                self._thorough.ask(_MAP, compute, show_map)

    def _move(self, affine: np.ndarray) -> None:
        """Where the volume is now."""
        moved = [p for p in (self.labels, self.map) if p is not None and not np.array_equal(affine, p.affine)]
        if moved:
            self.labels, self.map = (p and replace(p, affine=affine) for p in (self.labels, self.map))
            self._ready()
