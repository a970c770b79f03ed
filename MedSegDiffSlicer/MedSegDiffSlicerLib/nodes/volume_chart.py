"""The volumes of a run as a chart: each structure with its interval, and the volumes of all opinions beside it."""

from __future__ import annotations

from collections.abc import Sequence

import vtk
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError

from .result_nodes import add_to_run
from .saved_result import sample_volumes, statistics_of
from .scene_change import all_or_nothing, is_in_scene
from .segment_numbers import is_as_left, volume_of
from .segments import segment_ids
from .slicer_result import SlicerResult, nodes_of_run

GREY = (0.5, 0.5, 0.5)  # of a structure whose segment was removed
TITLE = 16  # points
BESIDE = 0.2  # of the distance between two structures; how far below the interval the opinions are
STRUCTURES = "MedSegDiff.Structures"  # attribute of a chart: what places 1, 2, ... of its upright axis are, a line each


def add_chart(scene, added: SlicerResult):
    """The chart (vtkMRMLPlotChartNode) of a result, added on first use with its series and their tables; they belong to
    its segmentation.  One of a scene saved by an earlier version, which does not tell its structures, is replaced.

    Raises whatever went wrong (RequestError where the segmentation was removed, or a loaded result has no table any
    more), with the scene as it was.
    """
    if not is_in_scene(added.segmentationNode):
        raise RequestError(_("the segmentation of this result is no longer in the scene; run the model again"))
    charts = charts_of(scene, added.segmentationNode)
    for chart in charts:
        if chart.GetAttribute(STRUCTURES) is not None:
            if added.result is not None or is_in_scene(added.statisticsTableNode):
                chart.SetTitle(_title(added))
            mend_chart(scene, chart, added.segmentationNode)
            return chart
    with all_or_nothing(scene):
        new = _add_chart(scene, added)
    for chart in charts:
        _remove(scene, chart)
    return new


def charts_of(scene, segmentation_node) -> list:
    """Those of the segmentation's run."""
    return [node for node in nodes_of_run(scene, segmentation_node) if node.IsA("vtkMRMLPlotChartNode")]


def mend_chart(scene, chart, segmentation_node) -> None:
    """Gives it back the series that Slicer (5.13) leaves out where a scene is loaded after another one was closed."""
    series = [node for node in nodes_of_run(scene, segmentation_node) if node.IsA("vtkMRMLPlotSeriesNode")]
    if chart.GetNumberOfPlotSeriesNodes() < len(series):
        chart.RemoveAllPlotSeriesNodeIDs()
        for node in series:
            chart.AddAndObservePlotSeriesNodeID(node.GetID())


def _remove(scene, chart) -> None:
    """With its series and their tables."""
    series = [chart.GetNthPlotSeriesNode(number) for number in range(chart.GetNumberOfPlotSeriesNodes())]
    tables = [each.GetTableNode() for each in series if each is not None]
    for node in (chart, *series, *tables):
        if is_in_scene(node):
            scene.RemoveNode(node)


def _add_chart(scene, added: SlicerResult):
    name = added.volumeNode.GetName()
    chart = _add(scene, "vtkMRMLPlotChartNode", f"{name} volumes", added)
    rows, colors = statistics_of(added), _colors(added.segmentationNode)
    for place, (row, volumes) in zip(range(len(rows), 0, -1), zip(rows, sample_volumes(added).T)):
        low, high = row["volume_interval_mm3"]
        intervals = _add_series(scene, _name(row), [low, row["volume_mm3"], high], place, added)
        intervals.SetLineStyle(intervals.LineStyleSolid)
        intervals.SetMarkerStyle(intervals.MarkerStyleDiamond)
        title = _("{segment}, opinions").format(segment=row["name"])
        opinions = _add_series(scene, title, volumes, place - BESIDE, added)
        opinions.SetLineStyle(opinions.LineStyleNone)
        opinions.SetMarkerStyle(opinions.MarkerStyleCircle)
        for series in (intervals, opinions):
            series.SetColor(*colors.get(row["label"], GREY))
            chart.AddAndObservePlotSeriesNodeID(series.GetID())
    chart.SetAttribute(STRUCTURES, "\n".join(map(_name, reversed(rows))))
    chart.SetTitle(_title(added))
    chart.SetTitleFontSize(TITLE)
    chart.SetXAxisTitle(_("Volume [ml]"))
    chart.YAxisTitleVisibilityOff()
    chart.YAxisRangeAutoOff()
    chart.SetYAxisRange(0.5, len(rows) + 0.5)
    chart.LegendVisibilityOff()  # it would cover intervals
    return chart


def _title(added: SlicerResult) -> str:
    """The chart is of what the run left, whatever became of the segments."""
    node, ids = added.segmentationNode, segment_ids(added.segmentationNode)

    def is_left(row: dict) -> bool:
        id = ids.get(row["label"])
        segment = node.GetSegmentation().GetSegment(id) if id else None
        return segment is not None and is_as_left(segment, volume_of(node, id), row["volume_mm3"])

    if all(map(is_left, statistics_of(added))):
        return _("95 % intervals; dots: the opinions")
    return _("Before the segments were changed: 95 % intervals; dots: the opinions")


def _name(row: dict) -> str:
    """A structure, with a question mark where its interval was not calibrated for the scan, as in the panel's table."""
    return f"{row['name']} ?" if row.get("expected_dice_withheld") else row["name"]


def _colors(segmentation_node) -> dict[int, tuple[float, float, float]]:
    """Of the segments that came from a model, by label value."""
    segmentation = segmentation_node.GetSegmentation()
    return {value: segmentation.GetSegment(id).GetColor() for value, id in segment_ids(segmentation_node).items()}


def _add_series(scene, name: str, volumes: Sequence[float], place: float, added: SlicerResult):
    """A scatter of volumes (mm^3) along a line, with a table of its own: a table's columns have the same length."""
    series, table = _add(scene, "vtkMRMLPlotSeriesNode", name, added), _add(scene, "vtkMRMLTableNode", name, added)
    places = [place] * len(volumes)
    for values, title in (([volume / 1000 for volume in volumes], _("Volume [ml]")), (places, _("Place"))):
        column = vtk.vtkDoubleArray()
        column.SetName(title)
        for value in values:
            column.InsertNextValue(float(value))
        table.AddColumn(column)
    series.SetPlotType(series.PlotTypeScatter)
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetXColumnName(table.GetColumnName(0))
    series.SetYColumnName(table.GetColumnName(1))
    return series


def _add(scene, kind: str, name: str, added: SlicerResult):
    node = scene.AddNewNodeByClass(kind, scene.GenerateUniqueName(name))
    add_to_run(scene, added, [node])
    return node
