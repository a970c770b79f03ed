"""The kinds of widgets that options are made of."""

from __future__ import annotations

import ctk
import qt
import slicer
from slicer.i18n import tr as _


class Silent:
    """A widget that tells nobody what is done to it meanwhile."""

    def __init__(self, widget):
        self._widget = widget

    def __enter__(self) -> None:
        self._before = self._widget.blockSignals(True)

    def __exit__(self, *_exception) -> None:
        self._widget.blockSignals(self._before)


def row(*widgets):
    """The widgets side by side."""
    layout = qt.QHBoxLayout()
    for widget in widgets:
        layout.addWidget(widget)
    return layout


def combo_box(data: list[str], titles: list[str], toolTip: str):
    """A choice of titles, each with its data."""
    combo = qt.QComboBox()
    for title, name in zip(titles, data):
        combo.addItem(title, name)
    combo.toolTip = toolTip
    return combo


def select(combo, name: str) -> None:
    """Selects the entry with these data; the one that is selected stays where there is none."""
    index = combo.findData(name)
    if index >= 0 and index != combo.currentIndex:
        with Silent(combo):
            combo.currentIndex = index


def spin_box(low: int, high: int, toolTip: str):
    """A whole number."""
    spin = qt.QSpinBox()
    spin.setRange(low, high)
    spin.toolTip = toolTip
    return spin


def slider(low: float, high: float, step: float, toolTip: str):
    """A number, as a slider with a field."""
    widget = ctk.ctkSliderWidget()
    widget.minimum, widget.maximum, widget.singleStep = low, high, step
    widget.decimals = 0 if step >= 1 else 2
    widget.toolTip = toolTip
    return widget


def button(text: str, toolTip: str):
    """A push button."""
    widget = qt.QPushButton(text)
    widget.toolTip = toolTip
    return widget


def box_selector():
    """A choice of ROI nodes, with a new one."""
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLMarkupsROINode"]
    selector.addEnabled, selector.noneEnabled, selector.renameEnabled = True, True, True
    selector.noneDisplay = _("(create or choose a box)")
    selector.setMRMLScene(slicer.mrmlScene)
    return selector
