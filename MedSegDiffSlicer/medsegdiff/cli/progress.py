"""Progress on stderr, with the time left."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..inference.progress import Progress


class ProgressBar:
    """A context that shows a bar; nothing where `quiet`, or stderr is no terminal.

    prefix: stands before each message.
    """

    def __init__(self, quiet: bool, prefix: str = "") -> None:
        self._quiet, self._shown = quiet, not quiet and sys.stderr.isatty()
        self._prefix = f"{prefix}: " if prefix else ""
        self._bar = None

    def __enter__(self) -> ProgressBar:
        if self._shown:
            from tqdm import tqdm

            layout = "{percentage:3.0f}% |{bar:24}| {desc}"
            # nrows: tqdm shows nothing on a terminal that does not know its size.
            self._bar = tqdm(
                total=1.0, bar_format=layout, file=sys.stderr, leave=False, desc=self._prefix, nrows=20
            )  # fmt: skip
        return self

    def __exit__(self, *_error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def say(self, line: str) -> None:
        """Prints a line on stderr, above the bar; nothing where `quiet`."""
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        elif not self._quiet:
            print(line, file=sys.stderr, flush=True)

    def update(self, progress: Progress) -> None:
        """Takes the engine's progress."""
        self.show(progress.fraction, progress.message, progress.seconds_left)

    def show(self, fraction: float, message: str, seconds_left: float | None = None) -> None:
        """fraction: share done, 0 - 1.  message: what is being done."""
        if self._bar is None:
            return
        left = "" if seconds_left is None else f"{duration(seconds_left)} left, "
        self._bar.set_description_str(f"{left}{self._prefix}{message}", refresh=False)
        self._bar.n = min(fraction, 1.0)
        self._bar.refresh()


class ShareBar(ProgressBar):
    """A bar for long work that tells only its share done; the time left is reckoned from the pace since the start.

    Where stderr is no terminal, a line a minute is printed instead, the first after ten seconds.
    """

    def __init__(self, quiet: bool) -> None:
        super().__init__(quiet)
        self._lines = not quiet and not self._shown
        self._first: tuple[float, float] | None = None
        self._next = time.monotonic() + 10

    def note(self, fraction: float, message: str) -> None:
        """fraction: share done, 0 - 1 (work that goes on from a checkpoint does not start at 0)."""
        now = time.monotonic()
        if self._first is None and fraction > 0:
            self._first = (now, fraction)
        began, share = self._first or (now, fraction)
        left = (now - began) * (1 - fraction) / (fraction - share) if fraction > share else None
        self.show(fraction, message, left)
        if self._lines and now >= self._next:
            self._next = now + 60
            rest = "" if left is None else f"{duration(left)} left, "
            print(f"{fraction:4.0%}  {rest}{message}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A time for people: 7 s, 3 min 20 s, 2 h 5 min."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
