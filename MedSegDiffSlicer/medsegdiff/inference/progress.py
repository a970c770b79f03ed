"""How far the work is, and whether to go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import Cancelled


@dataclass(frozen=True)
class Progress:
    """fraction: 0 - 1.  message: what is being done.  seconds_left: None until it can be told."""

    fraction: float
    message: str
    seconds_left: float | None = None


ProgressCallback = Callable[[Progress], None]
CancelCheck = Callable[[], bool]


class Tracker:
    """Counts units of work; tells the caller; stops the work where the caller asks for it."""

    def __init__(self, units: int, progress: ProgressCallback | None, cancelled: CancelCheck | None):
        self._units, self._done = max(1, units), 0
        self._progress, self._cancelled = progress, cancelled
        self._began = time.monotonic()

    def check(self) -> None:
        """Raises Cancelled where the caller has asked to stop."""
        if self._cancelled is not None and self._cancelled():
            raise Cancelled

    def advance(self, message: str) -> None:
        """One unit is done."""
        self.check()
        self._done += 1
        if self._progress is not None:
            share = min(1.0, self._done / self._units)
            left = (time.monotonic() - self._began) * (1 - share) / share
            self._progress(Progress(share, message, left))
