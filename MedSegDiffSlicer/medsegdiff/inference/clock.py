"""How long network calls take on a device, without making it wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch

RUN_AHEAD = 2  # calls that may wait for a GPU while the next one is prepared; Cancel waits for them, too


class Clock:
    """`with clock:` around calls that are done when they return; `settle` around those on MPS, which are not.

    seconds: spent in them so far.
    """

    def __init__(self, settle: Callable[[], None] = lambda: None):
        self.seconds = 0.0
        self._settle = settle

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            self._settle()
            self.seconds += perf_counter() - self._began

    def finish(self) -> None:
        """Waits until all calls are done."""


class EventClock:
    """The same for calls that are only queued when they return: events in the queue tell when they began and ended.

    record: puts an event into the queue (a torch.cuda.Event). At most RUN_AHEAD calls wait there; a further one waits
      for the oldest.
    """

    def __init__(self, record: Callable[[], Any]):
        self._record = record
        self._queued: deque = deque()
        self._done = 0.0

    def __enter__(self) -> None:
        self._start = self._record()

    def __exit__(self, kind, *_) -> None:
        if kind is not None:
            return
        self._queued.append((self._start, self._record()))
        while len(self._queued) > RUN_AHEAD:
            self._wait()

    @property
    def seconds(self) -> float:
        """Of the calls that are known to be done."""
        return self._done

    def finish(self) -> None:
        """Waits until all calls are done."""
        while self._queued:
            self._wait()

    def _wait(self) -> None:
        start, end = self._queued.popleft()
        end.synchronize()
        self._done += start.elapsed_time(end) / 1000


def clock_for(device: torch.device) -> Clock | EventClock:
    """The clock of a device."""

    def record() -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True, blocking=True)
        event.record(torch.cuda.current_stream(device))  # of this device, whichever is the current one
        return event

    if device.type == "cuda":
        return EventClock(record)
    return Clock(torch.mps.synchronize) if device.type == "mps" else Clock()
