"""The table of the section 'Result': each structure's volume with its interval, and the Dice to be expected."""

from __future__ import annotations

import math

import qt
from slicer.i18n import tr as _

from medsegdiff.image.volume_text import in_ml

from ..nodes.result_nodes import WITHHELD
from ..nodes.segment_numbers import has_voxels, is_as_left, volume_of
from ..nodes.segments import segment_ids

HIGHEST = 300  # pixels of the table, which scrolls then
COLOR = 12  # pixels of a segment's colour


def prepare_table(table) -> None:
    """table: a QTableWidget."""
    header = [_("Segment"), _("Volume [ml] (95 %)"), _("Expected Dice")]
    table.setColumnCount(len(header))
    table.setHorizontalHeaderLabels(header)


def show_table(table, statistics, segmentation_node) -> None:
    """Shows the statistics of a run, shortened to what fits, as far as its segments are still what it left.

    statistics: the run's table node, None for nothing.  segmentation_node: of the run, or None.
    """
    ids = segment_ids(segmentation_node) if segmentation_node else {}
    table.setRowCount(statistics.GetTable().GetNumberOfRows() if statistics else 0)
    for row in range(table.rowCount):
        segment_id = ids.get(round(statistics.GetTable().GetValueByName(row, "Label").ToDouble()))
        _show_row(table, row, statistics.GetTable(), segmentation_node, segment_id)
    table.resizeColumnsToContents()
    table.minimumHeight = min(table.sizeHint.height(), HIGHEST)


def _show_row(table, row: int, statistics, segmentation_node, segment_id: str | None) -> None:
    def number(column: str) -> float:
        return statistics.GetValueByName(row, column).ToDouble()

    segment = segmentation_node.GetSegmentation().GetSegment(segment_id) if segment_id else None
    volume, low, high, dice = map(
        number, ("Volume [mm3]", "Volume low [mm3]", "Volume high [mm3]", "Expected Dice")
    )  # fmt: skip
    name = segment.GetName() if segment else statistics.GetValueByName(row, "Segment").ToString()
    now = volume_if_edited(segmentation_node, segment_id, volume) if segment else None
    why = statistics.GetValueByName(row, WITHHELD).ToString()  # empty in scenes of earlier versions, which have no such
    if segment is None:
        texts = (name, _("removed"), "-")
    elif not has_voxels(segment):
        texts = (name, _("a surface only"), "-")
    elif now is not None:
        texts = (name, _("{volume} (edited)").format(volume=in_ml(now)), "-")
    else:
        interval = f"{in_ml(low)} - {in_ml(high)}" if low < high else "-"  # one opinion, not calibrated
        expected = f"{dice:.2f}" if math.isfinite(dice) else _("not reliable") if why else "-"
        texts = (name, f"{in_ml(volume)} ({interval}{' ?' if why else ''})", expected)
    for column, text in enumerate(texts):
        table.setItem(row, column, qt.QTableWidgetItem(text))
    if why:
        table.item(row, 1).setToolTip(_("The interval was not calibrated for this: {why}.").format(why=why))
        table.item(row, 2).setToolTip(_("No Dice can be expected here: {why}.").format(why=why))
    if segment is not None:
        pixmap = qt.QPixmap(COLOR, COLOR)
        pixmap.fill(qt.QColor.fromRgbF(*segment.GetColor()))
        table.item(row, 0).setIcon(qt.QIcon(pixmap))


def volume_if_edited(segmentation_node, segment_id: str, left: float) -> float | None:
    """mm^3 of the segment where it is not what the run left; its interval and Dice are then unknown.  left: mm^3."""
    volume = volume_of(segmentation_node, segment_id)
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    return None if is_as_left(segment, volume, left) else volume
