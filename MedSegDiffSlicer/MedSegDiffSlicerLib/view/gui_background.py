"""Long computations beside the GUI, delivered by Qt's event loop."""

from __future__ import annotations

from collections.abc import Callable

import qt

from ..jobs.background import PATIENCE, Background

INTERVAL = 2  # ms between two looks at what was answered
GIVEN = 0.01  # seconds of each of them that are the thread's


class GuiBackground(Background):
    """A Background that the event loop delivers.

    onBusy(busy): called when an answer takes long enough to be waited for, and when there is none left.
    patience: see Background.
    """

    def __init__(self, onBusy: Callable[[bool], None] = lambda _busy: None, patience: float = PATIENCE):
        super().__init__(patience)
        self._onBusy, self._told = onBusy, False
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL)
        self._timer.connect("timeout()", self._turn)

    def ask(self, topic, work, done, failed=None) -> None:
        try:
            super().ask(topic, work, done, failed)
        finally:
            self._follow()

    def forget(self, *topics: str) -> None:
        super().forget(*topics)
        self._follow()

    def close(self) -> None:
        """Before it is given up."""
        self._onBusy = lambda _busy: None
        self.forget()
        self._timer.disconnect("timeout()", self._turn)

    def _turn(self) -> None:
        try:
            self.give_way(GIVEN)
            self.deliver()
        finally:
            self._follow()

    def _follow(self) -> None:
        """Brings timer and owner in line with what there is to do."""
        busy = self.busy
        if busy != self._timer.isActive():
            self._timer.start() if busy else self._timer.stop()
        if busy != self._told:
            self._told = busy
            self._onBusy(busy)
