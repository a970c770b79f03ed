"""Backend labels in, segments out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from medsegdiff.errors import RequestError
from medsegdiff.models.package import Label

from .relative_position import keep_grids

LABEL_TAG = "MedSegDiff.Label"  # the model's value of the structure; a segment's own label value changes with edits
# tag of a segment, undone and redone with its voxels: which Apply of the effect wrote it
APPLIED = "MedSegDiff.Applied"


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
    if not (segmentation.GetNumberOfSegments() and segmentation.GetConversionParameter(geometry)):
        # Else the Segment Editor would resample the others to this volume's grid when they are painted in.
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
    return ours


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


def describe(segment, label: Label) -> None:
    """Gives a segment the label's name, colour, terminology and number."""
    segment.SetName(label.name)
    segment.SetColor(*(channel / 255 for channel in label.color))
    segment.SetNameAutoGenerated(False)
    segment.SetColorAutoGenerated(False)
    with tags_at_once(segment) as tags:
        if label.terminology:
            tags.SetTag(segment.GetTerminologyEntryTagName(), label.terminology)
        tags.SetTag(LABEL_TAG, str(label.value))


@contextmanager
def tags_at_once(segment) -> Iterator:
    """Yields a segment whose tags become the segment's in one event, as each makes all views and lists work."""
    copy = slicer.vtkSegment()
    copy.DeepCopyMetadata(segment)
    yield copy
    segment.DeepCopyMetadata(copy)
    segment.Modified()


def segment_ids(segmentation_node, but: Callable[[str], bool] = lambda _segment_id: False) -> dict[int, str]:
    """The segments that came from a model: label value to segment ID, as far as they are still there; of several of
    one label the first.  but(segment ID): which are none of them."""
    segmentation, found = segmentation_node.GetSegmentation(), {}
    for segment_id in segmentation.GetSegmentIDs():
        value = vtk.reference("")
        if segmentation.GetSegment(segment_id).GetTag(LABEL_TAG, value) and not but(segment_id):
            found.setdefault(int(str(value)), segment_id)
    return found


def read_segment(segmentation_node, segment_id: str, volume, start=(0, 0, 0), shape=None) -> np.ndarray:
    """(I, J, K) bool, the segment's voxels in a box of the volume's grid.

    start, shape: the box in voxels; the whole volume where there is no shape. Both nodes are under one transform.
    """
    shape = volume.GetImageData().GetDimensions() if shape is None else shape
    held = _read_where_it_is(segmentation_node.GetSegmentation().GetSegment(segment_id), volume, start, shape)
    if held is not None:
        return held
    box, voxels = oriented_image(np.zeros(shape, np.uint8), volume, start), slicer.vtkOrientedImageData()
    segmentation_node.GetBinaryLabelmapRepresentation(segment_id, voxels)
    if voxels.GetNumberOfPoints() == 0:
        return np.zeros(shape, bool)
    out = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(voxels, box, out, False, False)
    return vtk_to_numpy(out.GetPointData().GetScalars()).reshape(shape, order="F") > 0


def _read_where_it_is(segment, volume, start, shape) -> np.ndarray | None:
    """read_segment without a copy of all, where the segment lies on the volume's own grid; else None."""
    image, ours, theirs = segment.GetRepresentation(binary_labelmap()), vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    if image is None or image.IsEmpty():
        return None
    volume.GetIJKToRASMatrix(ours)
    image.GetImageToWorldMatrix(theirs)
    if not np.allclose(slicer.util.arrayFromVTKMatrix(ours), slicer.util.arrayFromVTKMatrix(theirs), rtol=0, atol=1e-6):
        return None
    out, extent = np.zeros(shape, bool), image.GetExtent()
    low = [max(at, first) for at, first in zip(start, extent[::2])]
    high = [min(at + size, last + 1) for at, size, last in zip(start, shape, extent[1::2])]
    if all(a < b for a, b in zip(low, high)):
        voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions(), order="F")
        here, there = (
            tuple(slice(a - origin, b - origin) for a, b, origin in zip(low, high, origins))
            for origins in (start, extent[::2])
        )
        np.equal(voxels[there], segment.GetLabelValue(), out=out[here])
    return out


def oriented_image(labelmap: np.ndarray, volume, start=(0, 0, 0), share: bool = False):
    """The array (I, J, K) as vtkOrientedImageData on the volume's own grid (its parent transform left out).

    start: the voxel of the volume that the labelmap begins with.  share: an array in Fortran order is not copied.
    """
    image, matrix = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4()
    image.SetExtent([bound for low, size in zip(start, labelmap.shape) for bound in (int(low), int(low) + size - 1)])
    image.GetPointData().SetScalars(scalars_of(labelmap, share))
    volume.GetIJKToRASMatrix(matrix)
    image.SetGeometryFromImageToWorldMatrix(matrix)
    return image


def scalars_of(array: np.ndarray, share: bool = False):
    """The voxels of an array (I, J, K) as vtkDataArray.  share: see oriented_image; whoever gives it away forgets
    it."""
    flat = array.ravel(order="F")  # a copy, unless it is in Fortran order
    scalars = numpy_to_vtk(flat, deep=not share and np.may_share_memory(flat, array))
    scalars.SetName("ImageScalars")
    return scalars


def move_together(node, other) -> bool:
    """Whether the nodes' parent transforms move them alike."""
    transform, theirs = node.GetParentTransformNode(), other.GetParentTransformNode()
    if transform is theirs:
        return True
    between = vtk.vtkMatrix4x4()
    linear = slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(transform, theirs, between)
    return bool(linear) and np.allclose(slicer.util.arrayFromVTKMatrix(between), np.eye(4), atol=1e-6)


def binary_labelmap() -> str:
    """The name of the representation as voxels."""
    return slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
