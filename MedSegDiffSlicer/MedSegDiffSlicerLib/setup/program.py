"""A program that runs beside Slicer, on every Slicer that is supported; ended with all that it started."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress


class Program:
    """Starts a program; somebody with an event loop calls `pump` now and then.

    on_line(text): for each line that it prints.  on_done(exit status): once, unless it was killed.
    Raises OSError where it cannot be started.
    """

    def __init__(
        self, command: list[str], on_line: Callable[[str], None], on_done: Callable[[int], None],
        environment: dict[str, str] | None = None,
    ):  # fmt: skip
        self._on_line, self._on_done = on_line, on_done
        own_group = {"creationflags": subprocess.CREATE_NO_WINDOW} if os.name == "nt" else {"start_new_session": True}
        self._popen = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, encoding="utf-8", errors="replace", **own_group,
        )  # fmt: skip
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.ended = False
        threading.Thread(target=self._read, daemon=True).start()

    def pump(self) -> None:
        """Tells what has happened since the last call."""
        while not self.ended and not self._lines.empty():
            line = self._lines.get()
            if line is None:
                self.ended = True
                self._on_done(self._popen.wait())
            else:
                self._on_line(line.rstrip())

    def kill(self) -> None:
        """Ends the program with all that it started; nothing more is told."""
        self.ended = True
        if os.name == "nt":
            subprocess.run(["taskkill", "/F", "/T", "/PID", str(self._popen.pid)], capture_output=True, check=False)
        else:
            with suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()

    def _read(self) -> None:
        with self._popen.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put(None)
