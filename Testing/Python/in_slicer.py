"""What the tests inside the application share."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

import qt
import slicer

MODEL = "hippocampus-medsegdiff"
SAMPLE, OTHER_SAMPLE = "ICBM152HippocampusLeft", "ICBM152HippocampusRight"
LONG = 300  # samples: enough that a run is still under way when it is cancelled or its worker killed


def load_sample(name: str = SAMPLE):
    """A shipped scan, through the Sample Data module as a user gets it."""
    import MedSegDiffSlicer
    import SampleData

    MedSegDiffSlicer.registerSampleData()
    return SampleData.downloadSample(name)


def node_ids() -> set[str]:
    """Every node of the scene, to compare before and after."""
    return {slicer.mrmlScene.GetNthNode(i).GetID() for i in range(slicer.mrmlScene.GetNumberOfNodes())}


def turn_until(condition, timeout: float = 60.0) -> float:
    """Lets the application live until the condition holds; returns the seconds that took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout:
            raise AssertionError(f"waited {timeout} s in vain")
        slicer.app.processEvents()
        time.sleep(0.005)
    return time.monotonic() - began


def delete_what_was_given_up() -> None:
    """Deletes the widgets of `deleteLater`, as Slicer's event loop does, but not processEvents within a script."""
    slicer.app.sendPostedEvents(None, qt.QEvent.DeferredDelete)


def screenshot(name: str) -> None:
    """Saves a picture of the whole application into $MEDSEGDIFF_SCREENSHOTS, if that is set."""
    folder = os.environ.get("MEDSEGDIFF_SCREENSHOTS")
    if not folder:
        return
    slicer.util.forceRenderAllViews()
    for _ in range(20):
        slicer.app.processEvents()
        time.sleep(0.01)
    slicer.util.mainWindow().grab().save(str(Path(folder) / f"{name}.png"))


class EventLoopGaps:
    """Measures, as a context, the longest time between two turns of the GUI's event loop.

    longest: s.  busiest: s of a processor that the GUI's thread needed at most between two turns, which tells more than
    the time where other programs are busy.
    """

    def __enter__(self) -> EventLoopGaps:
        self.longest = self.busiest = 0.0
        self.turns, self._last, self._used = 0, time.perf_counter(), time.thread_time()
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._tick)
        self._timer.start()
        return self

    def __exit__(self, *_exception) -> None:
        self._timer.stop()

    def _tick(self) -> None:
        now, used = time.perf_counter(), time.thread_time()
        self.longest, self.busiest = max(self.longest, now - self._last), max(self.busiest, used - self._used)
        self.turns, self._last, self._used = self.turns + 1, now, used

    def __str__(self) -> str:
        return (f"longest stretch without a turn of the event loop {1000 * self.longest:.0f} ms, of the GUI's thread "
                f"{1000 * self.busiest:.0f} ms of a processor, {self.turns} turns")  # fmt: skip


class ObserverErrors(logging.Handler):
    """Collects, as a context, exceptions in observers and Qt slots, which Slicer otherwise only prints, and those that
    the module itself writes to the log."""

    def __enter__(self) -> list:
        self._errors, self._before = [], sys.excepthook
        sys.excepthook = lambda kind, error, trace: self._errors.append(error)
        logging.getLogger().addHandler(self)
        return self._errors

    def __exit__(self, *_exception) -> None:
        logging.getLogger().removeHandler(self)
        sys.excepthook = self._before

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self._errors.append(record.exc_info[1])
