"""Opinions drawn on several devices at once, each by a thread of its own, given back in order."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import islice
from threading import Event, Semaphore, Thread

import numpy as np
import torch

from ..errors import Cancelled
from .members import Group, Guide, Opinions, Plan
from .model import Model
from .progress import Tracker
from .tiling import Tile

GROUPS = 2  # of a device that may be in memory: one that is taken, one that is drawn
LISTENING = 0.1  # seconds between looks whether to cancel while nothing is reported


class SharedOpinions:
    """The opinions of a plan with the groups dealt out to devices in turn; it has the face of Opinions.

    make: makes the Opinions of one device, with its own copy of the model, given the device's number, its groups and a
      tracker.
    groups: all of them, as of Plan.groups.
    tracker: it is asked and told in the caller's thread. `guide`s are called in the devices' threads.
    """

    def __init__(
        self,
        make: Callable[[int, list[Group], Tracker], Opinions],
        groups: list[Group],
        devices: int,
        tracker: Tracker,
    ):
        self._groups, self._tracker = groups, tracker
        self._stop, self._reports = Event(), queue.SimpleQueue()
        self._workers = [make(n, groups[n::devices], _Relay(self._stop, self._reports)) for n in range(devices)]
        self._room = [Semaphore(GROUPS) for _ in self._workers]

    @property
    def devices(self) -> tuple[torch.device, ...]:
        return tuple(w.model.device for w in self._workers)

    @property
    def network_evaluations(self) -> int:
        return sum(w.network_evaluations for w in self._workers)

    @property
    def network_seconds(self) -> float:
        """Of the device that was longest in its network."""
        return max(w.network_seconds for w in self._workers)

    @property
    def denoising_seconds(self) -> float:
        return max(w.denoising_seconds for w in self._workers)

    @property
    def sampling_seconds(self) -> float:
        """Of the device that sampled longest."""
        return max(w.sampling_seconds for w in self._workers)

    def __call__(self, array: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        threads = [Thread(target=self._work, args=(n, array), daemon=True) for n in range(len(self._workers))]
        for thread in threads:
            thread.start()
        try:
            drawn: list[deque] = [deque() for _ in self._workers]
            for turn in range(len(self._groups)):
                who = turn % len(self._workers)
                while not drawn[who]:
                    self._listen(drawn)
                yield from drawn[who].popleft()
                self._room[who].release()
        finally:
            self._stop.set()
            for room in self._room:
                room.release()
            for thread in threads:
                thread.join()

    def _listen(self, drawn: list[deque]) -> None:
        """Takes the next report: progress is passed on, a group's opinions are kept, an error is raised."""
        try:
            who, what = self._reports.get(timeout=LISTENING)
        except queue.Empty:
            self._tracker.check()
            return
        if isinstance(what, Exception):
            raise what
        if isinstance(what, str):
            self._tracker.advance(what)
        else:
            drawn[who].append(what)

    def _work(self, who: int, array: np.ndarray) -> None:
        try:
            with _current(self._workers[who].model.device):
                opinions = self._workers[who](array)
                for _, numbers in self._groups[who :: len(self._workers)]:
                    self._room[who].acquire()
                    if self._stop.is_set():
                        return
                    self._reports.put((who, list(islice(opinions, len(numbers)))))
        except Exception as error:  # whatever it is, the caller's thread raises it
            self._reports.put((who, error))


def opinions_of(
    model: Model,
    plan: Plan,
    tiles: list[Tile],
    tracker: Tracker,
    guess: Model | None = None,
    guide: Guide | None = None,
) -> Opinions | SharedOpinions:
    """The opinions of a model, drawn on all its devices; for the arguments see Opinions."""
    groups = list(plan.groups())
    models = (model, *model.copies)[: len(groups)]
    if len(models) == 1:
        return Opinions(model, plan, tiles, tracker, guess, guide)
    guesses = [guess, *(None if guess is None else guess.on(copy.device) for copy in models[1:])]

    def make(n: int, own: list[Group], relay: Tracker) -> Opinions:
        return Opinions(models[n], plan, tiles, relay, guesses[n], guide, own)

    return SharedOpinions(make, groups, len(models), tracker)


class _Relay(Tracker):
    """Stands for the tracker in a device's thread."""

    def __init__(self, stop: Event, reports: queue.SimpleQueue):
        self._stop, self._reports = stop, reports

    def check(self) -> None:
        if self._stop.is_set():
            raise Cancelled

    def advance(self, message: str) -> None:
        self.check()
        self._reports.put((None, message))


def _current(device: torch.device):
    """Makes a GPU the one that CUDA calls of this thread mean."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
