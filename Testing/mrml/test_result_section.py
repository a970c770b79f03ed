"""The section 'Result' of the panel, its widgets being stand-ins: what it asks the scene."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

SHAPE = (12, 10, 8)


@pytest.fixture
def section(scene, make_volume, make_result, monkeypatch):
    """make(layouts): the section of an application with that layout manager; the scene holds a result,
    `segmentation`."""
    import slicer
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    class Observing:
        def removeObservers(self) -> None: ...

        def addObserver(self, *_observed) -> None: ...

    for name in ("qt", "ctk"):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    util = MagicMock(VTKObservationMixin=Observing, NodeModify=slicer.util.NodeModify)
    monkeypatch.setitem(sys.modules, "slicer.util", util)
    for name in ("review.widget", "view.message_color", "view.segment_editor", "view.view_controls", "panel.run_box"):
        monkeypatch.setitem(sys.modules, f"MedSegDiffSlicerLib.{name}", MagicMock())
    for name in ("result", "result_table"):
        monkeypatch.delitem(sys.modules, f"MedSegDiffSlicerLib.panel.{name}", raising=False)
    added = add_result(scene, make_result(SHAPE), make_volume(np.zeros(SHAPE, np.int16)))

    def make(layouts):
        from MedSegDiffSlicerLib.panel.result import ResultSection

        monkeypatch.setattr(slicer, "app", SimpleNamespace(layoutManager=lambda: layouts), raising=False)
        ui = MagicMock()
        ui.resultTable.rowCount = 0
        ui.resultTable.sizeHint.height.return_value = 90
        made = ResultSection(ui, None, lambda _text: None, lambda _segmentation, _told="": None, lambda: False)
        made._runs.list.side_effect = lambda runs, _shown: len(runs)
        return made

    yield SimpleNamespace(make=make, segmentation=added.segmentationNode)
    for name in ("result", "result_table"):
        sys.modules.pop(f"MedSegDiffSlicerLib.panel.{name}", None)


@pytest.mark.parametrize("layouts", [None, MagicMock()], ids=["no window", "window"])
def test_it_is_made_and_closed_with_and_without_a_window(section, layouts):
    section.make(layouts).close()
    if layouts is not None:
        assert layouts.connect.call_count == layouts.disconnect.call_count == 1


def test_no_results_are_kept_of_a_scene_that_is_being_closed(section):
    made = section.make(MagicMock())
    made._parameters = SimpleNamespace()
    made.update()
    assert made._runs.list.call_args.args == ([section.segmentation], None)
    made.show(None)
    assert made._runs.list.call_args.args == ([], None)


def test_what_came_without_the_panel_is_taken_up_once_all_of_it_is_there(section):
    made = section.make(MagicMock())
    made._parameters = SimpleNamespace(resultSegmentation=None)
    made._busy = lambda: True
    made.take_up()
    assert made._shown is None
    made._busy = lambda: False
    made.take_up()
    assert made._shown.segmentationNode is made._parameters.resultSegmentation is section.segmentation


def test_forgetting_and_closing_take_nothing_up(section):
    made = section.make(MagicMock())
    made._parameters = SimpleNamespace(resultSegmentation=None)
    made.take_up()
    made.forget()
    assert made._shown is made._parameters.resultSegmentation is None
    made.show(None)
    made.take_up()
    assert made._shown is None


def test_none_is_told_while_the_frames_of_a_batch_are_shown_in_its_place(section, scene):
    from MedSegDiffSlicerLib.nodes.scene_result import show_alone
    from MedSegDiffSlicerLib.nodes.slicer_result import BELONGS_TO, describe_alike

    made = section.make(MagicMock())
    made._parameters = SimpleNamespace(resultSegmentation=None)
    made.review.isActive = False
    made.take_up()
    assert made._shown is not None
    frames, volume = scene.AddNewNodeByClass("vtkMRMLSegmentationNode"), made._shown.volumeNode
    frames.CreateDefaultDisplayNodes()
    describe_alike(frames, section.segmentation, "frames")
    frames.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode")
    sequence.SetDataNodeAtValue(frames, "0")
    sequence.SetNodeReferenceID(BELONGS_TO, frames.GetID())
    show_alone(scene, frames)
    for _again in range(2):
        made.take_up()
        assert made._shown is made._parameters.resultSegmentation is None
    show_alone(scene, section.segmentation)
    made.take_up()
    assert made._shown.segmentationNode is section.segmentation


def test_a_later_run_into_what_is_looked_at_is_looked_at(section, scene, make_result):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    made = section.make(MagicMock())
    made._parameters = SimpleNamespace(resultSegmentation=None, showUncertainty=True)
    made.take_up()
    before = made._shown
    made.take_up()
    assert made._shown is before
    later = add_result(scene, make_result(SHAPE), before.volumeNode, section.segmentation)
    made.take_up()
    assert made._shown.segmentationNode is section.segmentation
    assert made._shown.statisticsTableNode is later.statisticsTableNode is not before.statisticsTableNode
    assert made._shown.uncertaintyVolumeNodes == later.uncertaintyVolumeNodes


def test_choosing_what_is_no_result_any_more_changes_nothing(section):
    made = section.make(MagicMock())
    made._parameters = SimpleNamespace(resultSegmentation=None, showUncertainty=False)
    section.segmentation.RemoveAttribute("MedSegDiff.Model")
    made._choose(section.segmentation)
    assert made._parameters.resultSegmentation is None and made._shown is None


def test_a_segment_that_holds_something_else_is_told_as_edited(section):
    """Though its tags are those of what was written into it since."""
    import slicer
    from MedSegDiffSlicerLib.nodes.segment_numbers import keep_numbers, volume_of

    section.make(None)
    told, node = sys.modules["MedSegDiffSlicerLib.panel.result_table"].volume_if_edited, section.segmentation
    segment_id = node.GetSegmentation().GetNthSegmentID(0)
    volume = node.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())
    left = volume_of(node, segment_id)
    assert told(node, segment_id, left) is None
    slicer.util.updateSegmentBinaryLabelmapFromArray(np.ones(SHAPE[::-1], np.uint8), node, segment_id, volume)
    now = float(np.prod(SHAPE))
    assert told(node, segment_id, left) == now
    measured = {"label": 1, "volume_mm3": now, "volume_interval_mm3": (1, 2), "mean_uncertainty": 0.1,
                "expected_dice": None, "sample_agreement": 1.0, "worst_uncertainty": 0.2,
                "surface_area_mm2": 3.0}  # fmt: skip
    keep_numbers(node, SimpleNamespace(statistics=[measured], voxel_volume=1.0), {1: segment_id})
    assert told(node, segment_id, left) == now


def test_a_plot_that_cannot_be_drawn_is_told(section, scene, monkeypatch):
    """A loaded result under a transform that is not linear: the volumes of its opinions are not known."""
    import slicer
    import vtk
    from MedSegDiffSlicerLib.nodes.volume_chart import add_chart

    told, made = [], section.make(None)
    made._parameters = SimpleNamespace(resultSegmentation=None)
    made.take_up()
    bent, plate = scene.AddNewNodeByClass("vtkMRMLTransformNode"), vtk.vtkThinPlateSplineTransform()
    for landmarks, shift in ((plate.SetSourceLandmarks, 0), (plate.SetTargetLandmarks, 1)):
        points = vtk.vtkPoints()
        for corner in np.ndindex(2, 2, 2):
            points.InsertNextPoint(*(10.0 * np.array(corner) + shift * all(corner)))
        landmarks(points)
    plate.SetBasisToR()
    bent.SetAndObserveTransformToParent(plate)
    made._shown.volumeNode.SetAndObserveTransformNodeID(bent.GetID())
    made._logic = SimpleNamespace(plotVolumes=lambda result: add_chart(scene, result))
    monkeypatch.setattr(slicer.util, "errorDisplay", told.append, raising=False)
    made._on_plot(True)
    assert len(told) == 1 and "non-linear transform" in told[0]
    assert made._chart is None and not made._ui.plotButton.checked


def test_a_loaded_map_takes_no_place_that_the_user_gave_to_another_volume(section, scene, make_volume):
    view = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    for laid, asked in ((make_volume(np.zeros(SHAPE, np.int16), name="PET"), 0), (None, 1)):
        view.SetForegroundVolumeID(laid and laid.GetID())
        view.SetForegroundOpacity(0.5)
        made = section.make(MagicMock())
        made.view.hasMap = True
        made.view.setMapVisible.reset_mock()
        made.show(SimpleNamespace(resultSegmentation=section.segmentation, showUncertainty=True))
        assert made.view.setMapVisible.call_count == asked
