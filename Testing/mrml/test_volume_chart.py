"""The chart of a run's volumes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from medsegdiff.errors import RequestError

SHAPE = (24, 20, 16)


@pytest.fixture
def added(scene, make_volume, make_result):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    return add_result(scene, make_result(SHAPE), make_volume(np.zeros(SHAPE, np.int16)))


def column(series, name: str) -> list[float]:
    values = series.GetTableNode().GetTable().GetColumnByName(name)
    return [values.GetValue(row) for row in range(values.GetNumberOfTuples())]


def test_chart_shows_intervals_and_opinions_of_every_structure(scene, added):
    from MedSegDiffSlicerLib.nodes.volume_chart import add_chart

    chart, result = add_chart(scene, added), added.result
    assert chart.GetNumberOfPlotSeriesNodes() == 2 * len(result.labels)
    for index, (label, row) in enumerate(zip(result.labels, result.statistics)):
        intervals, opinions = chart.GetNthPlotSeriesNode(2 * index), chart.GetNthPlotSeriesNode(2 * index + 1)
        low, high = row["volume_interval_mm3"]
        assert intervals.GetName() == label.name
        ml = [volume / 1000 for volume in (low, row["volume_mm3"], high)]
        assert column(intervals, intervals.GetXColumnName()) == pytest.approx(ml)
        place = len(result.labels) - index  # the first on top
        assert column(intervals, intervals.GetYColumnName()) == [place] * 3
        assert chart.GetAttribute("MedSegDiff.Structures").split("\n")[place - 1] == label.name
        counted = (result.samples == label.value).sum((1, 2, 3)) * abs(np.linalg.det(result.affine[:3, :3]))
        assert column(opinions, opinions.GetXColumnName()) == pytest.approx((counted / 1000).tolist())
        assert intervals.GetColor() == pytest.approx([channel / 255 for channel in label.color])


@pytest.mark.parametrize("loaded", [False, True])
def test_interval_that_was_not_calibrated_for_the_scan_is_marked(scene, make_volume, make_result, loaded):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result
    from MedSegDiffSlicerLib.nodes.scene_result import find_result
    from MedSegDiffSlicerLib.nodes.volume_chart import add_chart

    result = make_result(SHAPE)
    result.statistics[1]["expected_dice_withheld"] = "odd"
    added = add_result(scene, result, make_volume(np.zeros(SHAPE, np.int16)))
    chart = add_chart(scene, find_result(scene, added.segmentationNode) if loaded else added)
    assert chart.GetAttribute("MedSegDiff.Structures").split("\n") == ["gamma", "beta ?", "alpha"]


def test_chart_of_a_result_that_came_with_a_scene_is_the_same(scene, added):
    from MedSegDiffSlicerLib.nodes.scene_result import find_result
    from MedSegDiffSlicerLib.nodes.volume_chart import add_chart

    def drawn(chart) -> list:
        series = [chart.GetNthPlotSeriesNode(number) for number in range(chart.GetNumberOfPlotSeriesNodes())]
        return [(each.GetColor(), column(each, each.GetXColumnName())) for each in series]

    chart = add_chart(scene, added)
    live = drawn(chart)
    scene.RemoveNode(chart)
    loaded = find_result(scene, added.segmentationNode)
    assert loaded.result is None
    again = drawn(add_chart(scene, loaded))
    assert [color for color, _ in again] == [color for color, _ in live]
    assert [pytest.approx(values) for _, values in live] == [values for _, values in again]
    scene.RemoveNode(added.statisticsTableNode)
    scene.RemoveNode(scene.GetFirstNodeByClass("vtkMRMLPlotChartNode"))
    with pytest.raises(RequestError, match="table"):
        add_chart(scene, loaded)


def test_chart_is_made_once_and_tells_its_run(scene, added, ids):
    from MedSegDiffSlicerLib.nodes.volume_chart import add_chart

    chart = add_chart(scene, added)
    before = ids(scene)
    assert add_chart(scene, added) is chart and ids(scene) == before
    assert (
        chart.GetAttribute("MedSegDiff.Model")
        == chart.GetNthPlotSeriesNode(0).GetAttribute("MedSegDiff.Model")
        == "toy"
    )


def test_chart_goes_with_the_result_that_is_replaced(scene, added, ids, make_result):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result
    from MedSegDiffSlicerLib.nodes.volume_chart import add_chart

    before = ids(scene)
    add_chart(scene, added)
    add_result(scene, make_result(SHAPE, seed=4), added.volumeNode, added.segmentationNode)
    assert len(ids(scene)) == len(before)
    assert not scene.GetFirstNodeByClass("vtkMRMLPlotChartNode")


def test_chart_of_an_earlier_version_is_replaced(scene, added, ids):
    from MedSegDiffSlicerLib.nodes.volume_chart import STRUCTURES, add_chart

    old = add_chart(scene, added)
    series = old.GetNthPlotSeriesNode(0)
    gone = {old.GetID(), series.GetID(), series.GetTableNode().GetID()}
    count = len(ids(scene))
    old.RemoveAttribute(STRUCTURES)
    new = add_chart(scene, added)
    assert new is not old and new.GetAttribute(STRUCTURES)
    assert new.GetNumberOfPlotSeriesNodes() == 2 * len(added.result.labels)
    assert len(ids(scene)) == count and all(scene.GetNodeByID(node_id) is None for node_id in gone)


class Layouts:
    """A layout manager without plot views."""

    layout, plotViewCount = 2, 0

    def setLayout(self, layout: int) -> None:
        self.layout = layout


@pytest.mark.parametrize("layouts", [None, Layouts()], ids=["no window", "window"])
def test_showing_a_chart_leaves_nothing_in_it(scene, added, monkeypatch, layouts):
    import slicer
    from MedSegDiffSlicerLib.nodes.volume_chart import add_chart
    from MedSegDiffSlicerLib.view.volume_plot import hide_chart, is_shown, show_chart

    plots = SimpleNamespace(logic=lambda: SimpleNamespace(ShowChartInLayout=lambda _chart: layouts.setLayout(36)))
    monkeypatch.setattr(slicer, "app", SimpleNamespace(layoutManager=lambda: layouts), raising=False)
    monkeypatch.setattr(slicer, "modules", SimpleNamespace(plots=plots), raising=False)
    chart = add_chart(scene, added)
    before = list(chart.GetAttributeNames())
    show_chart(chart)
    assert list(chart.GetAttributeNames()) == before and not is_shown(chart)
    hide_chart(chart)
    if layouts is not None:  # which a batch's table changed since
        from MedSegDiffSlicerLib.view.layout_before import shown_in_layout

        with shown_in_layout():
            layouts.setLayout(40)
        hide_chart(chart)
        assert layouts.layout == 40


@pytest.mark.parametrize("how", ["removed", "edited", "applied"])
def test_a_chart_says_where_the_segments_are_others_by_now(scene, added, how):
    import slicer
    from MedSegDiffSlicerLib.nodes.segment_numbers import keep_numbers
    from MedSegDiffSlicerLib.nodes.segments import segment_ids
    from MedSegDiffSlicerLib.nodes.volume_chart import add_chart

    plain = add_chart(scene, added).GetTitle()
    assert add_chart(scene, added).GetTitle() == plain and "changed" not in plain
    segmentation = added.segmentationNode.GetSegmentation()
    if how == "removed":
        segmentation.RemoveSegment(segmentation.GetNthSegmentID(0))
    else:
        node, full = added.segmentationNode, np.ones(SHAPE[::-1], np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(full, node, segmentation.GetNthSegmentID(0), added.volumeNode)
        if how == "applied":  # the segments then tell numbers of their own
            row = {**added.result.statistics[0], "volume_mm3": float(full.size)}
            keep_numbers(node, SimpleNamespace(statistics=[row]), segment_ids(node))
    assert add_chart(scene, added).GetTitle() == f"Before the segments were changed: {plain}"


def test_a_chart_that_lost_a_series_gets_it_back(scene, added):
    from MedSegDiffSlicerLib.nodes.volume_chart import add_chart

    chart = add_chart(scene, added)
    before = [chart.GetNthPlotSeriesNodeID(number) for number in range(chart.GetNumberOfPlotSeriesNodes())]
    chart.RemovePlotSeriesNodeID(before[0])
    assert add_chart(scene, added) is chart
    assert [chart.GetNthPlotSeriesNodeID(number) for number in range(chart.GetNumberOfPlotSeriesNodes())] == before
