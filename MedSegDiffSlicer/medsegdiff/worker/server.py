"""The worker's side: reads jobs as JSON lines, runs them one after the other, answers as JSON lines.

Lines in:   {"type": "segment", "job": 1, "folder": ..., "request": {...}, "affine": [[...]], "channel_names": [...],
             "placed": true, "notes": [...], "missing": [...], "modalities": [...], as the Image has them,
             "previews": whether the label map so far is wanted now and then}
            {"type": "cancel", "job": 1}
Lines out:  {"type": "progress", "job": 1, "fraction": 0.5, "message": ..., "seconds_left": 3.0}
            {"type": "preview", "job": 1, "array": name, "opinions": 2}
            {"type": "result", "job": 1, "arrays": [names], "meta": {...}}
            {"type": "error", "job": 1, "message": ..., "details": ..., "unusable": whether the request was at fault}
            {"type": "cancelled", "job": 1}
The image comes as "image.npy" in the job's folder and the result's arrays are written there (see arrays.py).
The end of the input means that the parent is gone: the worker removes what was left for it and ends at once.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import Cancelled, JobError, MedSegDiffError, RequestError
from ..image.image import Image
from ..inference.request import SegmentRequest
from .arrays import load_array, remove_folder, save_array
from .previews import Previews

# run(request, image, progress, cancelled, hear) -> SegmentResult; hear: asking.Hear, or None
Run = Callable[[SegmentRequest, Image, Callable[[Any], None], Callable[[], bool], Any], Any]


class Server:
    """Runs jobs with `run` until the input ends."""

    def __init__(self, run: Run):
        self._run = run
        self._lock = threading.Lock()
        self._waiting: deque[dict] = deque()
        self._arrived = threading.Semaphore(0)
        self._current: dict | None = None
        self._cancelled = threading.Event()

    def serve(self) -> None:
        """Takes the standard streams for the protocol and works; does not return."""
        self._input, self._output = _take_standard_streams()
        threading.Thread(target=self._read, daemon=True).start()
        while True:
            self._arrived.acquire()
            with self._lock:
                if not self._waiting:
                    continue
                self._current = self._waiting.popleft()
                self._cancelled.clear()
            answer = self._work(self._current)
            with self._lock:
                job, self._current = self._current["job"], None
            self._send({"job": job, **answer})

    def _read(self) -> None:
        for line in self._input:
            message = json.loads(line)
            if message["type"] == "segment":
                with self._lock:
                    self._waiting.append(message)
                self._arrived.release()
            elif message["type"] == "cancel":
                self._cancel(message["job"])
        with self._lock:
            abandoned = [*self._waiting, *([self._current] if self._current else [])]
        for message in abandoned:
            remove_folder(Path(message["folder"]))
        os._exit(0)

    def _cancel(self, job: int) -> None:
        with self._lock:
            if self._current is not None and self._current["job"] == job:
                self._cancelled.set()
                return
            waiting = next((m for m in self._waiting if m["job"] == job), None)
            if waiting is None:
                return
            self._waiting.remove(waiting)
        self._send({"type": "cancelled", "job": job})

    def _work(self, message: dict) -> dict:
        def progress(report: Any) -> None:
            self._send(
                {
                    "type": "progress", "job": message["job"], "fraction": float(report.fraction),
                    "message": report.message, "seconds_left": report.seconds_left,
                }
            )  # fmt: skip

        folder = Path(message["folder"])
        try:
            request = SegmentRequest.from_dict(message["request"])
            affine = np.array(message["affine"], dtype=np.float64)
            told = {name: tuple(message[name]) for name in ("channel_names", "notes", "missing", "modalities")}
            image = Image(load_array(folder, "image"), affine, placed=message["placed"], **told)
            hear = self._previews(message["job"], folder, request.threshold) if message.get("previews") else None
            arrays, meta = self._run(request, image, progress, self._cancelled.is_set, hear).to_arrays()
            for name, array in arrays.items():
                save_array(folder, name, array)
            return {"type": "result", "arrays": list(arrays), "meta": meta}
        except Cancelled:
            return {"type": "cancelled"}
        except MedSegDiffError as error:
            unusable = isinstance(error, RequestError)
            return {"type": "error", "message": str(error), "details": traceback.format_exc(), "unusable": unusable}
        except Exception as error:  # the worker outlives any failed job; the caller is told all
            text = f"{type(error).__name__}: {error}"
            return {"type": "error", "message": f"the segmentation failed ({text})", "details": traceback.format_exc()}

    def _previews(self, job: int, folder: Path, threshold: float | None) -> Previews:
        names = (f"preview{number}" for number in count())

        def show(labelmap: np.ndarray, opinions: int) -> None:
            with suppress(JobError):  # no room: the result may still fit, and is what counts
                name = next(names)
                save_array(folder, name, labelmap)
                self._send({"type": "preview", "job": job, "array": name, "opinions": opinions})

        return Previews(show, threshold)

    def _send(self, message: dict) -> None:
        with self._lock:
            try:
                self._output.write(json.dumps(message).encode("ascii") + b"\n")
                self._output.flush()
            except BrokenPipeError:
                pass  # the parent is gone; _read ends the process


def _take_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Private copies of stdin and stdout; whatever else this process prints goes to stderr."""
    source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdin, sys.stdout = open(os.devnull, encoding="utf-8"), sys.stderr
    return source, target
