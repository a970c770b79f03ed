"""Which of the results in the scene is looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import qt
from slicer.i18n import tr as _


class RunBox:
    """A choice of results, seen where there is one.  box: the widget.  chosen(segmentation): the user chose it."""

    def __init__(self, chosen: Callable[[object], None]):
        self._chosen, self._runs = chosen, []
        self.box = qt.QComboBox()
        self.box.objectName = "runBox"
        self.box.placeholderText = _("Choose a result")
        self.box.toolTip = _("The results in the scene; the chosen one is shown, the others are hidden.")
        self.box.connect("activated(int)", self._on_activated)

    def list(self, runs: Sequence, shown) -> int:
        """runs: segmentations.  shown: the one whose result is looked at, None for none. Returns how many there are."""
        self._runs = list(runs)
        names = _told_apart([node.GetName() for node in runs])
        if [self.box.itemText(index) for index in range(self.box.count)] != names:
            self.box.clear()
            self.box.addItems(names)
        self.box.currentIndex = self._runs.index(shown) if shown in self._runs else -1
        self.box.visible = bool(self._runs)  # also where there is one: it may be of another scan than the views show
        return len(names)

    def _on_activated(self, index: int) -> None:
        self._chosen(self._runs[index])


def _told_apart(names: list[str]) -> list[str]:
    """With a number behind those that were there before."""
    before = [names[:place].count(name) for place, name in enumerate(names)]
    return [f"{name} ({count + 1})" if count else name for name, count in zip(names, before)]
