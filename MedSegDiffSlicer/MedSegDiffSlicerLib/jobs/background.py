"""Long computations beside the GUI: in a thread, one after the other, their answers given in the GUI's. No Qt."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

PATIENCE = 0.03  # seconds that a question waits: what is answered so soon need not come later
SHARE = 0.02  # seconds for which one call of `deliver` goes through the steps of an answer


@dataclass(eq=False)
class _Request:
    """A question, and its answer or error."""

    topic: str
    work: Callable
    done: Callable
    failed: Callable | None
    answer: object = None
    error: Exception | None = None


class Background:
    """Answers questions in a thread; whoever owns an event loop calls `deliver` now and then while `busy`.

    patience: seconds that `ask` waits for its answer, and for what that asks again, where nothing else is under way.
    """

    def __init__(self, patience: float = PATIENCE):
        self._patience = patience
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._delivering = False
        self._waiting: list[_Request] = []
        self._current: _Request | None = None  # what the thread works on
        self._alive = False  # the thread
        self._answered: deque[_Request] = deque()
        self._steps: tuple[_Request, Iterator] | None = None

    @property
    def busy(self) -> bool:
        """Whether anything is still to be answered or delivered."""
        with self._lock:
            return bool(self._waiting or self._current or self._answered or self._steps)

    def ask(
        self, topic: str, work: Callable, done: Callable, failed: Callable[[Exception], None] | None = None
    ) -> None:  # fmt: skip
        """Asks for work(), done in the thread: numbers and arrays only, nothing of Slicer.

        done(answer): called by `deliver`; where it returns an iterator, that is what is left to do in short steps, some
        a call.  failed(error): instead, where work raised; None: `deliver` raises it.
        A question of the same topic that has not been begun is forgotten: this one takes its place.
        """
        request = _Request(topic, work, done, failed)
        with self._lock:
            idle = not (self._waiting or self._current or self._answered or self._steps or self._delivering)
            self._waiting = [one for one in self._waiting if one.topic != topic] + [request]
            if not self._alive:
                self._alive = True
                threading.Thread(target=self._run, daemon=True).start()
        deadline = time.monotonic() + self._patience
        while idle and self.busy and (left := deadline - time.monotonic()) > 0:
            with self._news:
                self._news.wait_for(lambda: self._answered or self._steps, left)
            self.deliver()

    def forget(self, *topics: str) -> None:
        """Drops all questions of these topics, or all: `done` and `failed` of what is under way are never called."""
        with self._lock:
            self._waiting = [one for one in self._waiting if topics and one.topic not in topics]
            self._answered = deque(one for one in self._answered if topics and one.topic not in topics)
            if self._current and (not topics or self._current.topic in topics):
                self._current = None
            steps = self._steps
            if steps and (not topics or steps[0].topic in topics):
                self._steps = None
            else:
                steps = None
        if steps:
            steps[1].close()

    def give_way(self, seconds: float) -> None:
        """Lets the thread have Python until it has an answer, for so long at most: the event loop of Slicer never does,
        as the GUI's thread holds the interpreter also where it waits for events."""
        with self._news:
            self._news.wait_for(lambda: self._answered or self._steps, seconds)

    def deliver(self) -> None:
        """Hands over what was answered, or does a few of the steps of the answer before."""
        if self._delivering:  # called out of an answer
            return
        self._delivering = True
        try:
            self._deliver(time.monotonic() + SHARE)
        finally:
            self._delivering = False

    def _deliver(self, until: float) -> None:
        while time.monotonic() < until:
            if self._steps:
                self._step(self._steps)
                continue
            with self._lock:
                if not self._answered:
                    return
                request = self._answered.popleft()
            self._hand_over(request)

    def _hand_over(self, request: _Request) -> None:
        if request.error is None:
            left = request.done(request.answer)
            if isinstance(left, Iterator):
                self._steps = request, left
        elif request.failed is not None:
            request.failed(request.error)
        else:
            raise request.error

    def _step(self, steps: tuple[_Request, Iterator]) -> None:
        request, left = steps
        try:
            next(left)
        except StopIteration:
            if self._steps is steps:
                self._steps = None
        except Exception as error:
            if self._steps is steps:
                self._steps = None
            if request.failed is None:
                raise
            request.failed(error)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._alive = False
                    return
                request = self._current = self._waiting.pop(0)
            try:
                request.answer = request.work()
            except Exception as error:  # whatever it is, who asked is told
                logging.debug("MedSegDiff: a question could not be answered", exc_info=True)
                request.error = error
            with self._lock:
                if self._current is request:  # else it was forgotten
                    self._current = None
                    self._answered.append(request)
                    self._news.notify_all()
