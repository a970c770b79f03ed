"""A worker process, its messages and its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

KEPT_LINES = 200  # of the worker's stderr, for the error report


class WorkerProcess:
    """A running worker: its lines reach `on_message`, its end `on_death(process, status, last lines of stderr)`."""

    def __init__(self, command: list[str], environment: dict | None, on_message: Callable, on_death: Callable):
        own_group: dict[str, Any] = {"start_new_session": True}
        if os.name == "nt":
            own_group = {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS}
        self._popen = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **own_group
        )
        self.pid = self._popen.pid
        self._on_message, self._on_death = on_message, on_death
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._errors = threading.Thread(target=self._read_errors, daemon=True)
        self._errors.start()
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, message: dict) -> None:
        """Writes one line; a worker that is already dead is reported by on_death, not here."""
        with suppress(OSError, ValueError):
            self._popen.stdin.write(json.dumps(message).encode("ascii") + b"\n")
            self._popen.stdin.flush()

    def kill(self) -> None:
        """Ends the process at once, with the child that does the work where the executable is a launcher."""
        if os.name == "nt":
            self._popen.kill()
        else:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        with suppress(OSError):
            self._popen.stdin.close()
        self._popen.wait()

    def _read(self) -> None:
        for line in self._popen.stdout:
            message = _parse(line)
            if message is not None:
                self._on_message(self, message)
        status = self._popen.wait()
        self._errors.join(timeout=1)
        self._on_death(self, status, "".join(self.last_lines))
        with suppress(OSError):
            self._popen.stdin.close()
        self._popen.stdout.close()

    def _read_errors(self) -> None:
        with self._popen.stderr as lines:
            for line in lines:
                self.last_lines.append(line.decode("utf-8", "replace"))


def _parse(line: bytes) -> dict | None:
    """A line as message; None for anything else: printed by a launcher before the worker took its streams, or cut off
    by its death."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) and {"type", "job"} <= message.keys() else None
