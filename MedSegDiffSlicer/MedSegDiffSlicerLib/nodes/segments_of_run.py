"""The segments of a run into a segmentation, in place of those of the run before."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import slicer
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError
from medsegdiff.models.package import Label

from .relative_position import keep_grids
from .segment_grid import grid_of_segments, grid_of_volume
from .segments import LABEL_TAG, binary_labelmap, describe, move_together, oriented_image


def write_segments(
    segmentation_node, labelmap: np.ndarray, labels: Sequence[Label], volume, start=(0, 0, 0),
    kept: Collection[str] = (),
) -> None:  # fmt: skip
    """Replaces the segments that came from a model by one segment a label, on the volume's grid and under its
    transform; all others stay.

    labelmap: (I, J, K) uint8 of a box of the volume that begins at voxel `start`; its memory becomes the segments'
    where it is in Fortran order.  labels: the foreground; a label without a voxel gives an empty segment.
    kept: IDs of segments that stay, too; those of a model are named so, and shown as outlines, where
    a new one has their name.
    Raises RequestError, before anything is changed, where the user's segments do not go with that.
    """
    _remove_models_segments(segmentation_node, labels, volume, kept)
    if segmentation_node.GetScene() is not None:
        segmentation_node.CreateDefaultDisplayNodes()
    segmentation_node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    segmentation = segmentation_node.GetSegmentation()
    geometry = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    if not (_with_voxels(segmentation) and segmentation.GetConversionParameter(geometry)):
        segmentation_node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentation.SetSourceRepresentationName(binary_labelmap())
    voxels = oriented_image(labelmap, volume, start, share=True)
    for label in labels:
        segment = slicer.vtkSegment()
        describe(segment, label)
        segment.SetLabelValue(label.value)
        segment.AddRepresentation(binary_labelmap(), voxels)
        keep_grids(segment, volume)
        segmentation.AddSegment(segment, segmentation.GenerateUniqueSegmentID(label.name))


def replaceable_segments(segmentation_node, volume, kept: Collection[str]) -> list[str]:
    """The IDs of the segments that those of a run on the volume replace. Raises RequestError where the others do not go
    with them."""
    segmentation = segmentation_node.GetSegmentation()
    segments = {id: segmentation.GetSegment(id) for id in segmentation.GetSegmentIDs()}
    ours = [id for id, segment in segments.items() if segment.HasTag(LABEL_TAG) and id not in kept]
    name = segmentation_node.GetName()
    if len(ours) < segmentation.GetNumberOfSegments():
        if segmentation.GetSourceRepresentationName() != binary_labelmap():
            raise RequestError(
                _(
                    "the other segments of '{name}' do not consist of voxels; choose another segmentation, "
                    "or make 'Binary labelmap' its source representation in the Segmentations module"
                ).format(name=name)
            )
        if not move_together(segmentation_node, volume):
            raise RequestError(
                _(
                    "'{name}' has other segments and is under another transform than '{volume}'; choose "
                    "another segmentation, or put both under the same transform"
                ).format(name=name, volume=volume.GetName())
            )
        if set(_with_voxels(segmentation)) - set(ours) and not _on_one_grid(segmentation_node, volume):
            raise RequestError(  # as Slicer saves all segments of a node on one grid
                _(
                    "'{name}' has other segments, on a grid other than that of '{volume}'; choose another "
                    "segmentation, or none for a new one"
                ).format(name=name, volume=volume.GetName())
            )
    return ours


def _with_voxels(segmentation) -> list[str]:
    """The IDs of the segments in which there is something."""
    ids = segmentation.GetSegmentIDs()
    images = [segmentation.GetSegment(id).GetRepresentation(binary_labelmap()) for id in ids]
    return [id for id, image in zip(ids, images) if image is not None and not image.IsEmpty()]


def _on_one_grid(segmentation_node, volume) -> bool:
    """Whether the grid of the segments is that of the volume's voxels, wherever the two begin."""
    own, theirs = grid_of_volume(volume, segmentation_node), grid_of_segments(segmentation_node, volume)[0]
    ours, other = (slicer.util.arrayFromVTKMatrix(grid.matrix) for grid in (own, theirs))
    between = np.linalg.inv(other) @ ours  # voxels to voxels
    same = np.allclose(between[:3, :3], np.eye(3), rtol=0, atol=1e-5)
    return bool(same and np.allclose(between, np.round(between), rtol=0, atol=1e-3))


def _remove_models_segments(
    segmentation_node, labels: Sequence[Label], volume, kept: Collection[str]
) -> None:  # fmt: skip
    ours, segmentation = replaceable_segments(segmentation_node, volume, kept), segmentation_node.GetSegmentation()
    segments = {id: segmentation.GetSegment(id) for id in segmentation.GetSegmentIDs()}
    for segment_id, segment in segments.items():
        if segment_id in ours:
            segmentation.RemoveSegment(segment_id)
        elif segment.HasTag(LABEL_TAG):
            segment.RemoveTag(LABEL_TAG)  # it no longer stands for the structure
            if segment.GetName() in {label.name for label in labels}:
                segment.SetName(_free_name(segmentation, segment.GetName()))
                if segmentation_node.GetDisplayNode() is not None:  # an outline beside the new one's area
                    segmentation_node.GetDisplayNode().SetSegmentVisibility2DFill(segment_id, False)


def _free_name(segmentation, name: str) -> str:
    """What a segment that is kept beside another one of its name is called."""
    taken = {segmentation.GetSegment(id).GetName() for id in segmentation.GetSegmentIDs()}
    numbers = ("", *(f" {number}" for number in range(2, len(taken) + 2)))
    names = (_("{name} (kept{number})").format(name=name, number=number) for number in numbers)
    return next(each for each in names if each not in taken)
