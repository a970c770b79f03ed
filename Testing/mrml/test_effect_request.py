"""What the effect's options and mouse events mean: volumes, region, request, clicks."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from medsegdiff.errors import RequestError

MODEL = "hippocampus-unet"
SHAPE = (24, 20, 16)


@pytest.fixture
def editor(scene, make_volume):
    """A Segment Editor's node with a source volume."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    node.SetAndObserveSourceVolumeNode(make_volume(np.zeros(SHAPE, np.int16)))
    return node


def prepare(editor, **choices):
    from MedSegDiffSlicerLib.jobs.run_request import Choices, prepare

    return prepare(Choices(**{"model": MODEL, "samples": 3, "steps": 5, **choices}), editor)


def test_whole_volume(editor):
    volumes, box, request = prepare(editor)
    assert volumes == [editor.GetSourceVolumeNode()] and box.shape == SHAPE
    assert request.model.endswith(MODEL) and (request.samples, request.steps) == (3, 5)


def test_box_and_segment(scene, editor):
    import slicer

    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    roi.SetCenter(5, 5, 5)
    roi.SetSize(4, 6, 2)
    assert prepare(editor, region="box", roi=roi)[1].shape == (5, 7, 3)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "segments")
    editor.SetAndObserveSegmentationNode(node)
    node.SetReferenceImageGeometryParameterFromVolumeNode(editor.GetSourceVolumeNode())
    node.GetSegmentation().AddEmptySegment("one")
    mask = np.zeros(SHAPE[::-1], np.uint8)
    mask[4:6, 8, 9] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, "one", editor.GetSourceVolumeNode())
    editor.SetSelectedSegmentID("one")
    assert prepare(editor, region="segment", margin=2.0)[1].start == (7, 6, 2)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"region": "box"}, "there is no box; choose or create one"),
        ({"region": "segment"}, "no segment is selected"),
        ({"model": "nobody"}, "nobody"),
        ({"samples": 0}, "samples must be"),
    ],
)
def test_what_is_missing_is_said(editor, choices, message):
    with pytest.raises(RequestError, match=message):
        prepare(editor, **choices)


def test_no_source_volume(scene):
    with pytest.raises(RequestError, match="no source volume"):
        prepare(scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))


def test_further_channels_are_found_by_name(scene, make_volume, editor):
    from MedSegDiffSlicerLib.jobs.run_request import inputs_of

    package = SimpleNamespace(channels=({"name": "T1", "modality": "MR"}, {"name": "FLAIR", "modality": "MR"}))
    source = make_volume(np.zeros(SHAPE, np.int16), name="patient T1")
    with pytest.raises(RequestError, match="no volume beside 'patient T1' was found for FLAIR"):
        inputs_of(package, source)
    scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "patient FLAIR")  # empty, as it is while it is loaded
    with pytest.raises(RequestError, match="no volume beside 'patient T1' was found for FLAIR"):
        inputs_of(package, source)
    flair = make_volume(np.zeros(SHAPE, np.int16), name="patient FLAIR")
    assert inputs_of(package, source) == [source, flair]


def test_a_channel_of_another_patient_is_not_taken(scene, make_volume, editor):
    from MedSegDiffSlicerLib.jobs.run_request import inputs_of

    package = SimpleNamespace(channels=({"name": "T1", "modality": "MR"}, {"name": "FLAIR", "modality": "MR"}))
    source = make_volume(np.zeros(SHAPE, np.int16), name="sub-01_T1w")
    make_volume(np.zeros(SHAPE, np.int16), name="sub-02_FLAIR")
    with pytest.raises(RequestError, match="no volume beside 'sub-01_T1w' was found for FLAIR"):
        inputs_of(package, source)
    flair = make_volume(np.zeros(SHAPE, np.int16), name="sub-01_FLAIR")
    assert inputs_of(package, source) == [source, flair]


class Mouse:
    """An interactor with the left button down or not."""

    def __init__(self):
        self.position, self.shift, self.control = (0, 0), False, False

    def GetEventPosition(self):
        return self.position

    def GetShiftKey(self):
        return self.shift

    def GetControlKey(self):
        return self.control

    def GetAltKey(self):
        return False


def test_a_source_volume_that_does_not_suit_is_refused(scene, make_volume, editor):
    from MedSegDiffSlicerLib.jobs.run_request import inputs_of

    package = SimpleNamespace(channels=({"name": "T1", "modality": "MR"}, {"name": "FLAIR", "modality": "MR"}))
    for name in ("case T1", "case FLAIR"):
        make_volume(np.zeros(SHAPE, np.int16), name=name)
    source = make_volume(np.zeros((5, 5, 5), np.int16), name="CT")
    with pytest.raises(RequestError, match="'CT' is none of those that suit the model \\('case T1', 'case FLAIR'\\)"):
        inputs_of(package, source)


@pytest.fixture
def strokes(scene):
    """Strokes in a view of 100 x 80 pixels of 0.5 mm; what was shown and done."""
    import vtk
    from MedSegDiffSlicerLib.effect.click_strokes import ClickStrokes

    node = scene.AddNewNodeByClass("vtkMRMLSliceNode")
    node.SetDimensions(100, 80, 1)
    node.SetFieldOfView(50, 40, 1)
    node.SetOrientation("Axial")
    node.SetSliceOffset(7)
    node.UpdateMatrices()
    shown, done, mouse = [], [], Mouse()
    strokes = ClickStrokes(lambda background: 0 if background else 2, lambda c: shown.append(list(c)), done.append)

    def send(name, position=None, view=node):
        mouse.position = position or mouse.position
        return strokes.handle(mouse, getattr(vtk.vtkCommand, f"{name}Event"), view)

    return SimpleNamespace(send=send, shown=shown, done=done, mouse=mouse, node=node, strokes=strokes)


def test_click_is_the_place_under_the_mouse(strokes):
    import slicer

    assert strokes.send("LeftButtonPress", (30, 20)) and strokes.send("LeftButtonRelease")
    ((click,),) = strokes.done
    expected = slicer.util.arrayFromVTKMatrix(strokes.node.GetXYToRAS()) @ [30, 20, 0, 1]
    assert np.allclose(click[:3], expected[:3]) and click[2] == 7 and click[3] == 2


def test_with_shift_it_is_background(strokes):
    strokes.mouse.shift = True
    strokes.send("LeftButtonPress", (30, 20))
    strokes.mouse.shift = False
    strokes.send("LeftButtonRelease")
    assert strokes.done[0][0][3] == 0


def test_stroke_is_several_places_apart(strokes):
    strokes.send("LeftButtonPress", (10, 40))
    for x in range(11, 60):
        assert strokes.send("MouseMove", (x, 40))
    assert strokes.done == [] and strokes.shown[-1]
    strokes.send("LeftButtonRelease")
    places = np.array(strokes.done[0])[:, :3]
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    assert len(places) == 12 and (steps >= 2).all() and (steps < 2.6).all()


def test_other_events_and_views_are_left_alone(strokes, scene):
    assert not strokes.send("MouseMove", (5, 5)) and not strokes.send("LeftButtonRelease")
    strokes.mouse.control = True
    assert not strokes.send("LeftButtonPress", (5, 5))
    strokes.mouse.control = False
    strokes.send("LeftButtonPress", (5, 5))
    other = scene.AddNewNodeByClass("vtkMRMLSliceNode")
    assert not strokes.send("MouseMove", (50, 5), other) and not strokes.send("MouseWheelForward")
    strokes.strokes.stop()
    assert not strokes.send("LeftButtonRelease") and strokes.done == []
