"""What the colours of the effect's map mean, below the choice of its measure."""

from __future__ import annotations

import qt
from slicer.i18n import tr as _

from medsegdiff.uncertainty.map_range import Span

from ..nodes.overlay import map_colors
from ..view.legend import UNITS

_SIZE = 96, 10  # pixels of the colours


class MapScale(qt.QWidget):
    """The colours of a map from its lowest to its highest value, which stand beside them."""

    def __init__(self):
        qt.QWidget.__init__(self)
        self._shown: tuple[str, Span] | None = None
        self._low, colors, self._high = qt.QLabel(), qt.QLabel(), qt.QLabel()
        colors.setPixmap(_colors())
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for label in (self._low, colors, self._high):
            layout.addWidget(label)
        layout.addStretch(1)
        self.visible = False

    @property
    def text(self) -> str:
        """Its lowest and its highest value, as they are told."""
        return f"{self._low.text} - {self._high.text}" if self._shown else ""

    def show_span(self, shown: tuple[str, Span] | None) -> None:
        """shown: a measure, and the values that the colours of its map span; None for no map."""
        if shown == self._shown:
            return
        self._shown = shown
        self.visible = shown is not None
        if shown is not None:
            measure, span = shown
            self._low.text = f"{span.low:.2g}"
            high = _("{value} or more") if span.open else "{value}"
            self._high.text = " ".join([high.format(value=f"{span.high:.2g}"), UNITS.get(measure, _("nats"))])


def _colors() -> qt.QPixmap:
    """As over a black scan."""
    width, height = _SIZE
    pixmap, table = qt.QPixmap(width, height), map_colors()
    painter = qt.QPainter(pixmap)
    for column in range(width):
        red, green, blue, opacity = table[column * len(table) // width]
        painter.fillRect(column, 0, 1, height, qt.QColor.fromRgbF(red * opacity, green * opacity, blue * opacity))
    painter.end()
    return pixmap
