"""Whether volumes are still what they were when a run began."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from medsegdiff.errors import RequestError

from .volume_to_image import affine_of


class Unchanged:
    """Remembers the voxels of volumes and their size.

    A volume that was moved is unchanged, and so is one whose voxels were replaced by equal ones, as a sequence browser
    does that comes back to a frame; not one whose voxels were written to, even if with what they were.
    """

    def __init__(self, volumes: Sequence):
        self._volumes = list(volumes)
        self._seen = [_look_at(volume) for volume in volumes]

    def check(self) -> None:
        """Raises RequestError where a volume has changed."""
        for number, volume in enumerate(self._volumes):
            now = _look_at(volume)
            if not _are_alike(self._seen[number], now):
                raise _changed(volume)
            self._seen[number] = now


def check_grid(volume, affine: np.ndarray, shape: tuple) -> None:
    """Raises RequestError where the volume has more or fewer voxels, or larger or smaller ones, than a result had.

    affine: (4, 4) of the result, voxel index to world RAS mm.  shape: its voxels along i, j, k.
    A volume that was only moved is what it was.
    """
    now = _look_at(volume)
    then, here = (np.linalg.norm(matrix[:3, :3], axis=0) for matrix in (affine, affine_of(volume)))
    if now is None or now.shape != tuple(shape) or not np.allclose(then, here, rtol=1e-5, atol=0):
        raise _changed(volume)


class _Look(NamedTuple):
    """size: of a voxel, mm.  shape: voxels along i, j, k.  voxels: vtkDataArray.  time: when the image was changed."""

    size: tuple
    shape: tuple
    voxels: object
    time: int


def _changed(volume) -> RequestError:
    return RequestError(_("'{volume}' has changed since the run; run again").format(volume=volume.GetName()))


def _look_at(volume) -> _Look | None:
    """None where the volume has no voxels."""
    image = volume.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        return None
    return _Look(volume.GetSpacing(), image.GetDimensions(), image.GetPointData().GetScalars(), image.GetMTime())


def _are_alike(seen: _Look | None, now: _Look | None) -> bool:
    if seen is None or now is None:
        return seen is now
    if seen.shape != now.shape or not np.allclose(seen.size, now.size, rtol=1e-6, atol=0):
        return False
    if now.voxels is seen.voxels:
        return now.time == seen.time
    kept = seen.voxels.GetMTime() <= seen.time
    return kept and np.array_equal(vtk_to_numpy(seen.voxels), vtk_to_numpy(now.voxels))
