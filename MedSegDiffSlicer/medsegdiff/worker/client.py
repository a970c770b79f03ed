"""The caller's side: a worker process that starts when needed, keeps its models loaded, and may die without harm."""

from __future__ import annotations

import atexit
import itertools
import queue
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import Cancelled, JobError, MedSegDiffError, RequestError
from ..image.image import Image
from ..inference.request import SegmentRequest
from ..inference.result import SegmentResult
from .arrays import create_folder, load_array, remove_folder, save_array, take_array
from .process import WorkerProcess
from .result_size import result_bytes

GRACE = 0.7  # seconds that a worker has to answer a cancellation before it is killed
PACKAGE_FOLDER = Path(__file__).resolve().parents[2]
# Not through PYTHONPATH: Slicer's Python launcher sets that one itself. Nothing is taken from the folder that it
# happens to be started in, which -c would look into first.
START = (
    "import sys; sys.path[:] = [{folder!r}, *filter(None, sys.path)]; "
    "import runpy; runpy.run_module({module!r}, run_name='__main__')"
)


@dataclass(frozen=True)
class Event:
    """Something that happened to a job.

    kind: "progress" (fraction 0 - 1, message, seconds_left), "preview" (labelmap (I, J, K) uint8 of the mean of the
    first `opinions`), or one of the four ends: "result" (result), "error" (message, details; unusable: the request was
    at fault), "died" (message, details) and "cancelled".
    """

    kind: str
    fraction: float = 0.0
    message: str = ""
    seconds_left: float | None = None
    result: SegmentResult | None = None
    details: str = ""
    unusable: bool = False
    labelmap: np.ndarray | None = None
    opinions: int = 0

    @property
    def exception(self) -> MedSegDiffError:
        """What an end other than "result" is to be raised as."""
        if self.kind == "cancelled":
            return Cancelled()
        return (RequestError if self.unusable else JobError)(self.message)

    @property
    def is_end(self) -> bool:
        """Whether nothing follows."""
        return self.kind not in ("progress", "preview")


class Job:
    """One segmentation under way; made by WorkerClient.submit."""

    def __init__(self, client: WorkerClient, number: int, message: dict):
        self.number = number
        self._client = client
        self._message = message
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._ended = threading.Event()

    @property
    def finished(self) -> bool:
        """Whether its last event has come."""
        return self._ended.is_set()

    def poll(self) -> list[Event]:
        """The events since the last call, without waiting."""
        events = []
        while not self._events.empty():
            events.append(self._events.get())
        return events

    def cancel(self) -> None:
        """Ends the job within about a second; its last event then is "cancelled" unless it had just ended otherwise."""
        self._client._cancel(self)

    def wait(self, timeout: float | None = None) -> SegmentResult:
        """Blocks until the end. Raises JobError where it failed, RequestError where the engine found the request
        unusable, Cancelled, or TimeoutError after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                event = self._events.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"no result within {timeout} seconds") from None
            if event.kind == "result":
                return event.result
            if event.is_end:
                raise event.exception

    def _put(self, event: Event) -> None:
        if self._ended.is_set():
            return
        if event.is_end:
            self._ended.set()
        self._events.put(event)


class WorkerClient:
    """Sends jobs to one worker process, which is started when needed and started anew after it died.

    python_executable: the Python that has torch.  environment: its variables (default: this process's own).
    module: what it runs.
    """

    def __init__(self, python_executable: str, environment: dict[str, str] | None = None, module="medsegdiff.worker"):
        self._command = [python_executable, "-c", START.format(folder=str(PACKAGE_FOLDER), module=module)]
        self._environment = environment
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._jobs: dict[int, Job] = {}
        self._process: WorkerProcess | None = None
        self._latest: WorkerProcess | None = None
        atexit.register(self.close)

    @property
    def pid(self) -> int | None:
        """The worker's process id, None where none runs."""
        with self._lock:
            return self._process.pid if self._process else None

    @property
    def last_lines(self) -> list[str]:
        """What the worker, or the one before that has ended, printed last; for the log."""
        return list(self._latest.last_lines) if self._latest else []

    def submit(self, request: SegmentRequest, image: Image, previews: bool = False) -> Job:
        """Starts (or queues) a segmentation. Raises JobError where the worker cannot be started or there is no room.

        previews: whether "preview" events are wanted, about three a second.
        """
        try:
            folder = create_folder(image.array.nbytes + result_bytes(request, image))
            try:
                save_array(folder, "image", image.array)
                return self._submit(request, image, folder, previews)
            except BaseException:
                remove_folder(folder)
                raise
        except OSError as error:
            raise JobError(f"the segmentation cannot be started: {error}") from error

    def _submit(self, request: SegmentRequest, image: Image, folder: Path, previews: bool) -> Job:
        with self._lock:
            number = next(self._numbers)
            message = {
                "type": "segment", "job": number, "folder": str(folder), "request": request.to_dict(),
                "affine": image.affine.tolist(), "channel_names": list(image.channel_names),
                "placed": image.placed, "notes": list(image.notes), "missing": list(image.missing),
                "modalities": list(image.modalities), "previews": previews,
            }  # fmt: skip
            job = Job(self, number, message)
            self._ensure_process().send(message)
            self._jobs[number] = job
            return job

    def close(self) -> None:
        """Ends the worker process; jobs under way end as cancelled."""
        atexit.unregister(self.close)
        with self._lock:
            process, self._process = self._process, None
            if process:
                process.kill()
            for job in list(self._jobs.values()):
                self._end(job, Event("cancelled"))

    def _ensure_process(self) -> WorkerProcess:
        if self._process is None:
            told = (self._on_message, self._on_death)
            self._process = self._latest = WorkerProcess(self._command, self._environment, *told)
        return self._process

    def _cancel(self, job: Job) -> None:
        with self._lock:
            if job.number not in self._jobs or self._process is None:
                return
            self._process.send({"type": "cancel", "job": job.number})
        timer = threading.Timer(GRACE, self._kill_if_running, [job])
        timer.daemon = True
        timer.start()

    def _kill_if_running(self, job: Job) -> None:
        """The worker did not answer the cancellation: kill it, and give the other jobs to a new one."""
        with self._lock:
            if job.number not in self._jobs:
                return
            self._end(job, Event("cancelled"))
            process, self._process = self._process, None
            process.kill()
            for other in self._jobs.values():
                self._ensure_process().send(other._message)

    def _on_message(self, process: WorkerProcess, message: dict) -> None:
        with self._lock:
            job = self._jobs.get(message["job"])
            if process is not self._process or job is None:
                return
        try:
            event = _event(message, Path(job._message["folder"]))
        except Exception as error:  # whatever the worker said, the job must come to an end
            text = f"{type(error).__name__}: {error}"
            event = Event("error", message=f"the worker's answer could not be read ({text}); run it again")
        if event.is_end:
            self._end(job, event)
        else:
            job._put(event)

    def _on_death(self, process: WorkerProcess, status: int, last_lines: str) -> None:
        with self._lock:
            if process is not self._process:
                return
            self._process = None
            reason = f"signal {-status}" if status < 0 else f"exit status {status}"
            text = f"the segmentation process ended unexpectedly ({reason}); perhaps memory ran out. Run it again"
            for job in list(self._jobs.values()):
                self._end(job, Event("died", message=text, details=last_lines))

    def _end(self, job: Job, event: Event) -> None:
        with self._lock:
            if self._jobs.pop(job.number, None) is not None:
                remove_folder(Path(job._message["folder"]))
                job._put(event)


def _event(message: dict, folder: Path) -> Event:
    """What a worker's message means. folder: where it has put the arrays of the result."""
    kind = message["type"]
    if kind == "progress":
        return Event(kind, message["fraction"], message["message"], message["seconds_left"])
    if kind == "preview":
        return Event(kind, labelmap=take_array(folder, message["array"]), opinions=message["opinions"])
    if kind == "result":
        arrays = {name: load_array(folder, name) for name in message["arrays"]}
        return Event(kind, fraction=1.0, result=SegmentResult.from_arrays(arrays, message["meta"]))
    told = {key: message[key] for key in ("message", "details", "unusable") if key in message}
    return Event(kind, **told)
