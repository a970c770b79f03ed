"""Maps as scalar volumes that can be laid over a scan without further clicks."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from medsegdiff.image.colors import inferno
from medsegdiff.uncertainty.map_range import Span

from .segments import scalars_of
from .slicer_result import MODEL

COLORS_TAG = "MedSegDiffOverlay"
MEASURE = "MedSegDiff.Measure"  # attribute of a map: its kind
OPEN = "MedSegDiff.MoreAbove"  # likewise: there may be values above those that the colours span
# On a slice view's composite node: the foreground that a map took the place of, and its opacity.
HIDDEN, HIDDEN_OPACITY = "MedSegDiff.HiddenForeground", "MedSegDiff.HiddenForegroundOpacity"
TRANSPARENT_BELOW = 0.05  # share of the range that stays see-through
OPAQUE_ABOVE = 0.25  # share of the range from which the map has its full opacity
SHOWN_FROM = 0.2  # the same where Slicer draws a volume, of which a voxel is see-through or is not
OPACITY = 0.5  # of such a volume over a scan


def add_map(scene, name: str, values: np.ndarray, volume, kind: str, span: Span):
    """A new scalar volume with colours, window and level set. values: (I, J, K) float32 on the volume's grid; their
    memory becomes the volume's where they are in Fortran order.  Low values are not shown, so that the scan is.

    kind: a measure, or "probability".  span: the values that the colours span.
    """
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetAttribute(MEASURE, kind)
    node.SetAttribute(OPEN, "1" if span.open else None)
    place_beside(node, volume)
    node.CreateDefaultDisplayNodes()  # before there are voxels, else it computes a window for them, slowly
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(color_table(scene).GetID())
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(span.low, span.high)
    show_from(display, span.low + SHOWN_FROM * (span.high - span.low))
    display.InterpolateOn()
    give_voxels(node, values)
    return node


def show_from(display, value: float) -> None:
    """From which value on a map is shown; in its unit."""
    with slicer.util.NodeModify(display):
        display.ApplyThresholdOn()
        display.SetThreshold(value, 1e3)  # no value is as large


def give_voxels(node, array: np.ndarray) -> None:
    """Makes an array (I, J, K) a volume node's voxels; its memory becomes the node's where it is in Fortran order."""
    image = vtk.vtkImageData()
    image.SetDimensions(array.shape)
    image.GetPointData().SetScalars(scalars_of(array, share=True))
    node.SetAndObserveImageData(image)


def place_beside(node, volume) -> None:
    """Gives a volume node the other one's grid and parent transform."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    node.SetIJKToRASMatrix(matrix)
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())


def color_table(scene):
    """The scene's colour table for maps, made on first use; what is nothing is see-through."""
    node = scene.GetSingletonNode(COLORS_TAG, "vtkMRMLColorTableNode")
    if node is not None:
        return node
    node = scene.CreateNodeByClass("vtkMRMLColorTableNode")
    node.UnRegister(None)
    node.SetName("MedSegDiff overlay")
    node.SetSingletonTag(COLORS_TAG)
    node.SetTypeToUser()
    node.SetNumberOfColors(256)
    for index, (red, green, blue) in enumerate(map_colors()[:, :3].tolist()):
        node.SetColor(index, f"{index / 255:.2f}", red, green, blue, float(index > 0))
    return scene.AddNode(node)


def map_colors() -> np.ndarray:
    """(256, 4) red, green, blue and opacity, 0 - 1, from the low to the high end of a map."""
    share = np.linspace(0, 1, 256)
    alpha = np.clip((share - TRANSPARENT_BELOW) / (OPAQUE_ABOVE - TRANSPARENT_BELOW), 0, 1)
    return np.column_stack([inferno(share) / 255, alpha])


def show_overlay(scene, map_node, opacity: float = OPACITY) -> None:
    """Lays the map over whatever all slice views show; what was there as foreground comes back with hide_overlay."""
    for view in slice_views(scene):
        cover_view(scene, view, map_node, opacity)


def cover_view(scene, view, map_node, opacity: float) -> None:
    """show_overlay for one slice view (its vtkMRMLSliceCompositeNode)."""
    with slicer.util.NodeModify(view):  # Slicer's annotations are slow: once a view
        _cover(scene, view, map_node, opacity)


def _cover(scene, view, map_node, opacity: float) -> None:
    shown = scene.GetNodeByID(view.GetForegroundVolumeID() or "")
    if shown is None:  # nothing, or an earlier map that was removed
        is_users = view.GetAttribute(HIDDEN_OPACITY) is None
    else:
        is_users = shown.GetAttribute(MODEL) is None
    if is_users:
        view.SetNodeReferenceID(HIDDEN, shown.GetID() if shown else None)
        view.SetAttribute(HIDDEN_OPACITY, str(view.GetForegroundOpacity()))
    view.SetForegroundVolumeID(map_node.GetID())
    view.SetForegroundOpacity(opacity)


def has_own_foreground(scene) -> bool:
    """Whether the user laid a volume over the scan in a slice view, to be seen."""
    seen = [view for view in slice_views(scene) if view.GetForegroundOpacity() > 0]
    laid = [scene.GetNodeByID(view.GetForegroundVolumeID() or "") for view in seen]
    return any(volume is not None and volume.GetAttribute(MODEL) is None for volume in laid)


def hide_overlay(scene, map_node) -> None:
    """Takes the map away from the slice views that show it, and brings back what it took the place of."""
    for view in slice_views(scene):
        shown = scene.GetNodeByID(view.GetForegroundVolumeID() or "")
        if shown not in (None, map_node) and shown.GetAttribute(MODEL) is not None:
            continue  # another map took its place, and will bring back what was there
        with slicer.util.NodeModify(view):
            if view.GetForegroundVolumeID() == map_node.GetID():
                view.SetForegroundVolumeID(view.GetNodeReferenceID(HIDDEN))
                view.SetForegroundOpacity(float(view.GetAttribute(HIDDEN_OPACITY) or view.GetForegroundOpacity()))
            view.SetNodeReferenceID(HIDDEN, None)
            view.RemoveAttribute(HIDDEN_OPACITY)


def slice_views(scene) -> list:
    """The composite node of each slice view."""
    views = scene.GetNodesByClass("vtkMRMLSliceCompositeNode")
    views.UnRegister(None)
    return [views.GetItemAsObject(index) for index in range(views.GetNumberOfItems())]
