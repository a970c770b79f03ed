"""The review: places, jumps, verdicts, what they write and undo, and that all of it is in the saved scene."""

from __future__ import annotations

import numpy as np
import pytest
from medsegdiff.errors import RequestError
from review_case import GRID, SHAPE, added, controller, labels_of, lib, opinions_at, status_of  # noqa: F401

MOVE = np.array([[0.6, -0.8, 0, 10], [0.8, 0.6, 0, -4], [0, 0, 1, 3], [0, 0, 0, 1]])


@pytest.fixture
def views(scene):
    """Three slice nodes of unlike sizes, as a layout has them."""
    nodes = []
    for name, size in (("Red", (400, 300)), ("Green", (200, 500)), ("Yellow", (0, 0))):
        node = scene.AddNewNodeByClass("vtkMRMLSliceNode", name)
        node.SetLayoutName(name)
        node.SetDimensions(*size, 1)
        node.SetOrientation({"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}[name])
        nodes.append(node)
    return nodes


def mask_of(lib, table, row) -> np.ndarray:
    """(I, J, K) bool, the place's voxels in the whole volume."""
    start, where = lib[1].voxels_of(table, row)
    out = np.zeros(SHAPE, bool)
    out[tuple(slice(low, low + size) for low, size in zip(start, where.shape))] = where
    return out


def test_rows_are_the_regions_of_the_result(lib, scene, added, controller):
    regions = added.result.regions()
    assert len(regions) > 2
    for row, (place, region) in enumerate(zip(controller.places, regions, strict=True)):
        assert (place.structure, place.label, place.voxel) == (region.structure, region.label, region.index)
        assert place.position == pytest.approx(region.position) and place.volume_mm3 == pytest.approx(region.volume_mm3)
        assert place.dice_gain == pytest.approx(region.dice_change) and place.verdict == ""
        assert np.array_equal(np.flatnonzero(mask_of(lib, controller.table, row)), region.at)
    assert lib[0].start(scene, added) is controller.table, "a review that was begun goes on"
    assert controller.table.GetAttribute("MedSegDiff.Model") == "toy"


def test_places_tell_why_no_dice_is_expected(lib, added):
    regions = added.result.regions()
    undiced = next(row for row in added.result.statistics if row["label"] == regions[0].label)
    undiced["expected_dice_withheld"] = "the image is odd"
    found = lib[0].ReviewController(lib[0].start(added.volumeNode.GetScene(), added)).places
    for place, region in zip(found, regions, strict=True):
        assert place.withheld == ("the image is odd" if region.label == regions[0].label else "")
        assert place.dice_gain == pytest.approx(region.dice_change)
    assert len({region.label for region in regions}) > 1


def test_jump_centres_and_frames_every_view(controller, views, scene):
    for row, place in enumerate(controller.places):
        controller.go(row)
        assert controller.current == row
        for node in views[:2]:
            width, height = node.GetDimensions()[:2]
            to_ras = node.GetXYToRAS()
            middle = [to_ras.MultiplyPoint((width / 2, height / 2, 0, 1))[axis] for axis in range(3)]
            assert middle == pytest.approx(place.position, abs=1e-6)
            across, up, _ = node.GetFieldOfView()
            assert min(across, up) == pytest.approx(place.frame) and across / up == pytest.approx(width / height)


def test_next_and_previous_go_round(controller):
    count = len(controller.places)
    rows = []
    for _ in range(count + 1):
        controller.next()
        rows.append(controller.current)
    assert rows == [*range(1, count), 0, 1]
    controller.previous()
    controller.previous()
    assert controller.current == count - 1


def test_the_place_moves_with_the_volume(controller, views, make_transform, added):
    place = controller.places[0]
    for node in (added.volumeNode, added.segmentationNode):
        make_transform(node, MOVE)
    controller.go(0)
    expected = MOVE @ [*place.position, 1]
    at = views[0].GetSliceToRAS()
    assert [at.GetElement(i, 3) for i in range(3)] == pytest.approx(list(expected[:3]))
    (outline,) = [n for n in controller.table.GetScene().GetNodes() if n.GetAttribute("MedSegDiff.Temporary") and
                  n.IsA("vtkMRMLModelNode")]  # fmt: skip
    assert outline.GetTransformNodeID() == added.volumeNode.GetTransformNodeID() is not None


def test_a_volume_that_was_moved_alone_is_refused(controller, make_transform, added):
    make_transform(added.volumeNode, MOVE)
    with pytest.raises(RequestError, match="different transforms"):
        controller.verdict("alternative")


@pytest.mark.parametrize("change", ["origin", "spacing"])
def test_a_volume_that_was_given_another_grid_is_refused(added, controller, change):
    before, volume = labels_of(added), added.volumeNode
    kept = volume.GetOrigin(), volume.GetSpacing()
    volume.SetOrigin(30, -7, 11) if change == "origin" else volume.SetSpacing(3, 3, 2)
    with pytest.raises(RequestError, match="another origin, spacing or direction"):
        controller.verdict("alternative")
    volume.SetOrigin(kept[0]), volume.SetSpacing(kept[1])
    assert np.array_equal(labels_of(added), before)
    assert "voxels changed" in controller.verdict("alternative")


def test_a_transform_hardened_on_both_is_none_any_more(added, controller, make_transform):
    for node in (added.volumeNode, added.segmentationNode):
        make_transform(node, MOVE)
        node.HardenTransform()
    before = labels_of(added)
    assert "voxels changed" in controller.verdict("alternative")
    (row,) = [row for row, place in enumerate(controller.places) if place.verdict]
    from MedSegDiffSlicerLib.review.table import voxels_of

    start, where = voxels_of(controller.table, row)
    assert {tuple(at - start) for at in np.argwhere((labels_of(added) != before).any(0))} <= set(
        map(tuple, np.argwhere(where))
    )


def test_alternative_changes_only_the_place_and_to_what_opinions_say(lib, added, controller):
    before = labels_of(added)
    for row in range(len(controller.places)):
        controller.go(row)
        was, where = labels_of(added), mask_of(lib, controller.table, row)
        text = controller.verdict("alternative")
        now = labels_of(added)
        assert not (now != was)[:, ~where].any()
        assert (now != was)[:, where].any()
        assert f"{np.any(now != was, axis=0).sum()} voxels" in text
        assert now.sum(0).max() == 1, "no voxel belongs to two structures"
        labels = np.where(now.any(0), 1 + now.argmax(0), 0)[where]
        assert any(np.array_equal(labels, one.labels) for one in opinions_at(added, where))
        assert controller.current == row and controller.places[row].verdict == "alternative"
    assert (labels_of(added) != before).any()


@pytest.mark.parametrize("moved", [False, True])
def test_alternative_is_written_where_it_belongs_on_any_grid(
    lib, scene, make_volume, make_result, make_transform, affine, moved
):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    volume = make_volume(np.zeros(SHAPE, np.int16), affine)
    if moved:
        make_transform(volume, MOVE)
    added = add_result(scene, make_result(SHAPE, MOVE @ affine if moved else affine), volume)
    controller = lib[0].ReviewController(lib[0].start(scene, added), added.result)
    controller.go(0)
    was, where = labels_of(added), mask_of(lib, controller.table, 0)
    controller.verdict("alternative")
    now = labels_of(added)
    assert (now != was)[:, where].any() and not (now != was)[:, ~where].any()
    labels = np.where(now.any(0), 1 + now.argmax(0), 0)[where]
    assert any(np.array_equal(labels, one.labels) for one in opinions_at(added, where))


def test_alternative_once_more_pages_through_all_of_them(lib, added, controller):
    where = mask_of(lib, controller.table, 0)
    count = len(opinions_at(added, where))
    controller.go(0)
    seen = []
    for _ in range(count + 1):
        controller.verdict("alternative")
        seen.append(labels_of(added)[:, where].tobytes())
    assert len(set(seen)) == count


def test_repaint_opens_the_editor_at_the_segment(lib, scene, added):
    opened = []
    controller = lib[0].ReviewController(
        lib[0].start(scene, added), added.result, open_editor=lambda *a: opened.append(a) or "Mind 'mine'."
    )
    controller.go(1)
    assert controller.verdict("repaint").endswith("\nMind 'mine'.")
    name = controller.places[1].structure
    segment_id = added.segmentationNode.GetSegmentation().GetSegmentIdBySegmentName(name)
    assert opened == [(added.segmentationNode, added.volumeNode, segment_id)]
    assert controller.painting
    for go_on in (controller.next, controller.take_back, lambda: controller.verdict("accept")):
        go_on()
        assert not controller.painting
        controller.verdict("repaint")
        assert controller.painting
    controller.go(1)
    added.segmentationNode.GetSegmentation().RemoveSegment(segment_id)
    for kind in ("repaint", "alternative"):
        with pytest.raises(RequestError, match="was removed; there is nothing to change"):
            controller.verdict(kind)
    assert controller.name(controller.places[1]) == name


def test_a_place_that_is_accepted_twice_is_taken_back_at_once(controller):
    for _ in range(2):
        controller.go(0)
        controller.verdict("accept")
    controller.take_back()
    assert controller.places[0].verdict == ""


def test_segments_of_the_users_own_that_a_stroke_would_overwrite_are_named(lib, scene, added):
    from MedSegDiffSlicerLib.view.segment_editor import _told_of_others

    node, editor = added.segmentationNode, scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    assert _told_of_others(node, editor) == ""
    mine = node.GetSegmentation().AddEmptySegment("", "mine")
    assert "takes voxels from 'mine', too" in _told_of_others(node, editor)
    node.GetDisplayNode().SetSegmentVisibility(mine, False)
    for mode, told in ((editor.OverwriteAllSegments, True), (editor.OverwriteVisibleSegments, False)):
        editor.SetOverwriteMode(mode)
        assert bool(_told_of_others(node, editor)) is told
    node.GetDisplayNode().SetSegmentVisibility(mine, True)
    assert _told_of_others(node, editor)
    editor.SetOverwriteMode(editor.OverwriteNone)
    assert _told_of_others(node, editor) == ""


def test_accepting_goes_on_to_what_has_no_verdict(controller):
    count = len(controller.places)
    controller.go(count - 1)
    controller.verdict("accept")
    assert controller.current == 0
    controller.go(1)
    controller.verdict("accept")
    controller.go(0)
    controller.verdict("accept")
    assert controller.current == 2 and controller.judged == 3


@pytest.mark.parametrize("masked", [False, True])
def test_masking_and_overwrite_mode_of_the_segment_editor_hold(lib, added, controller, masked):
    import slicer
    from MedSegDiffSlicerLib.nodes.segment_writer import editor_node

    before, where = labels_of(added), mask_of(lib, controller.table, 0)
    mine = added.segmentationNode.GetSegmentation().AddEmptySegment("mine", "mine")
    part = where & (np.indices(SHAPE).sum(0) % 2 == 0)
    voxels = part.astype(np.uint8).T.copy()
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, added.segmentationNode, mine, added.volumeNode)
    settings = editor_node(added.segmentationNode.GetScene())
    settings.SetOverwriteMode(settings.OverwriteNone)
    if masked:
        settings.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
        settings.SetMaskSegmentID(mine)
    controller.go(0)
    controller.verdict("alternative")
    now = labels_of(added)
    changed = (now[:-1] != before).any(0)
    assert np.array_equal(now[-1], part), "another segment was overwritten"
    assert changed[part].any() and not changed[~part if masked else ~where].any()


def test_erasing_stays_inside_the_segment_that_edits_are_allowed_in(lib, added):
    import slicer
    from MedSegDiffSlicerLib.nodes.segment_writer import SegmentWriter, editor_node

    before = labels_of(added)
    part = before[0] & (np.indices(SHAPE).sum(0) % 2 == 0)
    mine = added.segmentationNode.GetSegmentation().AddEmptySegment("mine", "mine")
    voxels = part.astype(np.uint8).T.copy()
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, added.segmentationNode, mine, added.volumeNode)
    settings = editor_node(added.segmentationNode.GetScene())
    settings.SetOverwriteMode(settings.OverwriteNone)
    settings.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
    settings.SetMaskSegmentID(mine)
    nothing = {added.segmentationNode.GetSegmentation().GetNthSegmentID(0): np.zeros(SHAPE, bool)}
    writer = SegmentWriter(added.segmentationNode, added.volumeNode)
    writer.write(nothing, writer.place(np.ones(SHAPE, np.uint8), (0, 0, 0)))
    now = labels_of(added)
    assert np.array_equal(now[0], before[0] & ~part)
    assert np.array_equal(now[-1], part)


def test_intensity_mask_holds(lib, added, controller):
    import slicer
    from MedSegDiffSlicerLib.nodes.segment_writer import editor_node

    before, where = labels_of(added), mask_of(lib, controller.table, 0)
    array = slicer.util.arrayFromVolume(added.volumeNode)
    array[:] = 100 * (np.indices(SHAPE).sum(0) % 2).T
    slicer.util.arrayFromVolumeModified(added.volumeNode)
    settings = editor_node(added.segmentationNode.GetScene())
    settings.SetSourceVolumeIntensityMask(True)
    settings.SetSourceVolumeIntensityMaskRange(50, 150)
    controller.go(0)
    controller.verdict("alternative")
    changed = (labels_of(added) != before).any(0)
    assert changed.any() and not changed[(array.T < 50) | ~where].any()


def test_review_goes_on_after_saving_and_loading(lib, scene, added, controller, tmp_path):
    from MedSegDiffSlicerLib.nodes.scene_result import find_result

    controller.go(0)
    controller.verdict("accept")
    controller.verdict("alternative")
    controller.go(2)
    said, status = [p.verdict for p in controller.places], status_of(added.segmentationNode)
    kept, labels, wheres = controller.places, labels_of(added), [mask_of(lib, controller.table, r) for r in range(4)]
    assert scene.WriteToMRB(str(tmp_path / "review.mrb"))
    scene.Clear(0)
    with pytest.raises(RequestError):
        controller.next()
    assert not controller.is_alive
    assert scene.ReadFromMRB(str(tmp_path / "review.mrb"))
    (table,) = lib[0].reviews(scene)
    again = lib[0].ReviewController(table)
    assert again.is_alive and again.current == 2 and again.judged == 2
    assert [p.verdict for p in again.places] == said == ["accept", "alternative", *[""] * (len(said) - 2)]
    for one, other in zip(again.places, kept, strict=True):
        assert one.position == pytest.approx(other.position, abs=1e-4) and one.voxel == other.voxel
    assert status_of(again.segmentation) == status
    found = find_result(scene, again.segmentation)
    assert np.array_equal(labels_of(found)[:2], labels[:2])
    assert lib[0].start(scene, found) is table
    for row, where in enumerate(wheres):
        assert np.array_equal(mask_of(lib, table, row), where)
    again.verdict("alternative")
    changed = (labels_of(found)[:2] != labels[:2]).any(0)
    assert changed.any() and not changed[~wheres[2]].any()
    names = [node.GetName() for node in scene.GetNodes()]
    assert not [name for name in names if "doubtful place" in name and "places" not in name], "an outline was saved"


@pytest.mark.parametrize("kept", ["probabilities", "samples"])
def test_review_is_begun_anew_from_what_was_saved(lib, scene, added, tmp_path, kept):
    """The opinions' shares are the probabilities here, so that both tell the same places."""
    from MedSegDiffSlicerLib.nodes.scene_result import find_result

    expected = [(region.structure, region.index, region.at.tolist()) for region in added.result.regions()]
    gains = [region.dice_change for region in added.result.regions()]
    for node in [added.samplesSequenceNode] if kept == "probabilities" else added.probabilityVolumeNodes:
        scene.RemoveNode(node)
    name = added.segmentationNode.GetName()
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene.Clear(0)
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    found = find_result(scene, scene.GetFirstNodeByName(name))
    table = lib[0].start(scene, found)
    again = lib[0].ReviewController(table)
    shape = found.volumeNode.GetImageData().GetDimensions()
    told = [
        (p.structure, p.voxel, np.flatnonzero(mask_of(lib, table, row)).tolist()) for row, p in enumerate(again.places)
    ]
    assert told == expected and len(told) > 1 and shape == SHAPE
    assert [place.dice_gain for place in again.places] == pytest.approx(gains, abs=1e-5)
    assert table.GetAttribute("MedSegDiff.Model") == "toy"


def test_segmentations_are_reviewed_apart(lib, scene, make_volume, make_result):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    volume = make_volume(np.zeros(SHAPE, np.int16), GRID)
    both = [add_result(scene, make_result(SHAPE, GRID, seed=seed), volume) for seed in (1, 2)]
    one, two = (lib[0].ReviewController(lib[0].start(scene, each), each.result) for each in both)
    untouched = labels_of(both[1])
    one.go(0)
    one.verdict("alternative")
    assert (one.judged, two.judged) == (1, 0) and np.array_equal(labels_of(both[1]), untouched)
    two.go(0)
    two.verdict("alternative")
    assert np.array_equal(labels_of(both[0]), labels_of(both[1]))
    two.take_back()
    assert np.array_equal(labels_of(both[1]), untouched)
    scene.RemoveNode(both[0].segmentationNode)
    assert not one.is_alive and two.is_alive
    assert lib[0].reviews(scene) == [two.table]


@pytest.mark.parametrize("count", [None, 1])
def test_verdicts_of_before_begin_a_review_of_the_same_places(lib, scene, added, count):
    places = lib[1].findings(added)().rows
    added.verdicts = (["accept", "", "repaint"] + [""] * len(places))[: count or len(places)]
    table = lib[0].start(scene, added)
    expected = added.verdicts if count is None else [""] * len(places)
    assert [place.verdict for place in lib[1].places(table)] == expected


@pytest.mark.parametrize("gone", ["segmentationNode", "volumeNode", "samplesSequenceNode", "table", "map"])
def test_deleted_nodes_end_the_review_with_words(lib, scene, added, controller, gone):
    from MedSegDiffSlicerLib.review.table import PLACES

    reloaded = lib[0].ReviewController(controller.table)  # has the sequence only
    nodes = {"table": controller.table, "map": controller.table.GetNodeReference(PLACES)}
    scene.RemoveNode(nodes.get(gone) or getattr(added, gone))
    with pytest.raises(RequestError, match="removed"):
        reloaded.verdict("alternative")
    if gone in ("samplesSequenceNode", "map"):
        assert reloaded.verdict("accept") == "Accepted."
    else:
        assert not reloaded.is_alive
        with pytest.raises(RequestError, match="removed"):
            reloaded.next()
    reloaded.stop()


def test_stopping_leaves_no_outline(lib, scene, added, ids):
    from MedSegDiffSlicerLib.nodes.segment_writer import editor_node

    table = lib[0].start(scene, added)
    editor_node(scene)
    before = ids(scene)
    controller = lib[0].ReviewController(table, added.result)
    for _ in range(3):
        controller.next()
    assert len(ids(scene)) > len(before)
    controller.stop()
    assert ids(scene) == before


def test_failure_to_start_leaves_the_scene_as_it_was(lib, scene, added, ids, monkeypatch):
    before = ids(scene)
    with monkeypatch.context() as patch:
        patch.setattr(lib[1], "place_beside", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            lib[0].start(scene, added)
    assert ids(scene) == before
    added.result = None
    for node in (added.samplesSequenceNode, *added.probabilityVolumeNodes):
        scene.RemoveNode(node)
    with pytest.raises(RequestError, match="run the model again"):
        lib[0].start(scene, added)


def test_new_run_into_the_segmentation_ends_the_review_of_the_old_one(lib, scene, added, controller, make_result):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    add_result(scene, make_result(SHAPE, GRID), added.volumeNode, segmentation_node=added.segmentationNode)
    assert lib[0].reviews(scene) == [] and not controller.is_alive
    assert scene.GetFirstNodeByName("scan doubtful places") is None


def test_places_of_a_structure_whose_segment_was_removed_are_none(lib, scene, added):
    """Neither of a new result nor of one that came with a scene."""
    from MedSegDiffSlicerLib.nodes.saved_result import regions_source

    assert {region.label for region in regions_source(added)()} == {1, 2}
    added.segmentationNode.GetSegmentation().RemoveSegment(added.segmentationNode.GetSegmentation().GetNthSegmentID(0))
    assert {region.label for region in regions_source(added, 3)()} == {2}
    assert len(regions_source(added, 1)()) == 1


def test_a_segment_that_came_back_is_reviewed_too_and_verdicts_stay(lib, scene, added, ids):
    import slicer

    review, table = lib
    segmentation = added.segmentationNode.GetSegmentation()
    gone, aside = segmentation.GetNthSegmentID(1), slicer.vtkSegmentation()
    assert aside.CopySegmentFromSegmentation(segmentation, gone, True)
    few = table.start(scene, added)
    assert {place.label for place in table.places(few)} == {1} and table.start(scene, added) is few
    table.set_verdict(few, 1, review.ACCEPTED)
    judged, before = table.places(few)[1], ids(scene)
    assert segmentation.CopySegmentFromSegmentation(aside, gone, True)
    every = table.start(scene, added)
    assert {place.label for place in table.places(every)} == {1, 2} and table.start(scene, added) is every
    assert [place.voxel for place in table.places(every) if place.verdict] == [judged.voxel]
    assert table.reviews(scene) == [every] and len(ids(scene)) == len(before), "the one before is gone with its map"
