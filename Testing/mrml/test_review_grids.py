"""The review and the alternatives browser in a segmentation whose grid is not that of the volume under review."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from medsegdiff.errors import RequestError

SHAPE = (24, 20, 16)
GRID = np.array([[3.0, 0, 0, 5], [0, 0, 3.0, -7], [0, -3.0, 0, 11], [0, 0, 0, 1]])
MOVE = np.array([[0.6, -0.8, 0, 10], [0.8, 0.6, 0, -4], [0, 0, 1, 3], [0, 0, 0, 1]])


def scaled(size: float, first: float, turn: float = 0.0) -> np.ndarray:
    """(4, 4) voxels of a segmentation to voxels of the volume.  size, first: in the volume's voxels.  turn: radians."""
    out, cos, sin = np.eye(4), np.cos(turn), np.sin(turn)
    out[:3, :3] = size * np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    out[:3, 3] = first
    return out


def beginning_at(start) -> np.ndarray:
    out = np.eye(4)
    out[:3, 3] = start
    return out


GRIDS = {
    "same": (np.eye(4), SHAPE),
    "finer": (scaled(0.5, -0.25), (48, 40, 32)),
    "coarser": (scaled(1.7, 0.13), (14, 12, 9)),
    "turned": (beginning_at((-3.3, -4.1, -1.2)) @ scaled(0.81, 0.07, 0.3), (44, 44, 24)),
    "part": (beginning_at((3, 4, 2)), (15, 11, 10)),  # just what was found, so that places go beyond it
    "around": (beginning_at((-3, -4, -2)), (30, 28, 20)),
}


@pytest.fixture
def case(scene, make_volume, make_result, make_transform):
    """make(kind, moved): what the effect applied to a segmentation on one of GRIDS, where the user has a segment too.

    moved: volume and segmentation under different transforms."""
    import slicer
    from MedSegDiffSlicerLib.nodes.modifier_labelmap import write
    from MedSegDiffSlicerLib.nodes.nodes_from_result import ResultAdding
    from MedSegDiffSlicerLib.nodes.region_of_interest import whole
    from MedSegDiffSlicerLib.nodes.target_segments import one_each
    from segment_editor import LogicEditor

    def make(kind: str, moved: bool = False) -> SimpleNamespace:
        to_volume, shape = GRIDS[kind]
        affine = MOVE @ GRID @ to_volume if moved else GRID @ to_volume
        reference = make_volume(np.zeros(shape, np.int16), affine, "reference")
        volume = make_volume(np.full(SHAPE, 50, np.int16), GRID)
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
        if moved:
            make_transform(volume, MOVE)
        node.GetSegmentation().AddEmptySegment("user", "user")
        checker = (np.indices(shape).sum(0) % 2).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(checker.T.copy(), node, "user", reference)
        editor = LogicEditor(scene, node, volume)
        editor.node.SetOverwriteMode(editor.node.OverwriteNone)
        result = make_result(SHAPE, MOVE @ GRID if moved else GRID)
        write(editor, result.labelmap, whole(volume), volume, one_each(node, result.labels))
        adding = ResultAdding(scene, result, volume, node, probabilities=False, written=True)
        while not adding.step():
            pass
        centres = np.indices(shape).reshape(3, -1)
        at = np.floor(to_volume[:3, :3] @ centres + to_volume[:3, 3:] + 0.5).astype(int)
        return SimpleNamespace(
            volume=volume, node=node, reference=reference, at=at, shape=shape, added=adding.added, result=result
        )

    return make


def segments_of(case) -> dict[str, np.ndarray]:
    """Segment ID to (I, J, K) bool on the segmentation's own grid."""
    from segment_editor import all_voxels

    return all_voxels(case.node, case.reference)


def spacings_of(case) -> set:
    segmentation = case.node.GetSegmentation()
    images = [segmentation.GetSegment(id).GetRepresentation("Binary labelmap") for id in segmentation.GetSegmentIDs()]
    return {tuple(np.round(image.GetSpacing(), 6)) for image in images if not image.IsEmpty()}


def inside(case, mask: np.ndarray) -> np.ndarray:
    """(I, J, K) bool on the segmentation's grid: whose centres lie in voxels of a mask on the volume's."""
    beyond = ((case.at < 0) | (case.at >= np.array(SHAPE)[:, None])).any(0)
    i, j, k = np.where(beyond, 0, case.at)
    return (mask[i, j, k] & ~beyond).reshape(case.shape)


def place_of(case, table, row: int) -> np.ndarray:
    """(I, J, K) bool on the segmentation's grid."""
    from MedSegDiffSlicerLib.review.table import voxels_of

    start, where = voxels_of(table, row)
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(low, low + size) for low, size in zip(start, where.shape))] = where
    return inside(case, mask)


def controller_of(scene, added):
    from MedSegDiffSlicerLib.review.review import ReviewController, start

    return ReviewController(start(scene, added), added.result)


def changed_between(before: dict, after: dict) -> np.ndarray:
    return np.any([before[id] != after[id] for id in before], axis=0)


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and not changed_between(one, other).any()


KINDS = [(kind, moved) for kind in GRIDS for moved in (False, True)]


@pytest.mark.parametrize("kind, moved", KINDS)
def test_verdict_changes_the_place_alone_and_is_taken_back(scene, case, kind, moved):
    from MedSegDiffSlicerLib.nodes.opinions import Opinions

    case = case(kind, moved)
    controller, first, spacings = controller_of(scene, case.added), segments_of(case), spacings_of(case)
    opinions, written = Opinions.of(case.result, None), 0
    for row in range(len(controller.places)):
        controller.go(row)
        where, before = place_of(case, controller.table, row), segments_of(case)
        try:
            text = controller.verdict("alternative")
        except RequestError as error:  # the opinions may differ in less than this segmentation can show
            assert kind in ("coarser", "part") and "accept" in str(error)
            continue
        written += 1
        after = segments_of(case)
        changed = changed_between(before, after)
        assert changed.any() and not changed[~where].any() and f"{changed.sum()} voxels" in text
        at = np.ravel_multi_index(case.at[:, where.ravel()], SHAPE)
        said = [{id: one.labels == value for value, id in ((1, "alpha"), (2, "beta"))} for one in opinions.at(at)]
        assert any(all(np.array_equal(after[id][where], one[id]) for id in one) for one in said)
        controller.take_back()
        assert same(segments_of(case), before) and controller.places[row].verdict == ""
        controller.verdict("alternative")
    assert written > 1 and len(controller._said) == written
    for _ in range(written):
        controller.take_back()
    assert same(segments_of(case), first) and spacings_of(case) == spacings


@pytest.mark.parametrize("kind", ["finer", "turned"])
def test_what_the_segment_editor_undid_is_noticed(scene, case, kind):
    case = case(kind)
    controller, first = controller_of(scene, case.added), segments_of(case)
    controller.go(0)
    controller.verdict("alternative")
    assert controller.notice_undo() == "" and controller.judged == 1
    controller.writer.logic.Undo()
    assert same(segments_of(case), first)
    assert "undone" in controller.notice_undo() and controller.judged == 0


@pytest.mark.parametrize("kind", ["finer", "coarser"])
def test_other_opinion_pages_through_all_of_them(scene, case, kind):
    from MedSegDiffSlicerLib.nodes.opinions import Opinions

    case = case(kind)
    controller = controller_of(scene, case.added)
    controller.go(0)
    where = place_of(case, controller.table, 0)
    at = np.ravel_multi_index(case.at[:, where.ravel()], SHAPE)
    count, seen = len(Opinions.of(case.result, None).at(at)), []
    for _ in range(count + 1):
        controller.verdict("alternative")
        after = segments_of(case)
        seen.append(after["alpha"].tobytes() + after["beta"].tobytes())
    assert len(set(seen)) == count > 1


@pytest.mark.parametrize("mask", ["intensity", "segment", "segment and intensity", "outside"])
@pytest.mark.parametrize("kind, moved", [("finer", False), ("turned", True)])
def test_masks_hold(scene, case, kind, moved, mask):
    import slicer
    from MedSegDiffSlicerLib.nodes.segment_writer import editor_node

    case = case(kind, moved)
    half = np.arange(SHAPE[0])[:, None, None] >= 10
    voxels = np.broadcast_to(np.where(half, 100, 0), SHAPE).T.astype(np.int16)
    slicer.util.updateVolumeFromArray(case.volume, voxels.copy())
    settings, segmentation = editor_node(scene), slicer.vtkMRMLSegmentationNode
    settings.SetOverwriteMode(settings.OverwriteNone)
    editable = np.ones(case.shape, bool)
    if "intensity" in mask:
        settings.SetSourceVolumeIntensityMask(True)
        settings.SetSourceVolumeIntensityMaskRange(50, 150)
        x = (GRIDS[kind][0] @ np.vstack([np.indices(case.shape).reshape(3, -1), np.ones(np.prod(case.shape))]))[0]
        editable &= (x >= 9.5).reshape(case.shape)
    checker = segments_of(case)["user"]
    if "segment" in mask:
        settings.SetMaskMode(segmentation.EditAllowedInsideSingleSegment)
        settings.SetMaskSegmentID("user")
        editable &= checker
    if mask == "outside":
        settings.SetMaskMode(segmentation.EditAllowedOutsideAllSegments)
        editable &= ~checker
    controller, (changed, where) = controller_of(scene, case.added), np.zeros((2, *case.shape), bool)
    for row in range(len(controller.places)):
        before = segments_of(case)
        controller.go(row)
        where |= place_of(case, controller.table, row)
        try:
            controller.verdict("alternative")
        except RequestError as error:
            assert "masking settings leave nothing" in str(error)
            continue
        after = segments_of(case)
        assert np.array_equal(after["user"], before["user"])
        changed |= changed_between(before, after)
        controller.take_back()
        assert same(segments_of(case), before)
        controller.verdict("alternative")
    assert changed.any() and not changed[~(editable & where)].any()


@pytest.mark.parametrize("kind", ["finer", "turned"])
@pytest.mark.parametrize("mode", ["OverwriteAllSegments", "OverwriteVisibleSegments", "OverwriteNone"])
def test_overwrite_mode_holds_and_what_was_overwritten_comes_back(scene, case, kind, mode):
    from MedSegDiffSlicerLib.nodes.segment_writer import editor_node

    case = case(kind)
    settings, first = editor_node(scene), segments_of(case)
    settings.SetOverwriteMode(getattr(settings, mode))
    if mode == "OverwriteVisibleSegments":
        case.node.GetDisplayNode().SetSegmentVisibility("user", False)
    controller, overwritten = controller_of(scene, case.added), 0
    for row in range(len(controller.places)):
        controller.go(row)
        before = segments_of(case)
        controller.verdict("alternative")
        after = segments_of(case)
        gained = (after["alpha"] & ~before["alpha"]) | (after["beta"] & ~before["beta"])
        lost = before["user"] & ~after["user"]
        assert np.array_equal(lost, before["user"] & gained if mode == "OverwriteAllSegments" else np.zeros_like(lost))
        overwritten += lost.sum()
        controller.take_back()
        assert same(segments_of(case), before)
        assert settings.GetOverwriteMode() == getattr(settings, mode)
    assert (overwritten > 0) == (mode == "OverwriteAllSegments") and same(segments_of(case), first)


@pytest.mark.parametrize("kind, moved", KINDS)
def test_taken_alternative_is_on_the_segmentations_own_grid(scene, case, kind, moved):
    from MedSegDiffSlicerLib.nodes.opinions import Opinions
    from MedSegDiffSlicerLib.nodes.segment_writer import editor_node
    from MedSegDiffSlicerLib.view.alternatives import AlternativesBrowser, choices_of

    case = case(kind, moved)
    editor_node(scene).SetOverwriteMode(editor_node(scene).OverwriteNone)
    choices = choices_of(Opinions.of(case.result, None))
    browser = AlternativesBrowser(choices, case.node, case.volume, SimpleNamespace(ask=lambda *_: None))
    spacings = spacings_of(case)
    for number in range(-4, 0):
        browser.show(number)
        before, sample = segments_of(case), case.result.samples[number]
        count = browser.take()
        after = segments_of(case)
        for value, segment_id in ((1, "alpha"), (2, "beta")):
            assert np.array_equal(after[segment_id], inside(case, sample == value))
        assert np.array_equal(after["user"], before["user"]) and spacings_of(case) == spacings
        assert count == changed_between(before, after).sum() and browser.take() == 0
        if count:
            browser.writer.logic.Undo()
            assert same(segments_of(case), before)
            browser.writer.logic.Redo()
            assert same(segments_of(case), after)


def test_what_masks_let_be_taken_back_in_part_only_is_not_called_taken_back(scene, case):
    """The verdict makes the segment smaller that edits are allowed in."""
    import slicer
    from MedSegDiffSlicerLib.nodes.segment_writer import editor_node

    case = case("finer")
    controller, settings, first = controller_of(scene, case.added), editor_node(scene), segments_of(case)
    settings.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
    settings.SetMaskSegmentID("user")
    controller.go(0)
    controller.verdict("alternative")
    assert (first["user"] & ~segments_of(case)["user"]).any()
    with pytest.raises(RequestError, match="masking"):
        controller.take_back()
    assert controller.judged == 1
    settings.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere)
    controller.take_back()
    assert controller.judged == 0 and same(segments_of(case), first)


def test_segments_on_the_volumes_grid_in_a_finer_segmentation(scene, make_volume, make_result):
    """They become finer with the first edit, as any does that; none but the place changes."""
    import slicer
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result
    from segment_editor import all_voxels

    volume, (to_volume, shape) = make_volume(np.zeros(SHAPE, np.int16), GRID), GRIDS["finer"]
    added = add_result(scene, make_result(SHAPE, GRID), volume)
    reference = make_volume(np.zeros(shape, np.int16), GRID @ to_volume, "reference")
    added.segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    added.segmentationNode.GetSegmentation().AddEmptySegment("user", "user")
    checker = (np.indices(shape).sum(0) % 2).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(checker.T.copy(), added.segmentationNode, "user", reference)
    controller, first = controller_of(scene, added), all_voxels(added.segmentationNode, reference)
    for row in range(len(controller.places)):
        controller.go(row)
        controller.verdict("alternative")
        controller.take_back()
    assert same(all_voxels(added.segmentationNode, reference), first) and first["user"].sum() == checker.sum()


def test_segments_finer_than_the_segmentations_grid_are_not_made_coarse(scene, make_volume, make_result):
    """A run on a finer scan than the segmentation was made for, whose geometry stays for its other segments."""
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result
    from segment_editor import all_voxels

    volume, (to_volume, shape) = make_volume(np.zeros(SHAPE, np.int16), GRID), GRIDS["coarser"]
    added = add_result(scene, make_result(SHAPE, GRID), volume)
    reference = make_volume(np.zeros(shape, np.int16), GRID @ to_volume, "reference")
    added.segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    controller, first = controller_of(scene, added), all_voxels(added.segmentationNode, volume)
    controller.go(0)
    with pytest.raises(RequestError, match="coarser voxels"):
        controller.verdict("alternative")
    assert same(all_voxels(added.segmentationNode, volume), first) and controller.judged == 0
    added.segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    assert "voxels changed" in controller.verdict("alternative")


def test_grid_that_was_changed_since_is_not_written_on(scene, case, make_volume):
    case = case("finer")
    controller = controller_of(scene, case.added)
    controller.go(0)
    controller.verdict("alternative")
    coarse = make_volume(np.zeros((12, 10, 8), np.int16), GRID @ scaled(2, 0.5), "coarse")
    case.node.SetReferenceImageGeometryParameterFromVolumeNode(coarse)
    before = segments_of(case)
    with pytest.raises(RequestError, match="another size or place"):
        controller.take_back()
    assert same(segments_of(case), before) and controller.judged == 1


def test_review_of_what_was_applied_under_another_transform(scene, case, make_transform):
    """It lies right until volume or segmentation is moved."""
    case = case("finer", moved=True)
    controller, transform = controller_of(scene, case.added), case.volume.GetParentTransformNode()
    controller.go(0)
    assert controller.verdict("accept") == "Accepted."
    case.volume.SetAndObserveTransformNodeID(None)
    with pytest.raises(RequestError, match="different transforms"):
        controller.verdict("alternative")
    case.volume.SetAndObserveTransformNodeID(transform.GetID())
    far = np.eye(4)
    far[:3, 3] = 20, 0, 0
    above = make_transform(transform, far)
    with pytest.raises(RequestError, match="different transforms"):
        controller.verdict("alternative")
    case.node.SetAndObserveTransformNodeID(above.GetID())
    assert "voxels changed" in controller.verdict("alternative"), "both were moved alike"


def test_review_is_begun_anew_from_what_was_saved(scene, case):
    """By segments under another transform than the volume."""
    from MedSegDiffSlicerLib.review.review import start

    case = case("finer", moved=True)
    expected = [region.at.tolist() for region in case.result.regions()]
    case.added.result = None
    table = start(scene, case.added)
    for row, at in enumerate(expected):
        mask = np.zeros(SHAPE, bool)
        mask.ravel()[at] = True
        assert np.array_equal(place_of(case, table, row), inside(case, mask))


@pytest.mark.parametrize("undone", [False, True])
def test_position_is_kept_with_the_segments(scene, case, make_transform, undone):
    """Applied again after volume and segmentation came under one transform, and that undone."""
    from MedSegDiffSlicerLib.nodes.modifier_labelmap import write
    from MedSegDiffSlicerLib.nodes.region_of_interest import whole
    from MedSegDiffSlicerLib.nodes.relative_position import was_moved
    from MedSegDiffSlicerLib.nodes.target_segments import one_each
    from segment_editor import LogicEditor

    case = case("around", moved=True)
    assert not was_moved(case.node, ["alpha", "beta"], case.volume)
    case.node.SetAndObserveTransformNodeID(case.volume.GetTransformNodeID())
    assert was_moved(case.node, ["alpha", "beta"], case.volume)
    editor = LogicEditor(scene, case.node, case.volume)
    centre = np.zeros(SHAPE, np.uint8)
    centre[8:16, 6:14, 5:11] = 1
    case.node.SetReferenceImageGeometryParameterFromVolumeNode(case.volume)
    write(editor, centre, whole(case.volume), case.volume, one_each(case.node, case.result.labels))
    if undone:
        editor.logic.Undo()
    assert was_moved(case.node, ["alpha", "beta"], case.volume) == undone
