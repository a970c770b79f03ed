"""A result on a part of a volume is the same thing on the whole of it."""

from __future__ import annotations

import numpy as np
import pytest

SHAPE, WHOLE = (24, 20, 16), (30, 31, 22)
START = (4, 7, 3)
GRID = np.array([[-1.5, 0, 0, 20], [0, 0.8, 0.1, -7], [0, -0.1, 2.5, 3], [0, 0, 0, 1.0]])


@pytest.fixture
def placed(scene, make_result):
    from MedSegDiffSlicerLib.nodes.placed_result import PlacedResult
    from MedSegDiffSlicerLib.nodes.region_of_interest import Box

    affine = GRID.copy()
    affine[:3, 3] += GRID[:3, :3] @ START
    box = Box(START, tuple(low + size for low, size in zip(START, SHAPE)))
    return PlacedResult(make_result(SHAPE, affine), box, WHOLE, frozenset({1, 2}))


def part(array: np.ndarray) -> np.ndarray:
    """What is in the box."""
    return array[tuple(slice(low, low + size) for low, size in zip(START, SHAPE))]


def test_arrays_lie_in_the_box_and_nothing_outside(placed):
    from MedSegDiffSlicerLib.nodes.opinions import Opinions

    opinions = Opinions(placed.packed_samples, WHOLE, placed.weights)
    pairs = [
        (placed.labelmap, placed.result.labelmap),
        (placed.uncertainty("variance"), placed.result.uncertainty("variance")),
    ]
    pairs += [(opinions.labelmap(number), sample) for number, sample in enumerate(placed.result.samples)]
    for whole, original in pairs:
        assert whole.shape == WHOLE and np.array_equal(part(whole), original)
        assert np.count_nonzero(whole) == np.count_nonzero(original) > 0
    assert np.allclose(placed.affine, GRID)


def test_places_are_those_of_the_chosen_structures(placed):
    original = [region for region in placed.result.regions() if region.label in (1, 2)]
    found = placed.regions()
    assert len(found) == len(original) > 1
    for region, before in zip(found, original):
        assert region.position == before.position
        assert np.allclose(GRID[:3, :3] @ region.index + GRID[:3, 3], region.position)
        mask = np.zeros(WHOLE, bool)
        mask.reshape(-1)[region.at] = True
        assert np.array_equal(np.flatnonzero(part(mask)), before.at) and mask[region.index]
    assert [label.name for label in placed.labels] == [row["name"] for row in placed.statistics] == ["alpha", "beta"]
    assert np.array_equal(placed.sample_volumes, placed.result.sample_volumes[:, :2])


def test_nodes_are_added_to_segments_that_were_written(scene, placed, make_volume, ids):
    import slicer
    from MedSegDiffSlicerLib.nodes.nodes_from_result import ResultAdding

    volume = make_volume(np.zeros(WHOLE, np.int16), GRID)
    written = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    written.CreateDefaultDisplayNodes()
    written.GetSegmentation().AddEmptySegment("one", "one")
    before = ids(scene)
    adding = ResultAdding(scene, placed, volume, written, probabilities=False, written=True)
    for _ in range(3):
        adding.step()
    adding.undo()
    assert ids(scene) == before
    adding = ResultAdding(scene, placed, volume, written, probabilities=False, written=True)
    while not adding.step():
        pass
    added = adding.added
    assert added.segmentationNode is written and list(written.GetSegmentation().GetSegmentIDs()) == ["one"]
    assert added.samplesSequenceNode.GetNumberOfDataNodes() == 4 and added.probabilityVolumeNodes == []
    sample = slicer.util.arrayFromVolume(added.samplesSequenceNode.GetNthDataNode(1)).T
    assert np.array_equal(part(sample), placed.result.samples[1])
    assert added.statisticsTableNode.GetNumberOfRows() == 2


def test_removed_segmentation_is_not_replaced_by_a_new_one(scene, placed, make_volume):
    from medsegdiff.errors import JobError
    from MedSegDiffSlicerLib.nodes.nodes_from_result import ResultAdding

    volume = make_volume(np.zeros(WHOLE, np.int16), GRID)
    written = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    adding = ResultAdding(scene, placed, volume, written, probabilities=False, written=True)
    adding.step()
    scene.RemoveNode(written)
    with pytest.raises(JobError, match="segmentation was removed"):
        adding.step()
    assert scene.GetFirstNodeByClass("vtkMRMLSequenceNode") is None
