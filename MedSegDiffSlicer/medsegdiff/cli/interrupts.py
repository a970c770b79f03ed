"""Ctrl-C and a polite kill."""

from __future__ import annotations

import os
import signal

INTERRUPTED = "interrupted; nothing was written"
FAILED = 1  # exit status
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Interrupt(KeyboardInterrupt):
    """Ctrl-C. Not KeyboardInterrupt itself: where that leaves an exec(), `python -m` ends with 130 in any case."""


def stop_at_once() -> None:
    """From now on they end the process with one line, as long as nothing has begun that would need tidying up."""

    def stop(_number: int, _frame: object) -> None:
        os.write(2, f"medsegdiff: {INTERRUPTED}\n".encode())
        os._exit(FAILED)  # an exception would come out of an import, or be lost there

    for number in _SIGNALS:
        signal.signal(number, stop)


def listen() -> list[int]:
    """From now on they raise _Interrupt; the signals seen are noted in the list, because a library may turn the
    exception into another one. Only the first counts: a second one would stop the tidying up."""
    seen: list[int] = []

    def note(number: int, _frame: object) -> None:
        for ignored in _SIGNALS:
            signal.signal(ignored, signal.SIG_IGN)
        seen.append(number)
        raise _Interrupt

    for number in _SIGNALS:
        signal.signal(number, note)
    return seen
