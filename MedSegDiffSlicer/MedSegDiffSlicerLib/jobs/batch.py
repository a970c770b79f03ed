"""Many cases one after the other, without Qt: each is segmented by a job of its own, and one that fails costs
itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from medsegdiff.errors import Cancelled, MedSegDiffError

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"


@dataclass
class Case:
    """One case of a batch.

    start(onProgress, onFinished): begins it and returns a SegmentationJob; what it raises is the case's error.
    state: one of the words above.  fraction: 0 - 1.  result: what its job left.  error: what went wrong.
    """

    name: str
    start: Callable
    state: str = WAITING
    fraction: float = 0.0
    result: object = None
    error: Exception | None = None
    seconds: float | None = None


class Batch:
    """Runs the cases in their order. Whoever owns an event loop pumps the jobs; the next begins when one ends.

    onChanged(batch): a case began, went on or ended.  onFinished(batch): when nothing is left to do, once more after a
    resume.
    Results of finished cases stay when the batch is cancelled.
    table, segmentations, shown: the nodes that belong to all cases together, see batch_runs; None where there are none.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        onChanged: Callable[[Batch], None] | None = None,
        onFinished: Callable[[Batch], None] | None = None,
    ):
        self.cases = list(cases)
        self.process_events: Callable[[], None] = lambda: time.sleep(0.01)
        self._onChanged, self._onFinished = onChanged, onFinished
        self.table = self.segmentations = self.shown = None
        self._job = None
        self._cancel_asked = False
        self._told_finished = False

    @property
    def fraction(self) -> float:
        """How much of all is done, 0 - 1."""
        return sum(1.0 if self._is_over(c) else c.fraction for c in self.cases) / max(1, len(self.cases))

    @property
    def finished(self) -> bool:
        """Whether no case is waiting or running."""
        return all(map(self._is_over, self.cases))

    def begin(self) -> Batch:
        """Starts the first case."""
        self._begin_next()
        return self

    def cancel(self) -> None:
        """Ends the case under way within about a second, and begins no other."""
        self._cancel_asked = True
        if self._job is not None:
            self._job.cancel()

    @property
    def resumable(self) -> bool:
        """Whether it has ended, and cases were cancelled or failed."""
        return self.finished and any(case.state in (CANCELLED, FAILED) for case in self.cases)

    def resume(self, cases: Sequence[Case] | None = None) -> Batch:
        """Begins the cases that were cancelled or failed once more, in the state that the scene is in by now; nothing
        while the batch is under way.  cases: those of them that are wanted; None for all."""
        if self.resumable:
            for case in self.cases if cases is None else cases:
                if case.state in (CANCELLED, FAILED):
                    case.state, case.fraction, case.error = WAITING, 0.0, None
            self._cancel_asked = self._told_finished = False
            self._begin_next()
        return self

    def wait(self) -> list:
        """Waits for the end while the application stays alive; returns the results, None for a case without one."""
        while not self.finished:
            if self._job is not None:
                self._job.pump()
            self.process_events()
        return [case.result for case in self.cases]

    def _begin_next(self) -> None:
        if any(case.state == RUNNING for case in self.cases):
            return  # a callback has begun the next one already
        while (case := next((c for c in self.cases if c.state == WAITING), None)) is not None:
            if self._cancel_asked:
                case.state, case.error = CANCELLED, Cancelled()
                continue
            case.state = RUNNING
            self._tell(self._onChanged)
            try:
                self._job = self._start(case)
                if self._cancel_asked:  # by the callback
                    self._job.cancel()
                return
            except Exception as error:  # whatever it is, it costs this case only
                if not isinstance(error, MedSegDiffError):
                    logging.exception("MedSegDiff: a case of a batch could not be started")
                case.state, case.error = FAILED, error
                self._tell(self._onChanged)
        if not self._told_finished and self.finished:
            self._told_finished = True
            self._tell(self._onFinished)

    def _start(self, case: Case):
        return case.start(lambda *told: self._progress(case, *told), lambda job: self._end(case, job))

    def _progress(self, case: Case, fraction: float, _message: str, _seconds_left: float | None) -> None:
        case.fraction = fraction
        self._tell(self._onChanged)

    def _end(self, case: Case, job) -> None:
        self._job = None
        case.seconds, case.result, case.error = job.seconds, job.result, job.error
        case.state = DONE if job.error is None else CANCELLED if job.cancelled else FAILED
        self._cancel_asked |= job.cancelled  # by whomever: the logic is closed
        self._tell(self._onChanged)
        self._begin_next()

    def _tell(self, callback: Callable | None) -> None:
        if callback is None:
            return
        try:
            callback(self)
        except Exception:  # a faulty callback of a script must not stop the batch
            logging.exception("MedSegDiff: a callback failed")

    @staticmethod
    def _is_over(case: Case) -> bool:
        return case.state in (DONE, FAILED, CANCELLED)
