"""Mouse events in slice views become clicks: single ones, or short strokes of several."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import slicer
import vtk

from ..jobs.opinions_session import Click

SPACING = 2.0  # mm between the clicks of a stroke
MOST = 12  # clicks of a stroke
# The second of two quick clicks comes as a double click, for which Slicer would let the view fill the layout.
PRESSES = vtk.vtkCommand.LeftButtonPressEvent, vtk.vtkCommand.LeftButtonDoubleClickEvent


class ClickStrokes:
    """Follows the left button in all slice views.

    value(background): label value that a click means now; background: whether Shift is held.
    shown(clicks): the stroke so far, to be drawn.  done(clicks): the whole stroke.
    """

    def __init__(
        self, value: Callable[[bool], int], shown: Callable[[list[Click]], None], done: Callable[[list[Click]], None]
    ):
        self._value, self._shown, self._done = value, shown, done
        self._clicks: list[Click] = []
        self._view = None

    def stop(self) -> None:
        """Forgets a stroke that has not ended."""
        self._clicks, self._view = [], None

    def handle(self, interactor, event: int, slice_node) -> bool:
        """To be called for each event; whether it is the stroke's and nobody else's."""
        if event in PRESSES and not (interactor.GetControlKey() or interactor.GetAltKey()):
            self._clicks, self._view = [], slice_node
            self._meant = self._value(bool(interactor.GetShiftKey()))
            self._add(interactor)
            return True
        if self._view is not slice_node or self._view is None:
            return False
        if event == vtk.vtkCommand.MouseMoveEvent:
            self._add(interactor)
            return True
        if event == vtk.vtkCommand.LeftButtonReleaseEvent:
            clicks = self._clicks
            self.stop()
            self._done(clicks)
            return True
        return False

    def _add(self, interactor) -> None:
        place = place_under(self._view, interactor.GetEventPosition())
        near = self._clicks and np.linalg.norm(np.subtract(place, self._clicks[-1][:3])) < SPACING
        if not near and len(self._clicks) < MOST:
            self._clicks.append((*place, self._meant))
            self._shown(self._clicks)


def place_under(slice_node, pixel: tuple[int, int]) -> tuple[float, float, float]:
    """R, A, S in mm of a pixel of a slice view."""
    to_world = slicer.util.arrayFromVTKMatrix(slice_node.GetXYToRAS())
    return tuple((to_world @ [*pixel, 0, 1])[:3].tolist())
