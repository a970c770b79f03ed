"""Keys that mean something for a while."""

from __future__ import annotations

from collections.abc import Callable

import qt
import slicer


class Shortcuts:
    """Keys of the main window, from `install` until `remove`."""

    def __init__(self, actions: dict[str, Callable[[], None]]):
        self._actions, self._installed = actions, []

    def install(self) -> None:
        """Puts the keys into effect."""
        self.remove()
        window = slicer.util.mainWindow()
        if window is None:
            return
        for key, action in self._actions.items():
            shortcut = qt.QShortcut(qt.QKeySequence(key), window)
            shortcut.connect("activated()", action)
            self._installed.append(shortcut)

    def remove(self) -> None:
        """Takes them out of effect."""
        for shortcut in self._installed:
            shortcut.disconnect("activated()")
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._installed = []
