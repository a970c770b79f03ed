"""Outlines on the slices that come and go: not listed, not saved, removed without a trace."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import slicer

from .segments import oriented_image

KIND = "MedSegDiff.Temporary"  # attribute: what the node is shown for
_MARGIN = 1  # voxels around the labels, so that outlines close


@dataclass(frozen=True)
class Outline:
    """labelmap: (I, J, K) uint8 on the volume's grid.  colors: of the labels to show, by value, RGB in [0, 1]."""

    labelmap: np.ndarray
    colors: dict[int, tuple[float, float, float]]


def show_outlines(scene, kind: str, outlines: Iterable[Outline], volume, opacity: float, thickness: int, fill=0.0):
    """Shows the outlines instead of those of the same kind, and returns their node; None where there is nothing to show.

    opacity, fill: in [0, 1], of lines and what is inside.  thickness: pixels.
    """
    hide_outlines(scene, kind)
    segments = [found for outline in outlines for found in _segments(outline, volume)]
    if not segments:
        return None
    node = scene.CreateNodeByClass("vtkMRMLSegmentationNode")
    node.UnRegister(None)
    for each in (node, _display_node(scene, opacity, thickness, fill)):
        each.SetHideFromEditors(True)
        each.SetSaveWithScene(False)
        each.SetAttribute(KIND, kind)
        scene.AddNode(each)
    display = each
    node.SetName(f"MedSegDiff {kind}")
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName(_binary_labelmap())
    for number, segment in enumerate(segments):
        segmentation.AddSegment(segment, f"{kind}{number}")
    node.SetAndObserveDisplayNodeID(display.GetID())
    return node


def hide_outlines(scene, kind: str) -> None:
    """Removes the outlines of a kind."""
    for node in list(scene.GetNodes()):
        if node.GetAttribute(KIND) == kind and scene.IsNodePresent(node):
            scene.RemoveNode(node)


def _display_node(scene, opacity: float, thickness: int, fill: float):
    display = scene.CreateNodeByClass("vtkMRMLSegmentationDisplayNode")
    display.UnRegister(None)
    display.SetVisibility3D(False)
    display.SetVisibility2DFill(fill > 0)
    display.SetOpacity2DFill(fill)
    display.SetOpacity2DOutline(opacity)
    display.SetSliceIntersectionThickness(thickness)
    return display


def _segments(outline: Outline, volume) -> list:
    """The labels as segments that share one labelmap, which is no larger than it must be."""
    shown = np.isin(outline.labelmap, list(outline.colors))
    if not shown.any():
        return []
    start, stop = bounding_box(shown, _MARGIN)
    part = outline.labelmap[tuple(slice(low, high) for low, high in zip(start, stop))]
    voxels, found = oriented_image(np.ascontiguousarray(part), volume, start), []
    for value, color in outline.colors.items():
        segment = slicer.vtkSegment()
        segment.SetName(str(value))
        segment.SetColor(*color)
        segment.SetLabelValue(value)
        segment.AddRepresentation(_binary_labelmap(), voxels)
        found.append(segment)
    return found


def bounding_box(mask: np.ndarray, margin: int = 0) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """First voxel, and the one after the last, along each axis, of what is true.  mask: (I, J, K), not empty."""
    bounds = []
    for axis in range(mask.ndim):
        found = np.flatnonzero(mask.any(tuple(other for other in range(mask.ndim) if other != axis)))
        bounds.append((max(found[0] - margin, 0), min(found[-1] + 1 + margin, mask.shape[axis])))
    return tuple(int(low) for low, _ in bounds), tuple(int(high) for _, high in bounds)


def _binary_labelmap() -> str:
    return slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
