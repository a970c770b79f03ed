"""What the effect says below its buttons."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from medsegdiff.errors import MedSegDiffError

_ERROR = "color: #c0392b"


class EffectMessages:
    """label: where they are shown.  discard(): forgets the opinions."""

    def __init__(self, label, discard: Callable[[], None]):
        self._label, self._discard = label, discard

    def say(self, text: str, isError: bool = False) -> None:
        """Shows a text instead of the one before."""
        self._label.text = text[:1].upper() + text[1:]
        self._label.styleSheet = _ERROR if isError else ""

    def refuse(self, text: object) -> None:
        """Shows why something cannot be done: an error or a text."""
        self.say(str(text), isError=True)

    def attempt(self, action: Callable[[], None]) -> None:
        """Does something, and shows what goes wrong."""
        with self.errors():
            action()

    @contextmanager
    def errors(self, discard: bool = False) -> Iterator[None]:
        """Shows what goes wrong in the block.  discard: also forgets the opinions then."""
        try:
            yield
        except MedSegDiffError as error:
            if discard:
                self._discard()
            self.refuse(error)
