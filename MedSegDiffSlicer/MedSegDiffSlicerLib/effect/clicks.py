"""Clicks into slice views, for the effect: what they mean, and how many a stroke was."""

from __future__ import annotations

from collections.abc import Callable

from medsegdiff.models.package import Label

from ..jobs.opinions_session import Click, OpinionsSession
from .click_strokes import ClickStrokes
from .options import EffectOptions


class EffectClicks:
    """Sends the user's strokes to the session.

    drawn(): called when `stroke`, which is being drawn, has grown.  attempt(action): calls the action and tells errors.
    labels: of the session's model.
    """

    def __init__(
        self, session: OpinionsSession, options: EffectOptions, drawn: Callable[[], None],
        attempt: Callable[[Callable[[], None]], None],
    ):  # fmt: skip
        self._session, self._options, self._drawn, self._attempt = session, options, drawn, attempt
        self._strokes = ClickStrokes(self._value, self._on_stroke, self._on_end)
        self.clear([])

    def clear(self, labels: list[Label]) -> None:
        """Forgets all strokes; from now on they are about these labels, and say where they are."""
        self.labels, self._lengths = labels, []
        self.stop()

    def stop(self) -> None:
        """Forgets a stroke that has not ended, and what clicks mean."""
        self._strokes.stop()
        self.stroke, self._options.notIt.checked = [], False

    def handle(self, interactor, event: int, viewWidget) -> bool:
        """Follows the mouse where there are opinions to correct; whether the event is nobody else's."""
        if self._session.result is None or viewWidget.className() != "qMRMLSliceWidget":
            return False
        box = self._options.box.currentNode()
        display = box.GetDisplayNode() if box is not None else None
        if display is not None and display.GetActiveComponentType() != display.ComponentNone:
            return False  # the mouse is on the box, to move it
        return self._strokes.handle(interactor, event, viewWidget.mrmlSliceNode())

    def undo(self) -> None:
        """Takes the last click or stroke back."""
        if self._lengths:
            self._attempt(lambda: self._session.undo_click(self._lengths.pop()))

    def _value(self, background: bool) -> int:
        values = {label.name: label.value for label in self.labels}
        return 0 if background or self._options.notIt.checked else values[self._options.structure.currentText]

    def _on_stroke(self, clicks: list[Click]) -> None:
        self.stroke = list(clicks)
        self._drawn()

    def _on_end(self, clicks: list[Click]) -> None:
        def add() -> None:
            self._lengths.append(self._session.add_clicks(clicks))

        self.stroke = []
        self._attempt(add)
        self._drawn()
