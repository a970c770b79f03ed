"""The chart of a result's volumes in the application's plot view."""

from __future__ import annotations

import slicer
import vtk

from ..nodes.scene_change import is_in_scene
from ..nodes.volume_chart import STRUCTURES
from .layout_before import go_back, shown_in_layout


def show_chart(chart) -> None:
    """Shows it in a layout that has a plot view, its places named; nothing where the application has no window."""
    layouts = slicer.app.layoutManager()
    if layouts is None:
        return
    with shown_in_layout():
        slicer.modules.plots.logic().ShowChartInLayout(chart)
    name_places(chart)


def name_places(chart) -> None:
    """Writes the structures' names to the upright axis of views that show the chart, as that does not keep them."""
    if chart.GetAttribute(STRUCTURES) is not None:  # else it is of an earlier version
        for widget in _widgets(chart):
            _name_places(widget, chart)


def hide_chart(chart, asked: bool = False) -> None:
    """Goes back to the layout before, where the chart changed it and no other one is shown in its place.

    asked: by the user, who gets a layout without a plot where the one before is not known, as after a scene was loaded.
    """
    shown = [view.GetPlotChartNodeID() for _widget, view in _views()]
    without = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView if asked else None
    go_back(is_shown(chart) or (bool(shown) and not any(shown)), without)


def is_shown(chart) -> bool:
    """Whether a plot view of the layout shows it."""
    return is_in_scene(chart) and bool(_widgets(chart))


def _widgets(chart) -> list:
    return [widget for widget, view in _views() if view.GetPlotChartNodeID() == chart.GetID()]


def _views() -> list[tuple]:
    """Widget and node of the layout's plot views."""
    layouts = slicer.app.layoutManager()
    widgets = [layouts.plotWidget(number) for number in range(layouts.plotViewCount)] if layouts is not None else []
    views = [(widget, widget.mrmlPlotViewNode()) for widget in widgets]
    return [(widget, view) for widget, view in views if view.IsMappedInLayout()]


def _name_places(widget, chart) -> None:
    """Writes the structures' names to the upright axis while the view shows the chart, whose node cannot tell them."""
    axis, view = widget.plotView().chart().GetAxis(vtk.vtkAxis.LEFT), widget.mrmlPlotViewNode()
    positions, names, chart_id = vtk.vtkDoubleArray(), vtk.vtkStringArray(), chart.GetID()
    for place, name in enumerate(chart.GetAttribute(STRUCTURES).split("\n"), 1):
        positions.InsertNextValue(place)
        names.InsertNextValue(name)
    axis.SetCustomTickPositions(positions, names)

    def follow(caller, _event) -> None:
        if caller.GetPlotChartNodeID() != chart_id:
            caller.RemoveObserver(tag)
            axis.SetCustomTickPositions(None, None)

    tag = view.AddObserver(vtk.vtkCommand.ModifiedEvent, follow)
