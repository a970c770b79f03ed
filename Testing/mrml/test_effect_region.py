"""Which voxels a region means: on grids of all sorts, under transforms, at the borders."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from medsegdiff.errors import RequestError

SHAPE = (24, 20, 16)
TURN = np.array([[0.8, -0.6, 0, 4], [0.6, 0.8, 0, -3], [0, 0, 1, 9], [0, 0, 0, 1.0]])


@pytest.fixture
def segmentation(scene):
    """segmentation(labelmap, volume) adds one with a segment "alpha"."""
    from MedSegDiffSlicerLib.nodes.segments_of_run import write_segments
    from medsegdiff.models.package import Label

    def make(labelmap, volume):
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "segments")
        write_segments(node, labelmap, [Label(1, "alpha", (1, 2, 3), "")], volume)
        return node

    return make


def centres(volume) -> np.ndarray:
    """(N, 3) world positions of all voxels, the last index fastest."""
    from MedSegDiffSlicerLib.nodes.volume_to_image import affine_of

    affine = affine_of(volume)
    return np.array(list(np.ndindex(SHAPE))) @ affine[:3, :3].T + affine[:3, 3]


def box_of(mask) -> tuple:
    at = np.argwhere(mask)
    return tuple(at.min(0).tolist()), tuple((at.max(0) + 1).tolist())


@pytest.mark.parametrize("turned", [False, True])
def test_box_holds_exactly_the_voxels_of_the_roi(scene, make_volume, make_transform, affine, turned):
    from MedSegDiffSlicerLib.nodes.region_of_interest import inside_roi
    from MedSegDiffSlicerLib.nodes.volume_to_image import affine_of

    volume = make_volume(np.zeros(SHAPE, np.int16), affine)
    if turned:
        make_transform(volume, TURN)
    world = centres(volume)
    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    roi.SetCenter(*world.mean(0))
    size = np.ptp(world, axis=0) / 2.3
    roi.SetSize(*size)
    box = inside_roi(volume, roi)
    low, high = box_of((np.abs(world - world.mean(0)) <= size / 2).all(1).reshape(SHAPE))
    assert all(ours <= theirs for ours, theirs in zip(box.start, low)), "all voxels of the box are in it"
    assert all(ours >= theirs for ours, theirs in zip(box.stop, high))
    corners = np.array(list(itertools.product(*zip(world.mean(0) - size / 2, world.mean(0) + size / 2))))
    to_index = np.linalg.inv(affine_of(volume))
    index = corners @ to_index[:3, :3].T + to_index[:3, 3]
    assert np.all(np.array(box.start) - 1 < np.maximum(index.min(0), 0)), "nor more"
    assert np.all(np.array(box.stop) > np.minimum(index.max(0), np.array(SHAPE) - 1))


def test_new_roi_is_in_the_middle(scene, make_volume, make_transform, affine):
    from MedSegDiffSlicerLib.nodes.region_of_interest import fit_roi, inside_roi

    volume = make_volume(np.zeros(SHAPE, np.int16), affine)
    make_transform(volume, TURN)
    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    fit_roi(roi, volume)
    world = centres(volume)
    assert np.allclose(roi.GetCenter(), (world.min(0) + world.max(0)) / 2, atol=1e-6)
    box = inside_roi(volume, roi)
    assert 8 < np.prod(box.shape) < np.prod(SHAPE)


def test_roi_outside_is_refused(scene, make_volume):
    from MedSegDiffSlicerLib.nodes.region_of_interest import inside_roi

    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    roi.SetCenter(500, 0, 0)
    roi.SetSize(3, 3, 3)
    with pytest.raises(RequestError, match="'box' holds no voxel of 'scan'; move it"):
        inside_roi(make_volume(np.zeros(SHAPE, np.int16)), roi)


def test_without_margin_it_is_the_block_of_the_segment(make_volume, make_transform, segmentation, affine):
    from MedSegDiffSlicerLib.nodes.region_of_interest import around_segment

    volume = make_volume(np.zeros(SHAPE, np.int16), affine)
    make_transform(volume, TURN)
    labelmap = np.zeros(SHAPE, np.uint8)
    labelmap[5:9, 7, 3:14], labelmap[2, 2, 2] = 1, 1
    node = segmentation(labelmap, volume)
    box = around_segment(volume, node, "alpha", 0)
    assert (box.start, box.stop) == ((2, 2, 2), (9, 8, 14))


def test_margin_is_in_millimetres_and_ends_at_the_volume(make_volume, segmentation):
    from MedSegDiffSlicerLib.nodes.region_of_interest import around_segment

    volume = make_volume(np.zeros(SHAPE, np.int16), np.diag([0.5, 1, 3, 1.0]))
    labelmap = np.zeros(SHAPE, np.uint8)
    labelmap[12, 2, 8] = 1
    box = around_segment(volume, segmentation(labelmap, volume), "alpha", 3)
    assert (box.start, box.stop) == ((6, 0, 7), (19, 6, 10))


def test_segment_under_another_transform_than_the_volume(make_volume, make_transform, segmentation):
    from MedSegDiffSlicerLib.nodes.region_of_interest import around_segment

    volume = make_volume(np.zeros(SHAPE, np.int16))
    labelmap = np.zeros(SHAPE, np.uint8)
    labelmap[5:9, 7:10, 3:6] = 1
    node = segmentation(labelmap, volume)
    make_transform(node, np.array([[1, 0, 0, 10], [0, 1, 0, 0], [0, 0, 1, 2], [0, 0, 0, 1.0]]))
    box = around_segment(volume, node, "alpha", 0)
    assert (box.start, box.stop) == ((15, 7, 5), (19, 10, 8))


def test_empty_segment_is_refused(make_volume, segmentation):
    from MedSegDiffSlicerLib.nodes.region_of_interest import around_segment

    volume = make_volume(np.zeros(SHAPE, np.int16))
    with pytest.raises(RequestError, match="segment 'alpha' is empty; paint in it first"):
        around_segment(volume, segmentation(np.zeros(SHAPE, np.uint8), volume), "alpha", 5)


def test_crop_stays_at_its_place(make_volume, affine):
    from MedSegDiffSlicerLib.nodes.region_of_interest import Box, crop
    from MedSegDiffSlicerLib.nodes.volume_to_image import image_from_volumes

    array = np.random.default_rng(0).integers(0, 99, SHAPE).astype(np.int16)
    image = image_from_volumes([make_volume(array, affine)])
    part = crop(image, Box((3, 4, 5), (9, 20, 7)))
    assert np.array_equal(part.array[0], array[3:9, 4:20, 5:7])
    assert np.allclose(part.affine @ [1, 2, 1, 1], image.affine @ [4, 6, 6, 1])
