"""One segmentation under way in Slicer, without Qt: whoever owns an event loop calls `pump` now and then."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import numpy as np
from slicer.i18n import tr as _

from medsegdiff.errors import Cancelled, JobError, MedSegDiffError, RequestError
from medsegdiff.worker.client import Event, Job

from ..nodes.nodes_from_result import ResultAdding, SlicerResult
from ..nodes.scene_change import is_in_scene

Progress = Callable[[float, str, "float | None"], None]
Preview = Callable[[np.ndarray, int], None]
SHARE = 0.02  # seconds for which one turn of the event loop adds nodes


class SegmentationJob:
    """Turns the events of a worker's job into callbacks and, at its end, into nodes (or what add_nodes makes of it).

    nodes: the inputs, and what else it needs; when one is deleted, or the scene closed, the job is cancelled and counts
    as failed.
    add_nodes(result): makes the nodes; or returns a ResultAdding, which then makes them little by little.
    check(): raises RequestError where the result no longer goes with the volumes; asked before nodes are added.
    onProgress(fraction 0 - 1, message, seconds left or None). onPreview(labelmap (I, J, K) uint8 of the mean of the
    opinions so far, their number): where the job sends previews. onFinished(job): once, at the end, whatever it is;
    then `result` holds a SlicerResult, or `error` an exception (`cancelled` tells whether it was a cancellation), and
    `seconds` how long it took.
    """

    def __init__(
        self,
        job: Job,
        nodes: Sequence,
        add_nodes: Callable[..., SlicerResult],
        onProgress: Progress | None = None,
        onFinished: Callable[[SegmentationJob], None] | None = None,
        onPreview: Preview | None = None,
        check: Callable[[], None] = lambda: None,
    ):
        self._job, self._nodes, self._add_nodes, self._check = job, list(nodes), add_nodes, check
        self._onProgress, self._onFinished, self._onPreview = onProgress, onFinished, onPreview
        self.result: SlicerResult | None = None
        self.error: Exception | None = None
        self.seconds: float | None = None
        self.process_events: Callable[[], None] = lambda: time.sleep(0.01)
        self._cancel_asked = self._pumping = False
        self._told: list[Event] = []  # what is still to be handled
        self._adding: ResultAdding | None = None
        self._complete: SlicerResult | None = None
        self._began = time.monotonic()

    @property
    def finished(self) -> bool:
        """Whether there is a result or an error."""
        return self.result is not None or self.error is not None

    @property
    def cancelled(self) -> bool:
        """Whether the user ended it."""
        return isinstance(self.error, Cancelled)

    def tell_waiting(self) -> None:
        """Another segmentation is under way, which this one waits for."""
        self._told.append(Event("progress", message=_("Waiting for the run before...")))

    def cancel(self) -> None:
        """Asks for the end; it comes within about a second and leaves the scene untouched."""
        self._cancel_asked = True
        self._job.cancel()

    def wait(self, timeout: float | None = None) -> SlicerResult:
        """Waits for the end while the application stays alive. Raises the job's error, or TimeoutError."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.finished:
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(_("no segmentation within {seconds} seconds").format(seconds=timeout))
            self.pump()
            self.process_events()
        if self.error is not None:
            raise self.error
        return self.result

    def pump(self) -> None:
        """Handles what has happened since the last call; does nothing where it is called out of itself."""
        if self.finished or self._pumping:
            return
        self._pumping = True
        try:
            self._pump()
        finally:
            self._pumping = False

    def _pump(self) -> None:
        complete, gone = self._complete, next((node for node in self._nodes if not is_in_scene(node)), None)
        if complete is not None and (gone is None or is_in_scene(complete.segmentationNode)):
            self._take(complete)  # in a turn of its own, as the callback takes its time; too late to cancel
            return
        if gone is not None:
            self._job.cancel()
            self._stop_adding()
            text = _("'{name}' was removed meanwhile; the segmentation was stopped")
            self._fail(JobError(text.format(name=gone.GetName())))
            return
        if self._adding is not None:
            self._add_some()
        self._told = _without_earlier_progress([*self._told, *self._job.poll()])
        drawn = False
        while self._told and not self.finished and not drawn:  # what follows a picture waits, as it takes its time
            event = self._told.pop(0)
            self._handle(event)
            drawn = event.kind == "preview" and not self._cancel_asked

    def _handle(self, event: Event) -> None:
        if event.kind == "progress":
            self._call(self._onProgress, event.fraction, event.message, event.seconds_left)
        elif event.kind == "preview":
            if not self._cancel_asked:
                self._call(self._onPreview, event.labelmap, event.opinions)
        elif event.kind == "result" and self._cancel_asked:  # it was already there when the user pressed Cancel
            self._fail(Cancelled())
        elif event.kind == "result":
            self._guarded(lambda: self._take_result(event.result))
        else:
            if event.details and not isinstance(event.exception, RequestError):  # the user's to mend, and told
                logging.error("MedSegDiff worker: %s", event.details)
            self._fail(event.exception)

    def _take_result(self, result) -> None:
        self._check()
        self._take(self._add_nodes(result))

    def _take(self, made) -> None:
        if isinstance(made, ResultAdding):
            self._adding = made
        else:
            self.result = made
            self._end()

    def _add_some(self) -> None:
        """Adds nodes for a moment."""
        if self._cancel_asked:
            self._stop_adding()
            self._fail(Cancelled())
            return
        began = time.monotonic()
        self._guarded(self._add_one)
        while self._adding and not self._adding.waits and time.monotonic() - began < SHARE:
            self._guarded(self._add_one)

    def _add_one(self) -> None:
        self._check()
        if self._adding.step():
            self._complete, self._adding = self._adding.added, None

    def _stop_adding(self) -> None:
        if self._adding is not None:
            self._adding.undo()
            self._adding = None

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except MedSegDiffError as error:
            self._stop_adding()
            self._fail(error)
        except Exception as error:  # whatever goes wrong with the nodes, the job must come to an end
            logging.exception("MedSegDiff: the result could not be added to the scene")
            self._stop_adding()
            self._fail(JobError(_("the result could not be added to the scene: {reason}").format(reason=error)))

    def _fail(self, error: Exception) -> None:
        self.error = error
        self._end()

    def _end(self) -> None:
        self.seconds = time.monotonic() - self._began
        self._call(self._onFinished, self)

    def _call(self, callback: Callable | None, *arguments) -> None:
        if callback is None:
            return
        try:
            callback(*arguments)
        except Exception:  # a faulty callback of a script must not stop the job
            logging.exception("MedSegDiff: a callback failed")


def _without_earlier_progress(events: list[Event]) -> list[Event]:
    """Of several tellings of progress in a row the last one."""
    pairs = zip(events, [*events[1:], None])
    return [event for event, later in pairs if later is None or not event.kind == later.kind == "progress"]
