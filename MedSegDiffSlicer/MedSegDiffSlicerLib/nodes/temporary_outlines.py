"""Outlines on the slices that come and go: not listed, not saved, removed without a trace.

They are surfaces cut by the slices: for segmentations that are not in the subject hierarchy Slicer logs errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy

from medsegdiff.uncertainty.aggregation import bounding_box

from .scene_change import is_in_scene
from .segments import scalars_of
from .slicer_result import display_nodes

KIND = "MedSegDiff.Temporary"  # attribute: what the node is shown for
AT_ONCE = 2**21  # voxels of which a surface is made in one step
Color = tuple[float, float, float]


class Solid(NamedTuple):
    """What has one label.  array: (I, J, K) uint8 in Fortran order, 1 there, with a margin of 0.  start: its first
    voxel."""

    array: np.ndarray
    start: tuple[int, int, int]


def solids(labelmap: np.ndarray, colors: dict[int, Color], start=(0, 0, 0)) -> list[tuple[Color, Solid]]:
    """What is to be outlined, without anything of Slicer.

    labelmap: (I, J, K) uint8 of a box of a volume that begins at voxel `start`.  colors: of the labels to show, by
    value, RGB in [0, 1].
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


class Surface(NamedTuple):
    """points: (N, 3) float32, in voxels or mm.  corners: (3 M,) of triangles, three numbers of points each."""

    points: np.ndarray
    corners: np.ndarray


class OutlineNodes:
    """Shows the outlines of many solids: `surfaces` of each in short steps, `join` (it may be called in a thread),
    `show`.

    volume: on whose grid the solids are.  opacity: in [0, 1].  thickness: pixels.
    """

    def __init__(self, scene, kind: str, volume, opacity: float, thickness: int):
        self._scene, self._kind, self._volume = scene, kind, volume
        self._opacity, self._thickness = opacity, thickness
        self._parts: dict[Color, list[Surface]] = {}
        matrix = vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(matrix)
        self._affine = slicer.util.arrayFromVTKMatrix(matrix)

    def surfaces(self, found: Iterable[tuple[Color, Solid]]) -> Iterator[None]:
        """Makes the surfaces; yields after each step."""
        for color, solid in found:
            for slab in _slabs(solid):
                self._parts.setdefault(color, []).append(_surface(slab))
                yield

    def join(self) -> dict[Color, Surface]:
        """The surfaces of each colour as one, in the volume's own RAS mm."""
        return {color: _joined(parts, self._affine) for color, parts in self._parts.items()}

    def show(self, joined: dict[Color, Surface]) -> None:
        """Shows them instead of the outlines of the same kind, one node a colour; nodes that are there serve again, as
        Slicer takes its time for each that comes or goes."""
        there = {n.GetDisplayNode().GetColor(): n for n in _nodes(self._scene, self._kind) if n.GetDisplayNode()}
        joined = joined if is_in_scene(self._volume) else {}
        if not set(there) <= set(joined):
            hide_outlines(self._scene, self._kind)
            there = {}
        for color, surface in joined.items():
            if color in there:
                there[color].SetAndObserveTransformNodeID(self._volume.GetTransformNodeID())
                there[color].SetAndObservePolyData(_poly_data(surface))
            else:
                _show(self._scene, self._kind, surface, color, self._volume, self._opacity, self._thickness)


def show_outlines(
    scene, kind: str, found: Iterable[tuple[Color, Solid]], volume, opacity: float, thickness: int
) -> None:
    """Shows outlines at once, instead of those of the same kind; see OutlineNodes."""
    nodes = OutlineNodes(scene, kind, volume, opacity, thickness)
    for _step in nodes.surfaces(found):
        pass
    nodes.show(nodes.join())


def hide_outlines(scene, kind: str) -> None:
    """Removes the outlines of a kind."""
    for node in _nodes(scene, kind):
        for each in (node, *display_nodes(node)):
            if scene.IsNodePresent(each):
                scene.RemoveNode(each)


def _nodes(scene, kind: str) -> list:
    return [n for n in scene.GetNodes() if n.GetAttribute(KIND) == kind and n.IsA("vtkMRMLModelNode")]


def _show(scene, kind: str, surface: Surface, color: Color, volume, opacity: float, thickness: int) -> None:
    display = _hidden(scene, "vtkMRMLModelDisplayNode", kind)
    display.SetColor(*color)
    display.SetVisibility3D(False)
    display.SetVisibility2D(True)
    display.SetSliceIntersectionOpacity(opacity)
    display.SetSliceIntersectionThickness(thickness)
    node = _hidden(scene, "vtkMRMLModelNode", kind)
    node.SetName(f"MedSegDiff {kind}")
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.SetAndObservePolyData(_poly_data(surface))
    node.SetAndObserveDisplayNodeID(scene.AddNode(display).GetID())
    scene.AddNode(node)


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


def _surface(solid: Solid) -> Surface:
    """The solid's surface, in voxels of the volume."""
    grid, surface = vtk.vtkImageData(), vtk.vtkDiscreteFlyingEdges3D()
    grid.SetExtent([bound for low, size in zip(solid.start, solid.array.shape) for bound in (low, low + size - 1)])
    grid.GetPointData().SetScalars(scalars_of(solid.array, share=True))
    surface.SetInputData(grid)
    surface.SetValue(0, 1)
    surface.ComputeScalarsOff()
    surface.Update()
    made = surface.GetOutput()
    if not made.GetNumberOfPoints():
        return Surface(np.zeros((0, 3), np.float32), np.zeros(0, np.int64))
    return Surface(vtk_to_numpy(made.GetPoints().GetData()), vtk_to_numpy(made.GetPolys().GetConnectivityArray()))


def _joined(parts: list[Surface], affine: np.ndarray) -> Surface:
    firsts = np.cumsum([0, *(len(part.points) for part in parts)])
    corners = [part.corners.astype(np.int64) + first for part, first in zip(parts, firsts)]
    points = np.concatenate([part.points for part in parts])
    return Surface((points @ affine[:3, :3].T + affine[:3, 3]).astype(np.float32), np.concatenate(corners))


def _poly_data(surface: Surface):
    made, points, triangles = vtk.vtkPolyData(), vtk.vtkPoints(), vtk.vtkCellArray()
    points.SetData(numpy_to_vtk(surface.points))
    triangles.SetData(3, numpy_to_vtkIdTypeArray(surface.corners))
    made.SetPoints(points)
    made.SetPolys(triangles)
    return made
