"""Uncertainty in view: measures, threshold, legend, alternatives and contour fan; the pictures are looked at."""

from __future__ import annotations

import math
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from medsegdiff.errors import RequestError
from MedSegDiffSlicerLib.jobs.background import Background

SHAPE = (24, 20, 16)
K = 7


@pytest.fixture
def volume(make_volume):
    rng = np.random.default_rng(5)
    volume = make_volume(rng.integers(90, 110, SHAPE).astype(np.int16))
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevelMinMax(0, 200)
    return volume


@pytest.fixture
def added(scene, volume, make_result):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    return add_result(scene, make_result(SHAPE), volume)


@pytest.fixture
def view(scene, added):
    from MedSegDiffSlicerLib.view.uncertainty_view import UncertaintyView

    return UncertaintyView(scene, added, Background(patience=60))


@pytest.fixture
def composites(scene):
    return [scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode") for _ in range(2)]


def labels_of(added) -> np.ndarray:
    """(I, J, K) label values, from the segments."""
    import slicer

    segmentation, out = added.segmentationNode.GetSegmentation(), np.zeros(SHAPE, np.uint8)
    for value, segment_id in enumerate(segmentation.GetSegmentIDs(), 1):
        array = slicer.util.arrayFromSegmentBinaryLabelmap(added.segmentationNode, segment_id, added.volumeNode)
        out[array.T > 0] = value
    return out


def browser_of(added):
    from MedSegDiffSlicerLib.nodes.opinions import Opinions
    from MedSegDiffSlicerLib.view.alternatives import AlternativesBrowser, choices_of

    choices = choices_of(Opinions.of(added.result, None))
    return AlternativesBrowser(choices, added.segmentationNode, added.volumeNode, Background(patience=60))


def keep(slice_view, name: str) -> None:
    """Copies a picture to where a person looks at it, if $MEDSEGDIFF_SCREENSHOTS is set."""
    folder = os.environ.get("MEDSEGDIFF_SCREENSHOTS")
    if folder:
        shutil.copy(slice_view.folder / f"{name}.png", Path(folder))


def test_measures_are_added_when_asked_for_and_shown_one_at_a_time(scene, view, added, composites):
    import slicer

    assert view.measures() == ["entropy", "expected-entropy", "mutual-information", "variance"]
    shown = []
    for measure in (*view.measures(), "entropy"):
        view.show(measure)
        (node_id,) = {composite.GetForegroundVolumeID() for composite in composites}
        node = scene.GetNodeByID(node_id)
        assert node is view.map_node and node.GetAttribute("MedSegDiff.Model") == "toy"
        assert np.array_equal(slicer.util.arrayFromVolume(node).T, added.result.uncertainty(measure))
        shown.append(node_id)
    assert shown[0] == shown[-1] and len(set(shown)) == 4
    assert len(added.uncertaintyVolumeNodes) == 4
    view.hide()
    assert {composite.GetForegroundVolumeID() for composite in composites} == {None}


def test_opacity_and_threshold_reach_the_views(view, composites):
    view.show("entropy")
    view.set_opacity(0.35)
    view.set_threshold(0.25)
    assert {composite.GetForegroundOpacity() for composite in composites} == {0.35}
    display = view.map_node.GetDisplayNode()
    assert display.GetApplyThreshold() and display.GetLowerThreshold() == 0.25
    assert display.GetUpperThreshold() > 1
    assert view.threshold == 0.25
    view.set_threshold(0.0)
    assert view.threshold == 0 and display.GetLowerThreshold() == 0


def test_a_map_that_was_removed_is_made_anew_or_refused(scene, view, added, composites):
    from MedSegDiffSlicerLib.nodes.scene_result import find_result
    from MedSegDiffSlicerLib.view.uncertainty_view import UncertaintyView

    view.show("entropy")
    scene.RemoveNode(view.map_node)
    view.hide()
    view.show("entropy")
    assert view.map_node is not None
    loaded = UncertaintyView(scene, find_result(scene, added.segmentationNode), Background(patience=60))
    assert loaded.measures() == ["entropy"]
    with pytest.raises(RequestError, match="variance"):
        loaded.show("variance")
    scene.RemoveNode(added.volumeNode)
    assert view.measures() == ["entropy"]


def test_a_view_begins_with_what_the_slice_views_show(scene, view, added, composites):
    from MedSegDiffSlicerLib.nodes.scene_result import find_result
    from MedSegDiffSlicerLib.view.uncertainty_view import UncertaintyView

    def state() -> tuple:
        fresh = UncertaintyView(scene, find_result(scene, added.segmentationNode), Background(patience=60))
        return fresh.visible, fresh.measure

    assert state() == (False, "entropy")
    view.show("variance")
    assert state() == (True, "variance")
    view.hide()
    assert state() == (False, "entropy")


def test_colours_span_what_a_measure_can_be(scene, view, added, composites):
    """A voxel that half of the opinions give to a structure, and half to another one or none: ln 2 of the ln 4 nats
    that the entropy of background and three structures can be; where the colours are of disagreement, the brightest."""
    half = (np.abs(added.result.probability - 0.5) < 1e-6).any(0)
    assert len(added.result.labels) == 3
    for measure, least in (("entropy", 0.49), ("variance", 0.99)):
        view.show(measure)
        display = view.map_node.GetDisplayNode()
        low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
        assert (low, high) == pytest.approx(view.range)
        shown = (added.result.uncertainty(measure)[half] - low) / (high - low)
        assert half.any() and (shown > least).all()
        assert high == pytest.approx(math.log(4)) or measure != "entropy"


def test_legend_comes_and_goes_without_leftovers(scene, view, composites, ids):
    view.show("entropy")
    before = ids(scene)
    view.set_legend(True)
    legends = [node for node in scene.GetNodes() if node.IsA("vtkMRMLColorLegendDisplayNode")]
    assert [legend.GetTitleText() for legend in legends] == ["entropy [nats]"] and legends[0].GetVisibility()
    view.show("entropy")
    assert len(ids(scene)) == len(before) + 1
    view.set_legend(False)
    assert ids(scene) == before
    view.set_legend(True)
    view.hide()
    assert ids(scene) == before
    view.show("variance")
    legends = [node for node in scene.GetNodes() if node.IsA("vtkMRMLColorLegendDisplayNode")]
    assert [legend.GetTitleText() for legend in legends] == ["variance\ntop: or more"]


def test_browser_pages_through_alternatives_and_opinions(scene, added, ids):
    before = ids(scene)
    browser = browser_of(added)
    titles = [browser.next().title for _ in browser.choices]
    assert titles[-4:] == [f"Opinion {number} of 4" for number in (1, 2, 3, 4)]
    assert browser.next().title == titles[0] and browser.previous().title == titles[-1]
    for number in range(4):
        choice = browser.choices[len(browser.choices) - 4 + number]
        assert np.array_equal(choice.labelmap(), added.result.samples[number]) and choice.probability == 0.25
    browser.hide()
    assert ids(scene) == before


def test_alternatives_come_with_their_probability(scene, added, make_result):
    from MedSegDiffSlicerLib.view.alternatives import choices_of
    from MedSegDiffSlicerLib.nodes.opinions import Opinions
    from medsegdiff.uncertainty.packing import pack_labelmap

    one, two = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    one[3:10, 4:15, 2:12], two[3:18, 4:15, 2:12] = 1, 1
    packed = np.stack([pack_labelmap(each, 3) for each in (one, one, two, one)])
    choices = choices_of(Opinions(packed, SHAPE, np.full(4, 0.25)))
    assert [choice.title for choice in choices[:2]] == ["Alternative 1 of 2", "Alternative 2 of 2"]
    assert [choice.probability for choice in choices[:2]] == [0.75, 0.25] and len(choices) == 6
    assert np.array_equal(choices[1].labelmap(), two)


def test_taken_opinion_is_what_the_segments_are_and_can_be_undone(scene, added):
    states = [labels_of(added)]
    browser = browser_of(added)
    with pytest.raises(RequestError, match="choose one"):
        browser.take()
    for number in range(-4, 0):
        browser.show(number)
        was = states[-1]
        assert browser.take() == np.count_nonzero(labels_of(added) != was)
        assert np.array_equal(labels_of(added), added.result.samples[number])
        assert browser.take() == 0
        if (labels_of(added) != was).any():  # two samples may be equal
            states.append(labels_of(added))
    assert len(states) > 3
    for state in reversed(states[:-1]):
        browser.writer.logic.Undo()
        assert np.array_equal(labels_of(added), state)
    scene.RemoveNode(added.segmentationNode)
    with pytest.raises(RequestError, match="removed"):
        browser.take()


def test_opinions_of_a_loaded_scene_are_the_same(scene, added):
    from MedSegDiffSlicerLib.nodes.opinions import Opinions, keep_weights

    weights = np.array([0.4, 0.3, 0.2, 0.1])
    keep_weights(added.samplesSequenceNode, weights)
    loaded = Opinions.of(None, added.samplesSequenceNode)
    assert loaded.weights == pytest.approx(weights) and len(loaded) == 4 and loaded.shape == SHAPE
    for number in range(4):
        assert np.array_equal(loaded.labelmap(number), added.result.samples[number])
    scene.RemoveNode(added.samplesSequenceNode)
    assert Opinions.of(None, added.samplesSequenceNode) is None


def test_opinions_that_found_nothing_are_read_from_a_loaded_scene(scene, added):
    """Also those of a volume plot."""
    import slicer
    from MedSegDiffSlicerLib.nodes.opinions import Opinions
    from MedSegDiffSlicerLib.nodes.saved_result import sample_volumes
    from MedSegDiffSlicerLib.view.alternatives import choices_of

    for number in range(4):
        slicer.util.arrayFromVolume(added.samplesSequenceNode.GetNthDataNode(number))[:] = 0
    loaded = Opinions.of(None, added.samplesSequenceNode)
    assert len(loaded) == 4 and not any(loaded.labelmap(number).any() for number in range(4))
    assert [choice.labelmap().any() for choice in choices_of(loaded)] == [False] * 4
    added.result = None
    assert not sample_volumes(added).any()


def test_of_many_opinions_the_fan_draws_some_of_each_model(scene, added, monkeypatch):
    from MedSegDiffSlicerLib.nodes.opinions import Opinions
    from MedSegDiffSlicerLib.view.contour_fan import drawn, show_fan

    assert drawn(1) == [0] and drawn(16) == [*range(16)] and drawn(0) == []
    read, few = [], Opinions.of(added.result, None)
    many = Opinions(few.packed[np.arange(24) % 4], few.shape, np.full(24, 1 / 24))
    found = added.result.labelmap
    monkeypatch.setattr(Opinions, "labelmap", lambda self, number: (read.append(number), found)[1])
    show_fan(scene, many, added.segmentationNode, added.volumeNode, Background(patience=60))
    assert read == drawn(24) and len(set(read)) == 16
    assert [np.count_nonzero(np.array(read) // 8 == model) for model in range(3)] == [5, 6, 5]


def test_fan_comes_and_goes_without_leftovers_and_is_not_saved(scene, added, ids, tmp_path):
    from MedSegDiffSlicerLib.view.contour_fan import hide_fan, show_fan
    from MedSegDiffSlicerLib.nodes.opinions import Opinions

    assert scene.WriteToMRB(str(tmp_path / "before.mrb"))  # gives storage nodes to what has none yet
    before = ids(scene)
    for _ in range(2):
        show_fan(
            scene, Opinions.of(added.result, None), added.segmentationNode, added.volumeNode, Background(patience=60)
        )
    nodes = [n for n in scene.GetNodes() if n.GetAttribute("MedSegDiff.Temporary") and n.IsA("vtkMRMLModelNode")]
    colors = [tuple(channel / 255 for channel in label.color) for label in added.result.labels[:2]]
    assert [node.GetDisplayNode().GetColor() for node in nodes] == [pytest.approx(color) for color in colors]
    assert all(node.GetHideFromEditors() for node in nodes)
    assert len(ids(scene)) == len(before) + 4  # a node and its display node for each structure that has voxels
    assert scene.WriteToMRB(str(tmp_path / "fan.mrb"))
    hide_fan(scene)
    assert ids(scene) == before
    scene.Clear(0)
    assert scene.ReadFromMRB(str(tmp_path / "fan.mrb"))
    assert not [node.GetName() for node in scene.GetNodes() if node.GetAttribute("MedSegDiff.Temporary")]


def test_pictures(scene, slice_view, added, volume, view):
    from MedSegDiffSlicerLib.view.contour_fan import hide_fan, show_fan
    from MedSegDiffSlicerLib.nodes.opinions import Opinions
    from MedSegDiffSlicerLib.review.review import ReviewController, start

    entropy = added.result.uncertainty("entropy")[:, :, K]
    bare = slice_view(volume, K, "segments")
    added.segmentationNode.GetDisplayNode().SetVisibility(False)
    grey = slice_view(volume, K, "grey")
    view.set_threshold(0.5)
    view.set_legend(True)
    view.show("entropy")
    mapped = slice_view(volume, K, "threshold")
    places = [(i, j) for i in range(7, 23) for j in range(1, SHAPE[1] - 1)]  # beside the legend
    changed = {at for at in places if np.abs(mapped(*at) - grey(*at)).max() > 2}
    keep(slice_view, "threshold")
    assert changed == {at for at in places if entropy[at] > 0.5} and changed
    view.hide()
    show_fan(scene, Opinions.of(added.result, None), added.segmentationNode, volume, Background(patience=60))
    slice_view(volume, K, "fan")
    began = time.perf_counter()
    for k in range(3, 13):
        slice_view(volume, k, "fan-moving")
    print(f"MEASURED a slice with the contour fan of 4 samples: {(time.perf_counter() - began) / 10:.3f} s")
    hide_fan(scene)
    assert all(np.array_equal(slice_view(volume, K, "grey-again")(*at), grey(*at)) for at in places)
    added.segmentationNode.GetDisplayNode().SetVisibility(True)
    controller = ReviewController(start(scene, added), added.result)
    controller.go(0)
    slice_view(None, K, "place")
    controller.verdict("alternative")
    slice_view(None, K, "place-alternative")
    controller.stop()
    assert all(np.isfinite(bare(*at)).all() for at in places)
    for name in ("segments", "threshold", "fan", "place", "place-alternative"):
        keep(slice_view, name)


def test_a_map_that_is_hidden_before_it_is_there_is_not_added(scene, added, composites, ids):
    from MedSegDiffSlicerLib.view.uncertainty_view import UncertaintyView

    background = Background(patience=0)
    view = UncertaintyView(scene, added, background)
    view.show("entropy")
    while background.busy:
        background.deliver()
    before = ids(scene)
    assert {composite.GetForegroundVolumeID() for composite in composites} == {view.map_node.GetID()}
    view.show("variance")
    assert {composite.GetForegroundVolumeID() for composite in composites} != {None}, "the map before stays meanwhile"
    view.hide()
    while background.busy:
        background.deliver()
    time.sleep(0.1)
    background.deliver()
    assert ids(scene) == before and {composite.GetForegroundVolumeID() for composite in composites} == {None}
