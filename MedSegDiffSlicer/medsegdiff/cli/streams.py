"""stdout and stderr as the commands need them, whatever they lead to."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

_UNREAD = (errno.EPIPE, errno.EINVAL)  # of a pipe whose reader went away; the latter on Windows


@contextmanager
def usable_streams() -> Iterator[list[OSError]]:
    """Within, printing costs no result: streams that are closed, whose reader went away (`| head`), or that have no
    room swallow what they get, and what an encoding lacks is written as an escape.

    Yields a list of what was lost although somebody reads it, filled when all is printed.
    """
    before, lost = (sys.stdout, sys.stderr), []
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # for good: nothing else may get its number
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, _Patient(stream, lost))
    ours = sys.stdout, sys.stderr
    try:
        yield lost
    finally:
        for stream in ours:
            stream.flush()
        sys.stdout, sys.stderr = (old or new for old, new in zip(before, ours))


class _Patient:
    """A stream that swallows what is written once that fails.  lost: gets the error, unless nobody reads any more."""

    def __init__(self, stream: IO[str], lost: list[OSError]) -> None:
        self._stream, self._lost = stream, lost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """See IO.write."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._swallow(error)
            return len(text)

    def flush(self) -> None:
        """See IO.flush."""
        try:
            self._stream.flush()
        except OSError as error:
            self._swallow(error)

    def _swallow(self, error: OSError) -> None:
        if error.errno not in _UNREAD:
            self._lost.append(error)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
