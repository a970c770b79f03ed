"""The preview in all slice views of the layout: pulsing, and gone without a trace."""

from __future__ import annotations

import math

import slicer

from medsegdiff.models.package import Label
from medsegdiff.uncertainty.map_range import Span

from ..jobs.background import Background
from ..jobs.opinions_session import OpinionsSession
from ..nodes.target_segments import label_of
from ..nodes.volume_to_image import affine_of
from ..view.slice_preview import SlicePreview
from ..view.timers import once
from .clicks import EffectClicks
from .pictures import EffectPictures

OPACITIES = (0.25, 0.6)  # between which the labels pulse
PERIOD = 8  # pulses of a whole wave


class EffectViews:
    """Draws a session's label map, uncertainty and clicks.

    effect: the scripted effect (C++ side).  background, thorough: see EffectPictures.
    """

    def __init__(self, effect, background: Background, thorough: Background):
        self._effect, self._pictures = effect, EffectPictures(background, thorough, self._redraw)
        self._previews: dict[object, SlicePreview] = {}
        self._drawn: tuple = ()
        self._wanted: tuple = ()  # what is to be drawn: clicks, and whether the labels are left out
        self._known: tuple = ()  # what the colours were read from, and the colours
        self._phase, self._pulsed = 0, False
        self._stale: list = []  # views that do not show yet what is in their previews
        self._turn = once(effect.optionsFrame(), 0, self._render)

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
        self._previews, self._drawn, self._stale = {}, (), []
        self._pictures.clear()

    def close(self) -> None:
        """Removes everything, for good: the timer would keep it as long as the effect's widgets live."""
        self.clear()
        self._turn.disconnect("timeout()", self._render)

    def show(self, session: OpinionsSession, clicks: EffectClicks, measure: str | None, written: bool) -> None:
        """Draws what the session holds now, with a stroke that is being drawn; new pictures as soon as they are ready.

        written: whether the segments are to be seen in its place; the label map is not drawn then, the uncertainty is.
        """
        if session.labelmap is None:
            if self._previews:
                self.clear()
            return
        if not self._previews:
            self.follow()
        self._wanted = [*session.clicks, *clicks.stroke], clicks.labels, written
        self._pictures.follow(session, measure, affine_of(session.volume))
        self._draw()

    def _redraw(self) -> None:
        self._drawn = ()
        self._draw()

    def _draw(self) -> None:
        places, labels, written = self._wanted
        if self._drawn != (places, written):
            self._drawn, pictures = (places, written), self._pictures
            _measure, span = pictures.scale or ("", (0.0, 1.0))
            for preview in self._previews.values():
                preview.show(None if written else pictures.labels, pictures.map, span[:2], places)
            self._color(labels)
        elif self._pulsed and not written:
            self._color(labels)

    @property
    def scale(self) -> tuple[str, Span] | None:
        """The measure of the map that is drawn and the values that its colours span; None where none is."""
        return self._pictures.scale

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
        for preview in self._previews.values():
            preview.set_colors(labels, lambda label: colors[label.value], self.opacity())
        self._stale += [widget for widget in self._previews if widget not in self._stale]
        self._turn.start()

    def _render(self) -> None:
        """One view a turn of the event loop; views that are scheduled together are drawn in one."""
        while self._stale:
            widget = self._stale.pop(0)
            if widget in self._previews:
                widget.sliceView().forceRender()
                break
        if self._stale:
            self._turn.start()

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
