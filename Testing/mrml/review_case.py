"""What the tests of the review share: a result in a scene, and its review."""

from __future__ import annotations

import numpy as np
import pytest

SHAPE = (24, 20, 16)
GRID = np.array([[3.0, 0, 0, 5], [0, 0, 3.0, -7], [0, -3.0, 0, 11], [0, 0, 0, 1]])  # large enough for several places


@pytest.fixture
def lib(scene):
    """The functions under test."""
    from MedSegDiffSlicerLib.review import review, table as review_table

    return review, review_table


@pytest.fixture
def added(lib, scene, make_volume, make_result):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    return add_result(scene, make_result(SHAPE, GRID), make_volume(np.zeros(SHAPE, np.int16), GRID))


@pytest.fixture
def controller(lib, scene, added):
    return lib[0].ReviewController(lib[0].start(scene, added), added.result)


def labels_of(added) -> np.ndarray:
    """(L, I, J, K) bool, every segment's voxels."""
    import slicer

    node, volume = added.segmentationNode, added.volumeNode
    ids = node.GetSegmentation().GetSegmentIDs()
    return np.stack([slicer.util.arrayFromSegmentBinaryLabelmap(node, id_, volume).T > 0 for id_ in ids])


def opinions_at(added, where):
    from MedSegDiffSlicerLib.nodes.opinions import Opinions

    return Opinions.of(added.result, None).at(np.flatnonzero(where))


def status_of(node) -> list[int]:
    import slicer

    segments = [node.GetSegmentation().GetNthSegment(index) for index in range(2)]
    return [slicer.vtkSlicerSegmentationsModuleLogic.GetSegmentStatus(segment) for segment in segments]
