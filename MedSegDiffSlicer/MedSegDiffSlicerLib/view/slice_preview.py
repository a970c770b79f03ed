"""Label map, uncertainty and clicks drawn over a slice view, without a node in the scene. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from medsegdiff.models.package import Label
from medsegdiff.uncertainty.aggregation import bounding_box

from ..nodes.overlay import OPACITY, map_colors
from ..nodes.region_of_interest import Box

BELONGS, DOES_NOT = (0.15, 0.85, 0.3), (0.9, 0.2, 0.2)  # colours of clicks
CLICK_PIXELS = 9
OUTLINE_PIXELS = 2  # on each side of a label's border
Click = tuple[float, float, float, int]


class Part(NamedTuple):
    """The part of an array that is worth drawing; no VTK.  array: in Fortran order.  start: its first voxel."""

    array: np.ndarray
    start: tuple[int, int, int]

    @classmethod
    def of(cls, array: np.ndarray, above: float = 0) -> Part:
        """array: (I, J, K) uint8 or float32, of which only the box is copied that holds values above a limit."""
        box = bounding_box(array > above, 1)
        if any(side.stop == side.start for side in box):
            box = (slice(0, 1),) * 3
        return cls(np.array(array[box], order="F"), tuple(side.start for side in box))


@dataclass(frozen=True)
class Picture:
    """What all slice views show a part of.  image: voxels.  affine: (4, 4) of their index to the world."""

    image: vtk.vtkImageData
    affine: np.ndarray

    @classmethod
    def of(cls, part: Part, box: Box, affine: np.ndarray) -> Picture:
        """part: of an array on the box of a volume's voxels, whose memory it shares.  affine: the volume's."""
        image, scalars = vtk.vtkImageData(), numpy_to_vtk(part.array.ravel(order="F"))
        start = [low + more for low, more in zip(box.start, part.start)]
        image.SetExtent([bound for low, n in zip(start, part.array.shape) for bound in (low, low + n - 1)])
        image.GetPointData().SetScalars(scalars)
        return cls(image, affine)


class SlicePreview:
    """The drawing in one slice view.  renderer: the view's.  slice_node: its vtkMRMLSliceNode."""

    def __init__(self, renderer, slice_node):
        self._renderer, self._slice_node = renderer, slice_node
        self._map, self._labels, self._outlines = _Layer(smooth=True), _Layer(smooth=False), _Layer(outlined=True)
        self._belongs, self._does_not = _Discs(BELONGS), _Discs(DOES_NOT)
        for part in self._parts():
            renderer.AddViewProp(part.actor)

    def remove(self) -> None:
        """Takes all away from the view."""
        for part in self._parts():
            self._renderer.RemoveViewProp(part.actor)

    def show(
        self, labels: Picture | None, uncertainty: Picture | None = None, span: tuple[float, float] = (0.0, 1.0),
        clicks: Sequence[Click] = (),
    ) -> None:  # fmt: skip
        """Draws these instead of what was there.  span: the values of the uncertainty that its colours span."""
        self._labels.show(labels)
        self._outlines.show(labels)
        self._map.show(uncertainty)
        if uncertainty is not None:
            self._map.set_colors(map_colors() * (1, 1, 1, OPACITY), span)
        self._belongs.clicks = [click for click in clicks if click[3]]
        self._does_not.clicks = [click for click in clicks if not click[3]]
        self.update()

    def update(self) -> None:
        """Draws what the view looks at now."""
        for part in self._parts():
            part.update(self._slice_node)

    def set_colors(self, labels: Sequence[Label], color_of: Callable[[Label], tuple], opacity: float) -> None:
        """The labels' colours (r, g, b in 0 - 1) and the opacity of all; their outlines are always opaque, as a map of
        uncertainty below is often brighter than the labels."""
        colors = np.zeros((max((label.value for label in labels), default=0) + 1, 4))
        for label in labels:
            colors[label.value] = (*color_of(label), opacity)
        self._labels.set_colors(colors, (0, len(colors) - 1))
        colors[:, 3] = colors[:, 3] > 0
        self._outlines.set_colors(colors, (0, len(colors) - 1))

    def _parts(self) -> list:
        return [self._map, self._labels, self._outlines, self._belongs, self._does_not]


class _Layer:
    """A picture cut by the slice, through a colour table.  outlined: of labels, only their borders."""

    def __init__(self, smooth: bool = False, outlined: bool = False):
        self._affine = None
        self.reslice, self._table, colors = vtk.vtkImageReslice(), vtk.vtkLookupTable(), vtk.vtkImageMapToColors()
        self.reslice.SetOutputDimensionality(2)
        self.reslice.SetInterpolationModeToLinear() if smooth else self.reslice.SetInterpolationModeToNearestNeighbor()
        self.reslice.SetOutputOrigin(0, 0, 0)
        self.reslice.SetOutputSpacing(1, 1, 1)
        colors.SetOutputFormatToRGBA()
        colors.SetLookupTable(self._table)
        colors.SetInputConnection(self.reslice.GetOutputPort())
        if outlined:
            borders = slicer.vtkImageLabelOutline()
            borders.SetOutline(OUTLINE_PIXELS)
            borders.SetInputConnection(self.reslice.GetOutputPort())
            colors.SetInputConnection(borders.GetOutputPort())
        mapper, self.actor = vtk.vtkImageMapper(), vtk.vtkActor2D()
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        mapper.SetInputConnection(colors.GetOutputPort())
        self.actor.SetMapper(mapper)
        self.actor.VisibilityOff()

    def show(self, picture: Picture | None) -> None:
        self._affine = None if picture is None else picture.affine
        if picture is not None:
            self.reslice.SetInputData(picture.image)
        self.actor.SetVisibility(picture is not None)

    def set_colors(self, colors: np.ndarray, value_range: tuple[float, float]) -> None:
        """colors: (N, 4) in 0 - 1, the first for the low end of the range."""
        self._table.SetNumberOfTableValues(len(colors))
        self._table.SetTableRange(*value_range)
        for index, color in enumerate(colors):
            self._table.SetTableValue(index, *map(float, color))

    def update(self, slice_node) -> None:
        width, height, _ = slice_node.GetDimensions()
        if self._affine is None or min(width, height) <= 0:
            return
        to_world = slicer.util.arrayFromVTKMatrix(slice_node.GetXYToRAS())
        transform = vtk.vtkTransform()
        transform.SetMatrix(slicer.util.vtkMatrixFromArray(np.linalg.inv(self._affine) @ to_world))
        self.reslice.SetResliceTransform(transform)
        self.reslice.SetOutputExtent(0, width - 1, 0, height - 1, 0, 0)


class _Discs:
    """Discs of one colour where clicks of this slice are."""

    def __init__(self, color: tuple[float, float, float]):
        self.clicks: list[Click] = []
        self.points, disc = vtk.vtkPolyData(), vtk.vtkGlyphSource2D()
        disc.SetGlyphTypeToCircle()
        disc.FilledOn()
        disc.SetScale(CLICK_PIXELS)
        glyphs, mapper = vtk.vtkGlyph2D(), vtk.vtkPolyDataMapper2D()
        glyphs.SetSourceConnection(disc.GetOutputPort())
        glyphs.SetInputData(self.points)
        glyphs.ScalingOff()
        mapper.SetInputConnection(glyphs.GetOutputPort())
        mapper.ScalarVisibilityOff()  # the glyph source has a colour of its own
        self.actor = vtk.vtkActor2D()
        self.actor.SetMapper(mapper)
        self.actor.GetProperty().SetColor(*color)

    def update(self, slice_node) -> None:
        points = vtk.vtkPoints()
        from_world = np.linalg.inv(slicer.util.arrayFromVTKMatrix(slice_node.GetXYToRAS()))
        for *place, _value in self.clicks:
            x, y, z = (from_world @ [*place, 1.0])[:3]
            if abs(z) < 0.5:  # slices
                points.InsertNextPoint(x, y, 0)
        self.points.SetPoints(points)
        self.points.Modified()
