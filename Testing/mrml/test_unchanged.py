"""Whether a run's volumes are told to have changed: where their voxels did, and not where they were moved or copied."""

from __future__ import annotations

import numpy as np
import pytest
from medsegdiff.errors import RequestError

ARRAY = np.random.default_rng(4).integers(0, 99, (6, 5, 4), dtype=np.int16)


@pytest.fixture
def two(make_volume):
    """Two volumes and what was remembered of them."""
    from MedSegDiffSlicerLib.nodes.unchanged import Unchanged

    volumes = [make_volume(ARRAY, np.diag([0.3, 0.7, 2.1, 1]), name=name) for name in ("T1", "T2")]
    return (*volumes, Unchanged(volumes))


def replace_voxels(volume):
    """As a sequence browser does."""
    import vtk

    image = vtk.vtkImageData()
    image.DeepCopy(volume.GetImageData())
    volume.SetAndObserveImageData(image)


def test_moved_or_copied_volumes_are_unchanged(two, make_transform):
    import slicer

    _first, second, unchanged = two
    unchanged.check()
    turned = np.array([[0, -0.7, 0, 9], [0.3, 0, 0, 1], [0, 0, 2.1, -4], [0, 0, 0, 1]])
    second.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(turned))
    make_transform(second, np.diag([1, 1, 2, 1.0]))
    unchanged.check()
    for _ in range(2):
        replace_voxels(second)
        unchanged.check()


@pytest.mark.parametrize("how", ["in place", "and copied", "another image", "other size", "other spacing", "emptied"])
def test_other_voxels_or_another_size_are_a_change(two, how):
    import slicer

    _first, second, unchanged = two
    if how in ("in place", "and copied"):
        slicer.util.arrayFromVolume(second)[0, 0, 0] += 1
        slicer.util.arrayFromVolumeModified(second)
    if how == "and copied":
        replace_voxels(second)
    elif how == "another image":
        slicer.util.updateVolumeFromArray(second, ARRAY.T[::-1].copy())
    elif how == "other size":
        slicer.util.updateVolumeFromArray(second, ARRAY.T[:2].copy())
    elif how == "other spacing":
        second.SetSpacing(0.3, 0.7, 2.0)
    elif how == "emptied":
        second.SetAndObserveImageData(None)
    with pytest.raises(RequestError, match="'T2' has changed since the run; run again"):
        unchanged.check()
