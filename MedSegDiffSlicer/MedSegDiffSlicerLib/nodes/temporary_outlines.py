"""Outlines on the slices that come and go: not listed, not saved, removed without a trace.

They are surfaces cut by the slices: for segmentations that are not in the subject hierarchy Slicer logs errors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import vtk

from .segments import oriented_image
from .slicer_result import display_nodes

KIND = "MedSegDiff.Temporary"  # attribute: what the node is shown for
Color = tuple[float, float, float]


@dataclass(frozen=True)
class Outline:
    """labelmap: (I, J, K) uint8 on the volume's grid.  colors: of the labels to show, by value, RGB in [0, 1]."""

    labelmap: np.ndarray
    colors: dict[int, Color]


def show_outlines(scene, kind: str, outlines: Iterable[Outline], volume, opacity: float, thickness: int) -> list:
    """Shows the outlines instead of those of the same kind; returns their nodes, one a colour.

    opacity: in [0, 1].  thickness: pixels.
    """
    hide_outlines(scene, kind)
    surfaces: dict[Color, vtk.vtkAppendPolyData] = {}
    for outline in outlines:
        for value, color in outline.colors.items():
            surface = _surface(outline.labelmap == value, volume)
            if surface is not None:
                surfaces.setdefault(color, vtk.vtkAppendPolyData()).AddInputData(surface)
    return [_show(scene, kind, each, color, volume, opacity, thickness) for color, each in surfaces.items()]


def hide_outlines(scene, kind: str) -> None:
    """Removes the outlines of a kind."""
    for node in list(scene.GetNodes()):
        if node.GetAttribute(KIND) == kind and scene.IsNodePresent(node):
            displays = display_nodes(node) if node.IsA("vtkMRMLDisplayableNode") else []
            for each in (node, *displays):
                if scene.IsNodePresent(each):
                    scene.RemoveNode(each)


def _show(scene, kind: str, surface, color: Color, volume, opacity: float, thickness: int):
    surface.Update()
    display = _hidden(scene, "vtkMRMLModelDisplayNode", kind)
    display.SetColor(*color)
    display.SetVisibility3D(False)
    display.SetVisibility2D(True)
    display.SetSliceIntersectionOpacity(opacity)
    display.SetSliceIntersectionThickness(thickness)
    node = _hidden(scene, "vtkMRMLModelNode", kind)
    node.SetName(f"MedSegDiff {kind}")
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.SetAndObservePolyData(surface.GetOutput())
    node.SetAndObserveDisplayNodeID(scene.AddNode(display).GetID())
    return scene.AddNode(node)


def _hidden(scene, class_name: str, kind: str):
    node = scene.CreateNodeByClass(class_name)
    node.UnRegister(None)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node.SetAttribute(KIND, kind)
    return node


def _surface(mask: np.ndarray, volume):
    """The surface of what is true in (I, J, K), in the volume's own RAS mm; None where nothing is."""
    if not mask.any():
        return None
    start, stop = bounding_box(mask)
    part = mask[tuple(slice(low, high) for low, high in zip(start, stop))]
    image = oriented_image(np.pad(part, 1).astype(np.uint8), volume, [low - 1 for low in start])
    matrix, to_world, grid = vtk.vtkMatrix4x4(), vtk.vtkTransform(), vtk.vtkImageData()
    image.GetImageToWorldMatrix(matrix)
    to_world.SetMatrix(matrix)
    grid.SetExtent(image.GetExtent())
    grid.GetPointData().SetScalars(image.GetPointData().GetScalars())
    surface, placed = vtk.vtkDiscreteFlyingEdges3D(), vtk.vtkTransformPolyDataFilter()
    surface.SetInputData(grid)
    surface.SetValue(0, 1)
    surface.ComputeScalarsOff()
    placed.SetInputConnection(surface.GetOutputPort())
    placed.SetTransform(to_world)
    placed.Update()
    return placed.GetOutput()


def bounding_box(mask: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """First voxel, and the one after the last, along each axis, of what is true.  mask: (I, J, K), not empty."""
    bounds = []
    for axis in range(mask.ndim):
        found = np.flatnonzero(mask.any(tuple(other for other in range(mask.ndim) if other != axis)))
        bounds.append((int(found[0]), int(found[-1]) + 1))
    return tuple(low for low, _ in bounds), tuple(high for _, high in bounds)
