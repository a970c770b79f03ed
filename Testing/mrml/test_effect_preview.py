"""The preview shows in a slice view what the arrays hold at that place of the world."""

from __future__ import annotations

import numpy as np
import pytest
from medsegdiff.models.package import Label

SHAPE, SIZE = (24, 20, 16), (90, 70)
LABELS = (Label(1, "alpha", (255, 0, 0)), Label(2, "beta", (0, 0, 255)))


@pytest.fixture
def slice_node(scene):
    """An oblique slice view of 90 x 70 pixels."""
    import slicer

    node = scene.AddNewNodeByClass("vtkMRMLSliceNode")
    node.SetDimensions(*SIZE, 1)
    node.SetFieldOfView(36, 28, 1)
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) @ [[1, 0, 0], [0, 0.96, -0.28], [0, 0.28, 0.96]]
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, (18, -22, 14)
    node.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(matrix))
    node.UpdateMatrices()
    return node


def look_at(slice_node, volume) -> None:
    """Moves the view to the middle of the volume."""
    from MedSegDiffSlicerLib.nodes.volume_to_image import affine_of

    middle = affine_of(volume) @ [*(np.array(SHAPE) / 2), 1]
    for row in range(3):
        slice_node.GetSliceToRAS().SetElement(row, 3, middle[row])
    slice_node.UpdateMatrices()


def voxels_under(slice_node, volume) -> np.ndarray:
    """(W, H, 3) voxel index, not rounded, in the middle of each pixel."""
    import slicer
    from MedSegDiffSlicerLib.nodes.volume_to_image import affine_of

    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]), indexing="ij")
    pixels = np.stack([x, y, np.zeros_like(x), np.ones_like(x)], axis=-1)
    to_index = np.linalg.inv(affine_of(volume)) @ slicer.util.arrayFromVTKMatrix(slice_node.GetXYToRAS())
    return (pixels @ to_index.T)[..., :3]


def shown(layer) -> np.ndarray:
    """(W, H) of a layer's slice."""
    from vtk.util.numpy_support import vtk_to_numpy

    layer.reslice.Update()
    return vtk_to_numpy(layer.reslice.GetOutput().GetPointData().GetScalars()).reshape(SIZE, order="F")


@pytest.fixture
def preview(slice_node):
    import vtk
    from MedSegDiffSlicerLib.view.slice_preview import SlicePreview

    renderer = vtk.vtkRenderer()
    preview = SlicePreview(renderer, slice_node)
    preview.renderer = renderer
    return preview


def test_labels_lie_where_their_voxels_are(preview, slice_node, make_volume, make_transform, affine):
    from MedSegDiffSlicerLib.nodes.region_of_interest import Box
    from MedSegDiffSlicerLib.nodes.volume_to_image import affine_of
    from MedSegDiffSlicerLib.view.slice_preview import Part, Picture

    volume = make_volume(np.zeros(SHAPE, np.int16), affine)
    turn = np.array([[0.8, -0.6, 0, 4], [0.6, 0.8, 0, -3], [0, 0, 1, 9], [0, 0, 0, 1.0]])
    make_transform(volume, turn)
    box, whole = Box((2, 1, 3), (22, 19, 14)), np.zeros(SHAPE, np.uint8)
    whole[box.slices] = np.random.default_rng(0).integers(1, 3, box.shape)
    look_at(slice_node, volume)
    preview.show(Picture.of(Part.of(whole[box.slices]), box, affine_of(volume)))
    index = voxels_under(slice_node, volume)
    sure = (np.abs(index - np.round(index)) < 0.45).all(-1)
    nearest = np.round(index).astype(int)
    inside = ((nearest >= 0) & (nearest < SHAPE)).all(-1)
    expected = np.zeros(SIZE, np.uint8)
    expected[inside] = whole[tuple(nearest[inside].T)]
    seen = shown(preview._labels)
    assert np.array_equal(seen[sure], expected[sure]) and (seen[sure] > 0).sum() > 100


def test_uncertainty_is_smooth_between_voxels(preview, slice_node, make_volume):
    from MedSegDiffSlicerLib.nodes.region_of_interest import whole
    from MedSegDiffSlicerLib.nodes.volume_to_image import affine_of
    from MedSegDiffSlicerLib.view.slice_preview import Part, Picture

    volume = make_volume(np.zeros(SHAPE, np.int16))
    i, j, k = np.indices(SHAPE)
    plane = (0.01 * i + 0.02 * j + 0.005 * k).astype(np.float32)
    volume.SetOrigin(6, -30, 8)
    preview.show(None, Picture.of(Part.of(plane), whole(volume), affine_of(volume)), (0.0, 0.25))
    index = voxels_under(slice_node, volume)
    inside = ((index > 0) & (index < np.array(SHAPE) - 1)).all(-1)
    assert inside.sum() > 100
    assert np.allclose(shown(preview._map)[inside], (index @ [0.01, 0.02, 0.005])[inside], atol=1e-4)


def test_clicks_are_drawn_in_their_slice_only(preview, slice_node):
    import slicer

    to_world = slicer.util.arrayFromVTKMatrix(slice_node.GetXYToRAS())
    pixels = ((30, 40, 0, 1), (50, 60, 0.2, 0), (5, 5, 2, 1))
    preview.show(None, clicks=[(*(to_world @ [*place, 1])[:3], value) for *place, value in pixels])
    for discs, expected in ((preview._belongs, [30, 40]), (preview._does_not, [50, 60])):
        assert discs.points.GetNumberOfPoints() == 1
        assert np.round(discs.points.GetPoint(0)[:2]).tolist() == expected
        assert discs.actor.GetProperty().GetColor() != (1, 1, 1)


def test_what_is_not_there_is_not_drawn_and_all_goes_at_the_end(preview, make_volume):
    from MedSegDiffSlicerLib.nodes.region_of_interest import whole
    from MedSegDiffSlicerLib.nodes.volume_to_image import affine_of
    from MedSegDiffSlicerLib.view.slice_preview import Part, Picture

    volume = make_volume(np.zeros(SHAPE, np.int16))
    assert preview.renderer.GetViewProps().GetNumberOfItems() == 5
    preview.show(Picture.of(Part.of(np.ones(SHAPE, np.uint8)), whole(volume), affine_of(volume)))
    assert preview._labels.actor.GetVisibility() and not preview._map.actor.GetVisibility()
    preview.show(Picture.of(Part.of(np.zeros(SHAPE, np.uint8)), whole(volume), affine_of(volume)))
    assert preview._labels.reslice.GetInput().GetNumberOfPoints() == 1
    preview.show(None)
    assert not preview._labels.actor.GetVisibility()
    preview.remove()
    assert preview.renderer.GetViewProps().GetNumberOfItems() == 0


def test_colours_and_their_opacity(preview):
    preview.set_colors(LABELS, lambda label: tuple(c / 255 for c in label.color), 0.25)
    table = preview._labels._table
    rounded = [np.round(table.GetTableValue(n), 2).tolist() for n in range(table.GetNumberOfTableValues())]
    assert rounded == [[0, 0, 0, 0], [1, 0, 0, 0.25], [0, 0, 1, 0.25]]


def test_outlines_of_labels_are_seen_above_the_brightest_map(offscreen, preview, slice_node, make_volume):
    """In the picture of the view itself: the label is hardly seen in the map, its border is."""
    import vtk
    from MedSegDiffSlicerLib.nodes.region_of_interest import whole
    from MedSegDiffSlicerLib.nodes.volume_to_image import affine_of
    from MedSegDiffSlicerLib.view.slice_preview import Part, Picture
    from vtk.util.numpy_support import vtk_to_numpy

    volume = make_volume(np.zeros(SHAPE, np.int16))
    look_at(slice_node, volume)
    labelmap, brightest = np.zeros(SHAPE, np.uint8), np.ones(SHAPE, np.float32)
    labelmap[8:16, 6:14] = 2
    affine, all_of_it = affine_of(volume), whole(volume)
    preview.show(Picture.of(Part.of(labelmap), all_of_it, affine), Picture.of(Part.of(brightest), all_of_it, affine))
    preview.set_colors(LABELS, lambda label: tuple(c / 255 for c in label.color), 0.25)
    window, grabbed = vtk.vtkRenderWindow(), vtk.vtkWindowToImageFilter()
    window.SetOffScreenRendering(1)
    window.SetSize(*SIZE)
    window.AddRenderer(preview.renderer)
    window.Render()
    grabbed.SetInput(window)
    grabbed.Update()
    picture = vtk_to_numpy(grabbed.GetOutput().GetPointData().GetScalars()).reshape(*SIZE, 3, order="F").astype(int)
    inside = shown(preview._labels) == 2
    pure = (picture == [0, 0, 255]).all(-1)
    core = np.all([np.roll(inside, shift, axis) for shift in (-4, 4) for axis in (0, 1)], axis=0)
    assert pure.sum() > 100 and core.sum() > 100 and not pure[core].any()
    assert inside[pure].mean() > 0.9, "the border is the label's"
