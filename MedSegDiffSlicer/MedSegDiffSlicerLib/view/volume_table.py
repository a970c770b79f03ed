"""The table of a batch in the application's table view."""

from __future__ import annotations

import slicer

from ..nodes.scene_change import is_in_scene
from .layout_before import go_back, shown_in_layout

WIDEST = 300  # pixels of a column: that of the messages leaves room for the others


def show_table(table) -> None:
    """Shows the table node in a layout that has a table view; nothing where the application has no window."""
    layouts = slicer.app.layoutManager()
    if layouts is None:
        return
    with shown_in_layout():
        layouts.setLayout(slicer.modules.tables.logic().GetLayoutWithTable(layouts.layout))
        slicer.app.applicationLogic().GetSelectionNode().SetActiveTableID(table.GetID())
        slicer.app.applicationLogic().PropagateTableSelection()
    for view in _views(layouts):
        if view.mrmlTableViewNode().GetTableNodeID() == table.GetID():
            view.tableView().horizontalHeader().setMaximumSectionSize(WIDEST)
            view.tableView().resizeColumnsToContents()


def hide_table(table) -> None:
    """Goes back to the layout before, where the table is shown and changed it."""
    go_back(is_table_shown(table))


def is_table_shown(table) -> bool:
    """Whether a table view of the layout shows it."""
    layouts = slicer.app.layoutManager()
    if layouts is None or not is_in_scene(table):
        return False
    views = [view.mrmlTableViewNode() for view in _views(layouts)]
    return any(view.IsMappedInLayout() and view.GetTableNodeID() == table.GetID() for view in views)


def _views(layouts) -> list:
    return [layouts.tableWidget(number) for number in range(layouts.tableViewCount)]
