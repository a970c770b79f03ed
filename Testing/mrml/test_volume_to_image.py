"""Volume nodes become images whose voxels lie where Slicer says."""

from __future__ import annotations

import numpy as np
import pytest
from medsegdiff.errors import RequestError

ARRAY = np.random.default_rng(1).integers(0, 900, (6, 5, 4), dtype=np.int16)
MOVE = np.array([[0.6, -0.8, 0, 10], [0.8, 0.6, 0, -4], [0, 0, 1.5, 3], [0, 0, 0, 1]])


@pytest.fixture
def convert(scene):
    from MedSegDiffSlicerLib.nodes.volume_to_image import image_from_volumes

    return image_from_volumes


def world(volume, ijk) -> np.ndarray:
    """Where Slicer itself puts a voxel."""
    import vtk

    point, matrix = [0.0, 0, 0, 1], vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    matrix.MultiplyPoint([*map(float, ijk), 1.0], point)
    out, transform = [0.0] * 3, vtk.vtkGeneralTransform()
    if volume.GetParentTransformNode():
        volume.GetParentTransformNode().GetTransformToWorld(transform)
    transform.TransformPoint(point[:3], out)
    return np.array(out)


@pytest.mark.parametrize("moved", [False, True])
def test_voxels_keep_value_and_place(convert, make_volume, make_transform, affine, moved):
    volume = make_volume(ARRAY, affine)
    if moved:
        make_transform(volume, MOVE)
    image = convert([volume])
    assert image.array.dtype == np.int16
    assert np.array_equal(image.array[0], ARRAY)
    for ijk in ((0, 0, 0), (5, 0, 0), (0, 4, 0), (0, 0, 3), (2, 3, 1)):
        assert np.allclose((image.affine @ [*ijk, 1])[:3], world(volume, ijk), atol=1e-4)


def test_nested_transforms_are_all_taken_in(convert, make_volume, make_transform):
    volume = make_volume(ARRAY)
    inner = make_transform(volume, MOVE)
    make_transform(inner, MOVE)
    assert np.allclose(convert([volume]).affine, MOVE @ MOVE, atol=1e-6)


def test_components_and_volumes_become_channels(convert, make_volume, affine):
    colors = np.stack([ARRAY, ARRAY + 1, ARRAY + 2], axis=-1)
    image = convert([make_volume(colors, affine), make_volume(ARRAY + 3, affine)])
    assert image.array.shape == (4, 6, 5, 4)
    for channel in range(4):
        assert np.array_equal(image.array[channel], ARRAY + channel)


@pytest.mark.parametrize("kind, channels", [("ColorRGB", 3), ("ColorRGBA", 3), ("Spatial", 4)])
def test_colour_photograph_gives_red_green_blue(convert, make_volume, affine, kind, channels):
    """As Slicer loads a picture: a vector volume of one slice; what is transparent is no channel."""
    import slicer

    pixels = np.random.default_rng(2).integers(0, 256, (9, 7, 1, max(channels, 3 + kind.endswith("A"))), dtype=np.uint8)
    volume = make_volume(pixels, affine)
    volume.SetVoxelVectorType(getattr(slicer.vtkMRMLVolumeNode, f"VoxelVectorType{kind}"))
    image = convert([volume])
    assert image.array.shape == (channels, 9, 7, 1) and image.array.dtype == np.uint8
    assert np.array_equal(image.array, pixels[..., :channels].transpose(3, 0, 1, 2))
    assert np.allclose((image.affine @ [8, 0, 0, 1])[:3], world(volume, (8, 0, 0)), atol=1e-4)


def test_volumes_on_other_grids_come_to_the_first_ones(convert, make_volume, make_transform):
    first, fine = make_volume(ARRAY, name="T1"), make_volume(ARRAY[:5], name="T2")
    image = convert([first, fine])
    assert (
        np.array_equal(image.array[:, :5], np.stack([ARRAY[:5]] * 2)) and (image.array[1, 5] == ARRAY[:5].min()).all()
    )
    assert image.notes == ("'T2' was resampled to the grid of 'T1', of which it shows 83 %",)
    both = [make_volume(ARRAY, name="T1"), make_volume(ARRAY, name="T2")]
    make_transform(both[1], MOVE)
    with pytest.raises(RequestError, match="'T2' shows .* % of what 'T1' shows"):
        convert(both)
    make_transform(both[0], MOVE)
    assert convert(both).notes == ()


def test_nonlinear_transform_is_refused_with_what_to_do(convert, scene, make_volume):
    import vtk

    volume = make_volume(ARRAY)
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "warp")
    warp, points = vtk.vtkThinPlateSplineTransform(), [vtk.vtkPoints(), vtk.vtkPoints()]
    for i, corner in enumerate([(0, 0, 0), (9, 0, 0), (0, 9, 0), (0, 0, 9), (9, 9, 9)]):
        points[0].InsertNextPoint(corner)
        points[1].InsertNextPoint([c + (i % 2) for c in corner])
    warp.SetBasisToR()
    warp.SetSourceLandmarks(points[0])
    warp.SetTargetLandmarks(points[1])
    node.SetAndObserveTransformToParent(warp)
    volume.SetAndObserveTransformNodeID(node.GetID())
    with pytest.raises(RequestError, match="'warp'; harden"):
        convert([volume])


def test_missing_deleted_empty_and_foreign_nodes_are_refused(convert, scene, make_volume):
    with pytest.raises(RequestError, match="no input volume"):
        convert([])
    with pytest.raises(RequestError, match="no longer in the scene"):
        convert([None])
    with pytest.raises(RequestError, match="a volume node is expected, got 'scan'"):
        convert(["scan"])
    gone = make_volume(ARRAY)
    scene.RemoveNode(gone)
    with pytest.raises(RequestError, match="no longer in the scene"):
        convert([gone])
    with pytest.raises(RequestError, match="is empty"):
        convert([scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "void")])
    with pytest.raises(RequestError, match="is not a volume"):
        convert([scene.AddNewNodeByClass("vtkMRMLTableNode", "table")])
