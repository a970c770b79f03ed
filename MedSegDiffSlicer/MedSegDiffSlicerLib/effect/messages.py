"""What the effect says below its buttons."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from medsegdiff.errors import MedSegDiffError

from ..view.message_color import style_of
from ..view.sentences import sentences

LONG = 150  # characters, about three lines


class EffectMessages:
    """label: where they are shown.  more: a button that shows all of a long one.  discard(): forgets the opinions.

    isError: whether an error is shown.
    """

    def __init__(self, label, more, discard: Callable[[], None]):
        self._label, self._more, self._discard = label, more, discard
        self._text, self._isLong, self.isError = "", False, False

    def say(self, text: str, isError: bool = False) -> None:
        """Shows a text instead of the one before: of a long one that is no error the beginning, as controls are
        below."""
        self._text = sentences(text)
        self._label.styleSheet, self.isError = style_of(self._label, isError), isError
        self._isLong = not isError and len(text) > LONG
        self._more.visible = self._isLong
        self.show()

    def show(self) -> None:
        """Brings what is shown in line with the button."""
        cut = self._isLong and not self._more.checked
        beginning = self._text[:LONG]
        self._label.text = (beginning.rpartition(" ")[0] or beginning) + " ..." if cut else self._text
        self._label.toolTip = self._text if cut else ""

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
