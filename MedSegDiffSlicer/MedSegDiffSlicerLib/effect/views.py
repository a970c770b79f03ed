"""The preview in all slice views of the layout: pulsing, and gone without a trace."""

from __future__ import annotations

import math

import numpy as np
import slicer

from medsegdiff.models.package import Label

from ..jobs.opinions_session import OpinionsSession
from ..nodes.overlay import RANGES, TRANSPARENT_BELOW
from ..nodes.target_segments import label_of
from ..nodes.volume_to_image import affine_of
from ..view.slice_preview import Picture, SlicePreview
from .clicks import EffectClicks

OPACITIES = (0.25, 0.6)  # between which the labels pulse
PERIOD = 8  # pulses of a whole wave


class EffectViews:
    """Draws a session's label map, uncertainty and clicks.  effect: the scripted effect (C++ side)."""

    def __init__(self, effect):
        self._effect = effect
        self._previews: dict[object, SlicePreview] = {}
        self._empty()
        self._known: tuple = ()  # what the colours were read from, and the colours
        self._phase, self._pulsed = 0, False

    def _empty(self) -> None:
        self._labels: Picture | None = None
        self._map: Picture | None = None
        self._shown_labelmap = self._shown_result = self._shown_measure = None  # what the pictures are of
        self._drawn: tuple = ()

    def follow(self) -> None:
        """Brings the previews in line with the views that the layout has; the next `show` draws into all."""
        self._drawn = ()
        manager = slicer.app.layoutManager()
        widgets = [manager.sliceWidget(name) for name in manager.sliceViewNames()] if manager else []
        for widget in [w for w in self._previews if w not in widgets]:
            self._previews.pop(widget).remove()
        for widget in widgets:
            if widget not in self._previews:
                self._previews[widget] = SlicePreview(self._effect.renderer(widget), widget.mrmlSliceNode())

    def clear(self) -> None:
        """Removes everything from all views."""
        for widget, preview in self._previews.items():
            preview.remove()
            widget.sliceView().scheduleRender()
        self._previews = {}
        self._empty()

    def show(self, session: OpinionsSession, clicks: EffectClicks, measure: str | None, written: bool) -> None:
        """Draws what the session holds now, with a stroke that is being drawn; a new map of uncertainty the next time,
        as the event loop has to turn in between.

        written: whether the segments hold the label map already; it is not drawn then, the uncertainty is.
        """
        if session.labelmap is None:
            if self._previews:
                self.clear()
            return
        if not self._previews:
            self.follow()
        affine = affine_of(session.volume)
        if self._labels is None or not np.array_equal(affine, self._labels.affine):
            self._shown_labelmap = self._shown_result = None
        if session.labelmap is not self._shown_labelmap:
            self._labels = Picture.of(session.labelmap, session.box, session.volume)
            self._shown_labelmap, self._drawn = session.labelmap, ()
        elif session.result is not self._shown_result or measure != self._shown_measure:
            wanted = session.result is not None and measure
            uncertainty = session.result.uncertainty(measure) if wanted else None
            seen = TRANSPARENT_BELOW * RANGES[measure][1] if wanted else 0
            self._map = Picture.of(uncertainty, session.box, session.volume, seen) if wanted else None
            self._shown_result, self._shown_measure = session.result, measure
            self._drawn = ()
        places = [*session.clicks, *clicks.stroke]
        if self._drawn != (places, written):
            self._drawn = (places, written)
            for preview in self._previews.values():
                preview.show(None if written else self._labels, self._map, measure or "entropy", places)
            self._color(clicks.labels)
        elif self._pulsed and not written:
            self._color(clicks.labels)

    def pulse(self) -> None:
        """Goes on to the next picture of the pulsing, which the next `show` draws."""
        self._phase, self._pulsed = (self._phase + 1) % PERIOD, True

    def update(self, widget) -> None:
        """To be called when a view looks at something else."""
        if widget in self._previews:
            self._previews[widget].update()

    def opacity(self) -> float:
        """Of the labels at this moment."""
        low, high = OPACITIES
        return low + (high - low) * (0.5 - 0.5 * math.cos(2 * math.pi * self._phase / PERIOD))

    def _color(self, labels: list[Label]) -> None:
        self._pulsed = False
        colors = self._colors(labels)
        for widget, preview in self._previews.items():
            preview.set_colors(labels, lambda label: colors[label.value], self.opacity())
            widget.sliceView().scheduleRender()

    def _colors(self, labels: list[Label]) -> dict[int, tuple]:
        """A label's colour: that of the segment that stands for it already, or its own."""
        node = self._effect.parameterSetNode()
        segmentation_node = node.GetSegmentationNode() if node else None
        segmentation = segmentation_node.GetSegmentation() if segmentation_node else None
        known = (labels, segmentation, segmentation.GetMTime() if segmentation else 0)
        if self._known[:-1] != known:
            colors = {label.value: tuple(c / 255 for c in label.color) for label in labels}
            for segment_id in segmentation.GetSegmentIDs() if segmentation else ():
                label = label_of(segmentation_node, segment_id, labels)
                if label is not None:
                    colors[label.value] = segmentation.GetSegment(segment_id).GetColor()
            self._known = (*known, colors)
        return self._known[-1]
