"""The uncertainty of a result in the slice views: which measure, how opaque, from which value on, with a legend."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError
from medsegdiff.uncertainty.map_range import Span
from medsegdiff.uncertainty.rules import MEASURES

from ..jobs.background import Background
from ..nodes.overlay import (
    MEASURE, OPACITY, add_map, cover_view, hide_overlay, show_from, show_overlay, slice_views,
)  # fmt: skip
from ..nodes.result_nodes import add_to_run
from ..nodes.scene_change import all_or_nothing, is_in_scene
from ..nodes.slicer_result import RUN, SlicerResult
from .legend import has_legend, hide_legends, show_legend

_MAP = "map"  # question to the background


class UncertaintyView:
    """Shows one map of a result at a time over the scan.

    Maps of measures that are not in the scene yet are computed when asked for, as long as the result is at hand; they
    are shown as soon as they are there. `measure` is the one shown last, `visible` whether it is shown, `opacity` in
    [0, 1], `legend` whether the colours are explained: at first, as the slice views are.  background: computes them.
    """

    def __init__(self, scene, added: SlicerResult, background: Background):
        self._scene, self._added, self._background = scene, added, background
        self.opacity, self.legend = OPACITY, False
        laid = {view.GetForegroundVolumeID(): view.GetForegroundOpacity() for view in slice_views(scene)}
        shown = [name for name, node in self._maps().items() if node.GetID() in laid]
        self.measure, self.visible = next(iter(shown or self.measures()), None), bool(shown)
        if shown:
            self.opacity, self.legend = laid[self.map_node.GetID()], has_legend(self.map_node)

    @property
    def map_node(self):
        """The volume node of the measure, None where it is not in the scene."""
        return self._maps().get(self.measure)

    @property
    def range(self) -> tuple[float, float] | None:
        """The values that the colours of the measure's map span: nats, or variance. None where it is not there."""
        if self.map_node is None:
            return None
        display = self.map_node.GetDisplayNode()
        return display.GetWindowLevelMin(), display.GetWindowLevelMax()

    def measures(self) -> list[str]:
        """The measures that can be shown: all while the result is at hand, else those whose maps are in the scene."""
        maps = self._maps()
        return [name for name in MEASURES if name in maps or (self._added.result is not None and self._is_alive())]

    def show(self, measure: str | None = None) -> None:
        """Shows the map of a measure, the same as before where none is given.

        Raises RequestError for a measure that cannot be shown; what is shown then stays.
        """
        measure = measure or self.measure
        if measure not in self.measures():
            raise RequestError(
                _("the map '{measure}' cannot be shown: it was removed, or never made; run the model again").format(
                    measure=measure
                )
            )
        if measure != self.measure:
            hide_legends(self._scene)  # the map itself goes when the new one takes its place
        self.measure, self.visible = measure, True
        if self.map_node is None:
            result = self._added.result
            self._background.ask(_MAP, partial(_map_of, result, measure), partial(self._add_map, measure))
        else:
            self._background.ask(_MAP, lambda: None, lambda _nothing: self._lay())

    def hide(self) -> None:
        """Takes map and legend away from the slice views; the map stays in the scene."""
        self.visible = False
        self._background.forget(_MAP)
        for node in self._maps().values():  # that of the measure before, where the new one is not there yet
            hide_overlay(self._scene, node)
        hide_legends(self._scene)

    @property
    def threshold(self) -> float:
        """From which value on the map is shown; in the measure's unit. 0 where all of it is, or it is not there."""
        display = self.map_node.GetDisplayNode() if self.map_node is not None else None
        return display.GetLowerThreshold() if display is not None and display.GetApplyThreshold() else 0.0

    def set_opacity(self, opacity: float) -> None:
        """How much the map covers the scan, in [0, 1]."""
        self.opacity = opacity
        self._apply()

    def set_threshold(self, threshold: float) -> None:
        """From which value on the map is shown, of each map its own; in the measure's unit."""
        if self.map_node is not None:
            show_from(self.map_node.GetDisplayNode(), threshold)

    def set_legend(self, visible: bool) -> None:
        """Whether the colours are explained in the slice views."""
        self.legend = visible
        self._apply()

    def _lay(self) -> Iterator[None]:
        """Shows the map in one view after the other, as each takes its time."""
        node = self.map_node
        for view in slice_views(self._scene):
            if not self.visible or node is None or node is not self.map_node:
                return
            cover_view(self._scene, view, node, self.opacity)
            yield
        self._apply()

    def _apply(self) -> None:
        node = self.map_node
        if not self.visible or node is None:
            return
        show_overlay(self._scene, node, self.opacity)
        hide_legends(self._scene, but=node if self.legend else None)
        if self.legend:
            show_legend(node, self.measure)

    def _add_map(self, measure: str, computed: tuple[np.ndarray, Span]) -> Iterator[None]:
        added, (values, span) = self._added, computed
        if not self._is_alive() or measure in self._maps():
            return
        title = added.segmentationNode.GetAttribute(RUN) or added.volumeNode.GetName()
        with all_or_nothing(self._scene):
            node = add_map(self._scene, f"{title} {measure}", values, added.volumeNode, measure, span)
            add_to_run(self._scene, added, [node])
        added.uncertaintyVolumeNodes.append(node)
        yield from self._lay()

    def _is_alive(self) -> bool:
        return is_in_scene(self._added.segmentationNode) and is_in_scene(self._added.volumeNode)

    def _maps(self) -> dict[str, object]:
        nodes = [node for node in self._added.uncertaintyVolumeNodes if is_in_scene(node)]
        return {node.GetAttribute(MEASURE): node for node in nodes}


def _map_of(result, measure: str) -> tuple[np.ndarray, Span]:
    """A map as VTK wants it, and what its colours span."""
    values = np.array(result.uncertainty(measure), order="F")
    return values, result.span(measure, values)
