"""Volume nodes in, backend image out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError
from medsegdiff.image.common_grid import joined
from medsegdiff.image.image import Image

from .scene_change import is_in_scene


def image_from_volumes(nodes: Sequence, shown: Sequence | None = None) -> Image:
    """The volumes as channels of one image, in world (RAS) coordinates: linear parent transforms are taken in.

    A vector volume gives one channel a component (a colour image without its alpha). The array is a view of the first
    volume where there is only one. Volumes on other grids than the first are resampled to it, see common_grid.
    shown: for frames of sequences, the nodes that show them, which have their names and parent transforms.
    Raises RequestError for a missing, deleted or empty volume, a non-linear transform, or volumes that hardly meet the
      first.
    """
    if not nodes:
        raise RequestError(_("no input volume; choose one"))
    for node in nodes:
        check_volume(node)
        _check_voxels(node)
    shown = shown or nodes
    images = [Image(_channels(node), to_world(moved) @ own_affine(node)) for node, moved in zip(nodes, shown)]
    return images[0] if len(images) == 1 else joined(images, [f"'{node.GetName()}'" for node in shown])


def affine_of(node) -> np.ndarray:
    """(4, 4) voxel index (i, j, k) to world RAS mm, parent transform included. RequestError if that is not linear."""
    return to_world(node) @ own_affine(node)


def to_world(node) -> np.ndarray:
    """(4, 4) from the node's own coordinates to the world. RequestError under a non-linear transform."""
    transform, matrix = node.GetParentTransformNode(), vtk.vtkMatrix4x4()
    if transform is not None:
        if not transform.IsTransformToWorldLinear():
            raise RequestError(
                _(
                    "'{volume}' is under the non-linear transform '{transform}'; harden the transform (right "
                    "click in the Data module) and try again"
                ).format(volume=node.GetName(), transform=transform.GetName())
            )
        transform.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def own_affine(node) -> np.ndarray:
    """(4, 4) from a volume's voxel indices to its own coordinates, without the transforms that it is under."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def check_volume(node) -> None:
    """Raises RequestError unless this is a volume of the scene."""
    if node is not None and not hasattr(node, "IsA"):
        raise RequestError(
            _("a volume node is expected, got {node!r}; slicer.util.getNode finds a node by its name").format(node=node)
        )
    if not is_in_scene(node):
        raise RequestError(_("the input volume is no longer in the scene; choose another one"))
    if not node.IsA("vtkMRMLScalarVolumeNode"):
        raise RequestError(
            _("'{volume}' is not a volume; choose a scalar or vector volume").format(volume=node.GetName())
        )


def _check_voxels(node) -> None:
    if node.GetImageData() is None or 0 in node.GetImageData().GetDimensions():
        raise RequestError(
            _("volume '{volume}' is empty; load it again or choose another one").format(volume=node.GetName())
        )


def _channels(node) -> np.ndarray:
    """(C, I, J, K) view of a volume's voxels."""
    array = slicer.util.arrayFromVolume(node)  # (K, J, I) or (K, J, I, C)
    if array.ndim not in (3, 4):
        raise RequestError(
            _("'{volume}' holds tensors; choose a scalar or vector volume").format(volume=node.GetName())
        )
    if array.ndim == 3:
        array = array[..., np.newaxis]
    elif node.GetVoxelVectorType() == slicer.vtkMRMLVolumeNode.VoxelVectorTypeColorRGBA:
        array = array[..., :3]
    return array.transpose(3, 2, 1, 0)
