"""Keys that mean something for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import qt
import slicer


class Shortcuts:
    """Keys of the main window, from `install` until `remove`.

    A key that several have installed is that of the last one, until it is removed: Qt would call none of them.
    """

    _all: ClassVar[list[Shortcuts]] = []  # that are installed, the last one at the end

    def __init__(self, actions: dict[str, Callable[[], None]]):
        self._actions, self._installed = actions, {}

    def install(self) -> None:
        """Puts the keys into effect."""
        self.remove()
        window = slicer.util.mainWindow()
        if window is None:
            return
        for key, action in self._actions.items():
            shortcut = self._installed[key] = qt.QShortcut(qt.QKeySequence(key), window)
            shortcut.connect("activated()", action)
        self._all.append(self)
        self._share()

    def remove(self) -> None:
        """Takes them out of effect."""
        for shortcut in self._installed.values():
            shortcut.disconnect("activated()")
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._installed = {}
        if self in self._all:
            self._all.remove(self)
            self._share()

    @classmethod
    def _share(cls) -> None:
        owners = {key: each for each in cls._all for key in each._installed}
        for each in cls._all:
            for key, shortcut in each._installed.items():
                shortcut.setEnabled(owners[key] is each)
