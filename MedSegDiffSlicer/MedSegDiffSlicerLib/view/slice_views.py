"""Where the slice views look."""

from __future__ import annotations

import slicer

from ..nodes.overlay import slice_views


def is_in_a_view(volume) -> bool:
    """Whether the scan is the background of a slice view."""
    return volume.GetID() in _backgrounds()


def show_in_views(volume) -> None:
    """Makes the scan the background of the slice views, and fits them to it, unless it already is."""
    layouts = slicer.app.layoutManager()
    if layouts is None or _backgrounds() == {volume.GetID()}:
        return
    slicer.util.setSliceViewerLayers(background=volume)
    for name in layouts.sliceViewNames():
        logic = layouts.sliceWidget(name).sliceLogic()
        width, height = logic.GetSliceNode().GetDimensions()[:2]
        logic.FitSliceToVolume(volume, width, height)  # not to what lies over it, which may be another scan's map


def is_seen(scene, position) -> bool:
    """Whether the scan of a slice view reaches there, if there are views.  position: RAS mm."""
    views = slice_views(scene)
    for volume in filter(None, (scene.GetNodeByID(view.GetBackgroundVolumeID() or "") for view in views)):
        bounds = [0.0] * 6
        volume.GetRASBounds(bounds)
        if all(low <= x <= high for x, low, high in zip(position, bounds[::2], bounds[1::2])):
            return True
    return not views


def _backgrounds() -> set:
    return {view.GetBackgroundVolumeID() for view in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")}


def show_place(scene, position, size: float) -> None:
    """Centres all slice views on a place and frames it.  position: RAS mm.  size: mm that are seen around it, at
    least."""
    for node in slice_nodes(scene):
        width, height = node.GetDimensions()[:2]
        if min(width, height) <= 0:  # a view that is not shown
            continue
        scale = size / min(width, height)
        modifying = node.StartModify()
        node.SetFieldOfView(width * scale, height * scale, node.GetFieldOfView()[2])
        node.SetXYZOrigin(0, 0, 0)
        node.JumpSliceByCentering(*position)
        node.UpdateMatrices()
        node.EndModify(modifying)


def slice_nodes(scene) -> list:
    """All slice nodes."""
    nodes = scene.GetNodesByClass("vtkMRMLSliceNode")
    nodes.UnRegister(None)
    return [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
