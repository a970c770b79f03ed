"""stdout and stderr as the commands need them, whatever they lead to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any


@contextmanager
def usable_streams() -> Iterator[None]:
    """Within, printing costs no result: streams that are closed or whose reader went away (`| head`) swallow what they
    get, and what an encoding lacks is written as an escape."""
    before = sys.stdout, sys.stderr
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # for good: nothing else may get its number
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.stdout = _Unread(sys.stdout)
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = (old or new for old, new in zip(before, (sys.stdout, sys.stderr)))


class _Unread:
    """A stream that swallows what is written once nobody reads it any more."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """See IO.write."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._swallow()
            return len(text)

    def flush(self) -> None:
        """See IO.flush."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._swallow()

    def _swallow(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
