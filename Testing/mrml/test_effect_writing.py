"""What Apply writes: as Slicer's own effects do, masked, overwriting as it is set, in one step to undo."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from medsegdiff.errors import RequestError
from medsegdiff.models.package import Label

SHAPE = (24, 20, 16)
TURN = np.array([[0.8, -0.6, 0, 4], [0.6, 0.8, 0, -3], [0, 0, 1, 9], [0, 0, 0, 1.0]])
LABELS = (Label(1, "alpha", (200, 0, 0), "list~SCT^1^A~~~"), Label(2, "beta", (0, 200, 0), "list~SCT^2^B~~~"))
MASKS = ("EditAllowedEverywhere", "EditAllowedInsideAllSegments", "EditAllowedOutsideAllSegments",
         "EditAllowedInsideVisibleSegments", "EditAllowedOutsideVisibleSegments",
         "EditAllowedInsideSingleSegment")  # fmt: skip
OVERWRITES = ("OverwriteAllSegments", "OverwriteVisibleSegments", "OverwriteNone")


def blobs(seed: int, share: float = 0.35) -> np.ndarray:
    """(I, J, K) bool."""
    coarse = np.random.default_rng(seed).random((6, 5, 4)) < share
    return coarse.repeat(4, 0).repeat(4, 1).repeat(4, 2)


@pytest.fixture
def edited(scene, make_volume):
    """edited(affine, overlapping) gives a volume, a segmentation ("target", "other", "hidden") and its editor."""
    import slicer
    from segment_editor import LogicEditor

    def make(affine=np.eye(4), overlapping=False):
        taken = np.zeros(SHAPE, bool)
        volume = make_volume(np.random.default_rng(9).integers(0, 100, SHAPE).astype(np.int16), affine)
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "segments")
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        editor = LogicEditor(scene, node, volume)
        editor.node.SetOverwriteMode(editor.node.OverwriteNone)
        for seed, name in enumerate(("target", "other", "hidden")):
            node.GetSegmentation().AddEmptySegment(name, name)
            mask = blobs(seed) if overlapping else blobs(seed) & ~taken
            taken |= mask
            array = np.ascontiguousarray(mask.transpose(2, 1, 0).astype(np.uint8))
            slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, name, volume)
        node.GetDisplayNode().SetSegmentVisibility("hidden", False)
        return SimpleNamespace(volume=volume, node=node, editor=editor)

    return make


def write(case, labelmap, targets, box=None):
    from MedSegDiffSlicerLib.nodes.modifier_labelmap import write
    from MedSegDiffSlicerLib.nodes.region_of_interest import whole

    return write(case.editor, labelmap, box or whole(case.volume), case.volume, targets)


def target(values, segment_id, label=None):
    from MedSegDiffSlicerLib.nodes.target_segments import Target

    return Target(values, segment_id, label)


def set_masks(node, mask: str, overwrite: str, intensity: bool) -> None:
    import slicer

    node.SetMaskMode(getattr(slicer.vtkMRMLSegmentationNode, mask))
    node.SetMaskSegmentID("other")
    node.SetOverwriteMode(getattr(node, overwrite))
    node.SetSourceVolumeIntensityMask(intensity)
    node.SetSourceVolumeIntensityMaskRange(20, 60)


@pytest.mark.parametrize(("mask", "overwrite", "intensity"), list(itertools.product(MASKS, OVERWRITES, (False, True))))
def test_masking_is_that_of_slicers_own_effects(edited, mask, overwrite, intensity):
    from MedSegDiffSlicerLib.nodes.segments import oriented_image
    from segment_editor import all_voxels

    ours, theirs, labelmap = edited(), edited(), blobs(7).astype(np.uint8)
    for case in (ours, theirs):
        set_masks(case.editor.node, mask, overwrite, intensity)
    before = all_voxels(ours.node, ours.volume)
    assert write(ours, labelmap, [target((1,), "target")]) == ["target"]
    theirs.editor.set("target", oriented_image(labelmap, theirs.volume))
    ours_now, theirs_now = all_voxels(ours.node, ours.volume), all_voxels(theirs.node, theirs.volume)
    assert list(ours_now) == list(theirs_now)
    for name in ours_now:
        assert np.array_equal(ours_now[name], theirs_now[name]), name
    assert not np.array_equal(ours_now["target"], before["target"])
    editable = may_be_edited(ours, before)
    check(ours, before, labelmap > 0, editable)
    ours.editor.logic.Undo()
    for name, array in all_voxels(ours.node, ours.volume).items():
        assert np.array_equal(array, before[name]), name
    ours.editor.logic.Redo()
    for name, array in all_voxels(ours.node, ours.volume).items():
        assert np.array_equal(array, ours_now[name]), name


@pytest.mark.parametrize(("mask", "overwrite", "intensity"), list(itertools.product(MASKS, OVERWRITES, (False, True))))
def test_overlapping_segments_keep_what_the_masks_protect(edited, mask, overwrite, intensity):
    from segment_editor import all_voxels

    case, labelmap = edited(overlapping=True), blobs(7).astype(np.uint8)
    set_masks(case.editor.node, mask, overwrite, intensity)
    before = all_voxels(case.node, case.volume)
    editable = may_be_edited(case, before)
    write(case, labelmap, [target((1,), "target")])
    check(case, before, labelmap > 0, editable)


def may_be_edited(case, before) -> np.ndarray:
    """(I, J, K) bool, by what the Segment Editor's settings say in words, for the segment "target"."""
    import slicer

    node, kinds = case.editor.node, slicer.vtkMRMLSegmentationNode
    mode, visible = node.GetMaskMode(), [name for name in before if name != "hidden"]
    names = {
        kinds.EditAllowedInsideAllSegments: list(before), kinds.EditAllowedInsideVisibleSegments: visible,
        kinds.EditAllowedInsideSingleSegment: ["other"], kinds.EditAllowedOutsideAllSegments: ["other", "hidden"],
        kinds.EditAllowedOutsideVisibleSegments: ["other"],
    }  # fmt: skip
    editable = np.ones(SHAPE, bool)
    if mode in names:
        inside = np.any([before[name] for name in names[mode]], axis=0)
        outside = mode in (kinds.EditAllowedOutsideAllSegments, kinds.EditAllowedOutsideVisibleSegments)
        editable = ~inside if outside else inside
    if node.GetSourceVolumeIntensityMask():
        low, high = node.GetSourceVolumeIntensityMaskRange()
        scan = slicer.util.arrayFromVolume(case.volume).transpose(2, 1, 0)
        editable = editable & (scan >= low) & (scan <= high)
    return editable


def check(case, before, mask, editable) -> None:
    """That "target" became the mask where that may be, and the others gave way just there and only if they should."""
    from segment_editor import all_voxels

    node, now = case.editor.node, all_voxels(case.node, case.volume)
    assert np.array_equal(now["target"], np.where(editable, mask, before["target"]))
    overwritten = {
        node.OverwriteAllSegments: ["other", "hidden"], node.OverwriteVisibleSegments: ["other"],
        node.OverwriteNone: [],
    }[node.GetOverwriteMode()]  # fmt: skip
    for name in ("other", "hidden"):
        kept = before[name] & ~(mask & editable) if name in overwritten else before[name]
        assert np.array_equal(now[name], kept), name


def test_several_segments_are_one_step_to_undo(edited):
    from segment_editor import all_voxels

    case = edited(overlapping=True)
    before = all_voxels(case.node, case.volume)
    labelmap = np.where(blobs(5), 1, np.where(blobs(6), 2, 0)).astype(np.uint8)
    case.editor.node.SetSelectedSegmentID("other")
    ids = write(case, labelmap, [target((1,), None, LABELS[0]), target((2,), "target", LABELS[1])])
    assert case.editor.saved == 1 and case.editor.node.GetSelectedSegmentID() == "other"
    now = all_voxels(case.node, case.volume)
    assert len(now) == 4 and np.array_equal(now[ids[0]], labelmap == 1) and np.array_equal(now["target"], labelmap == 2)
    assert np.array_equal(now["other"], before["other"]), "overwriting is off"
    case.editor.logic.Undo()
    assert not case.editor.logic.CanUndo()
    after = all_voxels(case.node, case.volume)
    assert list(after) == list(before) and all(np.array_equal(after[name], before[name]) for name in before)
    case.editor.logic.Redo()
    again = all_voxels(case.node, case.volume)
    assert all(np.array_equal(again[name], now[name]) for name in now) and len(again) == 4
    segment = case.node.GetSegmentation().GetSegment(ids[0])
    assert segment.GetName() == "alpha" and np.allclose(segment.GetColor(), (200 / 255, 0, 0))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_segments_that_exchange_voxels_do_so_in_any_order(edited, order):
    """Editable outside of all segments: what one gives up the other one gets."""
    import slicer
    from segment_editor import all_voxels

    case = edited()
    case.editor.node.SetOverwriteMode(case.editor.node.OverwriteAllSegments)
    case.editor.node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedOutsideAllSegments)
    case.node.GetSegmentation().RemoveSegment("hidden")
    was = all_voxels(case.node, case.volume)
    labelmap = np.where(was["other"], 1, np.where(was["target"], 2, 0)).astype(np.uint8)
    targets = [target((1,), "target"), target((2,), "other")]
    write(case, labelmap, [targets[n] for n in order])
    now = all_voxels(case.node, case.volume)
    assert np.array_equal(now["target"], labelmap == 1) and np.array_equal(now["other"], labelmap == 2)


def test_outside_of_the_box_nothing_changes(edited, affine):
    from MedSegDiffSlicerLib.nodes.region_of_interest import Box
    from segment_editor import all_voxels

    case = edited(affine)
    case.editor.node.SetOverwriteMode(case.editor.node.OverwriteAllSegments)
    before, box = all_voxels(case.node, case.volume), Box((3, 5, 2), (20, 17, 9))
    labelmap = blobs(8)[box.slices].astype(np.uint8)
    write(case, labelmap, [target((1,), "target")], box)
    now, inside = all_voxels(case.node, case.volume), np.zeros(SHAPE, bool)
    inside[box.slices] = True
    for name in now:
        assert np.array_equal(now[name][~inside], before[name][~inside]), name
    assert np.array_equal(now["target"][box.slices], labelmap > 0)
    assert np.array_equal(now["other"][box.slices], before["other"][box.slices] & (labelmap == 0))


def test_several_labels_go_into_one_segment(edited):
    from segment_editor import voxels

    case = edited()
    labelmap = np.where(blobs(5), 1, np.where(blobs(6), 2, 0)).astype(np.uint8)
    write(case, labelmap, [target((1, 2), "target")])
    assert np.array_equal(voxels(case.node, "target", case.volume), labelmap > 0)


@pytest.mark.parametrize("both", [False, True])
def test_transforms_of_volume_and_segmentation(edited, make_transform, both):
    """The volume alone under a transform by whole voxels, or both under the same turn."""
    from segment_editor import voxels

    case = edited()
    if both:
        transform = make_transform(case.volume, TURN)
        case.node.SetAndObserveTransformNodeID(transform.GetID())
    else:
        shift = np.eye(4)
        shift[:3, 3] = (2, -3, 1)
        make_transform(case.volume, shift)
    labelmap = np.zeros(SHAPE, np.uint8)
    labelmap[6:12, 8:14, 4:9] = 1
    write(case, labelmap, [target((1,), "target")])
    place = labelmap if both else np.roll(labelmap, (2, -3, 1), (0, 1, 2))
    case.volume.SetAndObserveTransformNodeID(None)
    case.node.SetAndObserveTransformNodeID(None)
    now = voxels(case.node, "target", case.volume)
    box = (slice(3, 15), slice(2, 14), slice(3, 12))
    assert np.array_equal(now[box], place[box] > 0)


def test_segmentation_on_another_grid(edited, make_volume):
    """Its reference geometry is coarser: each of its voxels gets what lies at its centre."""
    import slicer
    from segment_editor import voxels

    case = edited()
    affine = np.diag([2, 2, 2, 1.0])
    affine[:3, 3] = 0.25
    coarse = make_volume(np.zeros((12, 10, 8), np.int16), affine, "coarse")
    other = case.node.GetScene().AddNewNodeByClass("vtkMRMLSegmentationNode", "coarse segments")
    other.SetReferenceImageGeometryParameterFromVolumeNode(coarse)
    case.editor.logic.SetSegmentationNode(other)
    labelmap = blobs(4).astype(np.uint8)
    (id,) = write(case, labelmap, [target((1,), None, LABELS[0])])
    assert np.array_equal(voxels(other, id, coarse), labelmap[::2, ::2, ::2] > 0)
    assert slicer.util.arrayFromSegmentInternalBinaryLabelmap(other, id) is not None


def test_label_without_a_voxel_makes_no_segment_and_no_state(edited):
    case = edited()
    assert write(case, np.zeros(SHAPE, np.uint8), [target((1,), None, LABELS[0])]) == []
    assert case.editor.saved == 0 and case.node.GetSegmentation().GetNumberOfSegments() == 3


@pytest.mark.parametrize("name", ["edited", "new"])
def test_segment_into_which_the_masks_let_nothing_is_not_made(scene, edited, name):
    from segment_editor import LogicEditor

    case = edited()
    if name == "new":
        case.node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "new")
        case.editor = LogicEditor(scene, case.node, case.volume)
    count = case.node.GetSegmentation().GetNumberOfSegments()
    case.editor.node.SetSourceVolumeIntensityMask(True)
    case.editor.node.SetSourceVolumeIntensityMaskRange(1e6, 2e6)
    assert write(case, blobs(3).astype(np.uint8), [target((1,), None, LABELS[0])]) == []
    assert case.node.GetSegmentation().GetNumberOfSegments() == count


def test_first_segments_of_an_empty_segmentation(scene, make_volume):
    from segment_editor import LogicEditor, voxels

    volume = make_volume(np.zeros(SHAPE, np.int16))
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "new")
    case = SimpleNamespace(volume=volume, node=node, editor=LogicEditor(scene, node, volume))
    labelmap = blobs(3).astype(np.uint8)
    (id,) = write(case, labelmap, [target((1,), None, LABELS[0])])
    assert np.array_equal(voxels(node, id, volume), labelmap > 0)
    assert case.editor.node.GetSelectedSegmentID() == id
    case.editor.logic.Undo()
    assert node.GetSegmentation().GetNumberOfSegments() == 0


@pytest.mark.parametrize("what", ["segment", "volume", "segmentation", "surface"])
def test_what_cannot_be_written_is_refused_before_anything_changes(edited, what):
    case, message = edited(), "removed meanwhile"
    if what == "segment":
        case.node.GetSegmentation().RemoveSegment("target")
    elif what == "volume":
        case.node.GetScene().RemoveNode(case.volume)
    elif what == "segmentation":
        case.node.GetScene().RemoveNode(case.node)
        message = "no segmentation to write to"
    else:
        case.node.CreateClosedSurfaceRepresentation()
        case.node.GetSegmentation().SetSourceRepresentationName("Closed surface")
        message = "does not consist of voxels"
    from MedSegDiffSlicerLib.nodes.modifier_labelmap import write
    from MedSegDiffSlicerLib.nodes.region_of_interest import Box

    with pytest.raises(RequestError, match=message):
        write(case.editor, np.ones(SHAPE, np.uint8), Box((0, 0, 0), SHAPE), case.volume, [target((1,), "target")])
    assert case.editor.saved == 0


def test_labels_find_the_segments_of_their_names_then_of_their_terminology(edited):
    from MedSegDiffSlicerLib.nodes.target_segments import label_of, one_each

    case = edited()
    segmentation = case.node.GetSegmentation()
    segmentation.GetSegment("other").SetTag("TerminologyEntry", LABELS[0].terminology)
    segmentation.GetSegment("hidden").SetName(" Alpha")
    assert [t.segment_id for t in one_each(case.node, LABELS)] == ["hidden", None]
    segmentation.GetSegment("hidden").SetName("gamma")
    assert [t.segment_id for t in one_each(case.node, LABELS)] == ["other", None]
    assert label_of(case.node, "other", LABELS) is LABELS[0]
    assert label_of(case.node, "target", LABELS) is None and label_of(case.node, None, LABELS) is None


@pytest.mark.parametrize(("turned", "mm"), [(False, 500), (True, 500), (False, 1), (False, -3.4), (True, 0)])
def test_what_lies_beyond_the_segmentation_is_refused_before_anything_changes(edited, make_volume, turned, mm):
    from segment_editor import voxels

    case, away = edited(), TURN.copy() if turned else np.eye(4)
    away[0, 3], was = mm, voxels(case.node, "target", case.volume)
    scan, case.volume = case.volume, make_volume(np.zeros(SHAPE, np.int16), away)
    with pytest.raises(RequestError, match="does not reach all that was found"):
        write(case, np.ones(SHAPE, np.uint8), [target((1,), "target")])
    assert case.editor.saved == 0 and np.array_equal(voxels(case.node, "target", scan), was)


@pytest.mark.parametrize("value", [0, 1])
def test_what_is_within_the_segmentation_but_for_a_part_of_a_voxel_is_written(edited, make_volume, value):
    from segment_editor import voxels

    case, moved = edited(), np.eye(4)
    moved[:3, 3], scan = (0.7, -0.7, 0.7), case.volume
    case.volume = make_volume(np.zeros(SHAPE, np.int16), moved)
    assert write(case, np.full(SHAPE, value, np.uint8), [target((1,), "target")]) == ["target"]
    assert voxels(case.node, "target", scan)[1:-1, 1:-1, 1:-1].any() == bool(value)


def test_a_structure_that_is_not_asked_for_may_lie_beyond(edited, make_volume):
    case, moved, labelmap = edited(), np.eye(4), np.zeros(SHAPE, np.uint8)
    moved[0, 3] = -8
    case.volume = make_volume(np.zeros(SHAPE, np.int16), moved)
    labelmap[12:15, 5:8, 5:8], labelmap[:3, 5:8, 5:8] = 1, 2
    assert write(case, labelmap, [target((1,), "target")]) == ["target"]


def test_thick_slices_that_are_cut_are_refused(edited, make_volume):
    case, thick = edited(), np.diag([5.0, 1, 1, 1])
    thick[0, 3] = -0.9  # of the first slice, 3 mm are beyond
    case.volume = make_volume(np.zeros((4, 20, 16), np.int16), thick)
    labelmap = np.zeros((4, 20, 16), np.uint8)
    labelmap[0, 5:8, 5:8] = 1
    with pytest.raises(RequestError, match="does not reach all that was found"):
        write(case, labelmap, [target((1,), "target")])
    labelmap = np.roll(labelmap, 1, 0)
    assert write(case, labelmap, [target((1,), "target")]) == ["target"]


def test_a_segmentation_without_a_voxel_takes_the_grid_of_the_volume(edited, make_volume):
    from segment_editor import voxels

    case, away = edited(), np.eye(4)
    away[0, 3] = 100
    case.volume = make_volume(np.zeros(SHAPE, np.int16), away)
    segmentation, labelmap = case.node.GetSegmentation(), np.zeros(SHAPE, np.uint8)
    segmentation.RemoveAllSegments()
    segmentation.AddEmptySegment("target", "target")
    labelmap[3:6, 5:8, 5:8] = 1
    assert write(case, labelmap, [target((1,), "target")]) == ["target"]
    assert np.array_equal(voxels(case.node, "target", case.volume), labelmap > 0)
