"""Results in the scene: those that came with it, without the backend's result, and those below a new one."""

from __future__ import annotations

from .overlay import MEASURE
from .scene_change import is_in_scene
from .slicer_result import BELONGS_TO, MODEL, RUN, SlicerResult, nodes_of_run, volume_of_run


def find_result(scene, segmentation_node) -> SlicerResult | None:
    """The nodes of the run that made the segmentation; None where no run did, or its volume is gone.  `result` is
    None."""
    volume = volume_of_run(segmentation_node)
    if segmentation_node.GetAttribute(MODEL) is None or not is_in_scene(volume):
        return None
    found = SlicerResult(None, volume, segmentation_node)
    for node in nodes_of_run(scene, segmentation_node):
        kind = node.GetAttribute(MEASURE)
        if kind == "probability":
            found.probabilityVolumeNodes.append(node)
        elif kind is not None:
            found.uncertaintyVolumeNodes.append(node)
        elif node.IsA("vtkMRMLSequenceNode") and node.GetDataNodeClassName() != "vtkMRMLSegmentationNode":
            found.samplesSequenceNode = node  # the other is a batch's, of a segmentation a frame
        elif node.IsA("vtkMRMLTableNode") and node.GetColumnIndex("Volume low [mm3]") >= 0:
            found.statisticsTableNode = node
    return found


def results_in(scene) -> list:
    """The segmentations of results in the scene, the oldest first; not those of a batch over frames, which have neither
    maps nor samples nor numbers of their own."""
    of_frames = _of_frames(scene)
    return [node for node in runs_in(scene) if node not in of_frames]


def runs_in(scene) -> list:
    """The segmentations that runs left in the scene, the oldest first; those of a batch over frames also while a frame
    without a result is shown, of which nothing is told."""
    nodes, of_frames = scene.GetNodesByClass("vtkMRMLSegmentationNode"), _of_frames(scene)
    nodes.UnRegister(None)
    return [
        node for node in nodes
        if node in of_frames
        or (node.GetAttribute(RUN) and node.GetAttribute(MODEL) and is_in_scene(volume_of_run(node)))
    ]  # fmt: skip


def _of_frames(scene) -> set:
    """The segmentations in which browsers show those of a batch's frames."""
    return {
        node.GetNodeReference(BELONGS_TO) for node in scene.GetNodes()
        if node.IsA("vtkMRMLSequenceNode") and node.GetDataNodeClassName() == "vtkMRMLSegmentationNode"
    }  # fmt: skip


def show_alone(scene, segmentation_node) -> list[str]:
    """Shows the segmentation of a result, which another one may have hidden, and hides those that other runs left, of
    whatever volume, as they lie below this one, unless they are being edited; their names."""
    if segmentation_node.GetDisplayNode() is not None:
        segmentation_node.GetDisplayNode().SetVisibility(True)
    editors = scene.GetNodesByClass("vtkMRMLSegmentEditorNode")
    editors.UnRegister(None)
    edited = [editor.GetSegmentationNode() for editor in editors if editor.GetActiveEffectName()]
    hidden = []
    for node in runs_in(scene):
        if node is not segmentation_node and node not in edited:
            display = node.GetDisplayNode()
            if display and display.GetVisibility():
                display.SetVisibility(False)
                hidden.append(node.GetName())
    return hidden
