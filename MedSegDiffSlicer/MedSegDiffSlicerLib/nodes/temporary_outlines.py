"""Outlines on the slices that come and go: not listed, not saved, removed without a trace.

They are surfaces cut by the slices: for segmentations that are not in the subject hierarchy Slicer logs errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import vtk

from medsegdiff.uncertainty.aggregation import bounding_box

from .scene_change import is_in_scene
from .segments import oriented_image
from .slicer_result import display_nodes

KIND = "MedSegDiff.Temporary"  # attribute: what the node is shown for
AT_ONCE = 2**21  # voxels of which a surface is made in one step
Color = tuple[float, float, float]


class Solid(NamedTuple):
    """What has one label.  array: (I, J, K) uint8 in Fortran order, 1 there, with a margin of 0.  start: its first voxel."""

    array: np.ndarray
    start: tuple[int, int, int]


def solids(labelmap: np.ndarray, colors: dict[int, Color], start=(0, 0, 0)) -> list[tuple[Color, Solid]]:
    """What is to be outlined, without anything of Slicer.

    labelmap: (I, J, K) uint8 of a box of a volume that begins at voxel `start`.  colors: of the labels to show, by value,
    RGB in [0, 1].
    """
    found = []
    for value, color in colors.items():
        mask = labelmap == value
        box = bounding_box(mask, 0)
        if box[0].start == box[0].stop:
            continue
        part = mask[box]
        array = np.zeros([n + 2 for n in part.shape], np.uint8, order="F")
        array[1:-1, 1:-1, 1:-1] = part
        found.append((color, Solid(array, tuple(low + side.start - 1 for low, side in zip(start, box)))))
    return found


class OutlineNodes:
    """Makes the nodes that show outlines, one a colour, from many solids in short steps.

    volume: on whose grid the solids are.  opacity: in [0, 1].  thickness: pixels.
    """

    def __init__(self, scene, kind: str, volume, opacity: float, thickness: int):
        self._scene, self._kind, self._volume = scene, kind, volume
        self._opacity, self._thickness = opacity, thickness
        self._surfaces: dict[Color, vtk.vtkAppendPolyData] = {}

    def add(self, found: Iterable[tuple[Color, Solid]]) -> Iterator[None]:
        """Yields after each step."""
        for color, solid in found:
            for slab in _slabs(solid):
                self._surfaces.setdefault(color, vtk.vtkAppendPolyData()).AddInputData(_surface(slab, self._volume))
                yield

    def show(self) -> list:
        """Shows what was added instead of the outlines of the same kind; returns the nodes."""
        hide_outlines(self._scene, self._kind)
        if not is_in_scene(self._volume):
            return []
        return [
            _show(self._scene, self._kind, each, color, self._volume, self._opacity, self._thickness)
            for color, each in self._surfaces.items()
        ]


def show_outlines(scene, kind: str, found: Iterable[tuple[Color, Solid]], volume, opacity: float, thickness: int) -> list:
    """Shows outlines at once, instead of those of the same kind; see OutlineNodes. Returns their nodes."""
    nodes = OutlineNodes(scene, kind, volume, opacity, thickness)
    for _step in nodes.add(found):
        pass
    return nodes.show()


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


def _slabs(solid: Solid) -> Iterator[Solid]:
    """Its parts along the last axis; each begins with the last slice of the one before, as surfaces lie in between."""
    i, j, k = solid.array.shape
    thick = max(1, AT_ONCE // (i * j))
    for at in range(0, k - 1, thick):
        yield Solid(solid.array[:, :, at : at + thick + 1], (*solid.start[:2], solid.start[2] + at))


def _surface(solid: Solid, volume):
    """The solid's surface, in the volume's own RAS mm."""
    image = oriented_image(solid.array, volume, solid.start, share=True)
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
