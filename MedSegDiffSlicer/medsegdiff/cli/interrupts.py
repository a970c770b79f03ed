"""Ctrl-C, a polite kill, and a terminal that is closed."""

from __future__ import annotations

import os
import signal

INTERRUPTED = "interrupted; nothing was written"
FAILED = 1  # exit status
# Those that end the work; not SIGHUP where it is ignored: nohup asks for that.
_NAMES = ["SIGINT", "SIGTERM", "SIGHUP"] if os.name == "posix" else ["SIGINT", "SIGTERM"]
SIGNALS = tuple(
    number for number in map(signal.Signals.__getitem__, _NAMES)
    if number.name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN
)  # fmt: skip


class _Interrupt(KeyboardInterrupt):
    """Ctrl-C. Not KeyboardInterrupt itself: where that leaves an exec(), `python -m` ends with 130 in any case."""


def stop_at_once() -> None:
    """From now on they end the process with one line, as long as nothing has begun that would need tidying up."""

    def stop(_number: int, _frame: object) -> None:
        os.write(2, f"medsegdiff: {INTERRUPTED}\n".encode())
        os._exit(FAILED)  # an exception would come out of an import, or be lost there

    for number in SIGNALS:
        signal.signal(number, stop)


def listen() -> list[int]:
    """From now on they raise _Interrupt; the signals seen are noted in the list, because a library may turn the
    exception into another one. Only the first counts: a second one would stop the tidying up."""
    seen: list[int] = []

    def note(number: int, _frame: object) -> None:
        for ignored in SIGNALS:
            signal.signal(ignored, signal.SIG_IGN)
        seen.append(number)
        raise _Interrupt

    for number in SIGNALS:
        signal.signal(number, note)
    return seen
