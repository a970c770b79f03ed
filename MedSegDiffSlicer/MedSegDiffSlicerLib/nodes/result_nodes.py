"""The single nodes of a result, and their place in the subject hierarchy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer
import vtk

from .overlay import give_voxels, place_beside
from .segment_numbers import was_painted
from .segments import APPLIED, segment_ids
from .slicer_result import BELONGS_TO, RUN, SlicerResult, describe_alike, display_nodes, mark_as_original, nodes_of_run
from .verdicts import judged_labels

FILL = 0.2  # opacity of new segments on slices: scan and map must stay readable below
OUTLINE = 2  # pixels of their outlines, which must be seen over a map
WITHHELD = "Expected Dice withheld"  # column: why there is none; empty where there is
# Column title and key of the statistics.
COLUMNS = (
    ("Segment", "name"), ("Label", "label"), ("Volume [mm3]", "volume_mm3"), ("Volume low [mm3]", 0),
    ("Volume high [mm3]", 1), ("Surface area [mm2]", "surface_area_mm2"), ("Mean uncertainty", "mean_uncertainty"),
    ("Worst uncertainty", "worst_uncertainty"), ("Sample agreement", "sample_agreement"),
    ("Expected Dice", "expected_dice"), (WITHHELD, "expected_dice_withheld"),
)  # fmt: skip
_TEXTS = ("name", "expected_dice_withheld")


def add_segmentation(scene, name: str):
    """A segmentation node without segments."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
    show_segmentation(node)
    return node


def show_segmentation(node) -> None:
    """Makes it visible, with scan and map readable below."""
    display = node.GetScene().CreateNodeByClass("vtkMRMLSegmentationDisplayNode")  # with the scene's defaults
    display.UnRegister(None)
    display.SetOpacity2DFill(FILL)
    display.SetSliceIntersectionThickness(OUTLINE)
    node.GetScene().AddNode(display)
    node.SetAndObserveDisplayNodeID(display.GetID())


def add_samples(scene, name: str):
    """A sequence node without samples."""
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    sequence.SetIndexName("sample")
    sequence.SetIndexUnit("")
    sequence.SetIndexTypeFromString("numeric")
    return sequence


def append_sample(sequence, sample: np.ndarray, volume) -> None:
    """Appends a labelmap, (I, J, K) uint8 on the volume's grid, to the sequence."""
    number = str(sequence.GetNumberOfDataNodes() + 1)
    labelmap = slicer.vtkMRMLLabelMapVolumeNode()
    labelmap.SetName(f"{sequence.GetName()} {number}")
    place_beside(labelmap, volume)
    give_voxels(sequence.SetDataNodeAtValue(labelmap, number), sample)  # else it would copy the voxels


def add_statistics(scene, name: str, statistics: Sequence[dict]):
    """A table with one row a segment."""
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    for title, key in COLUMNS:
        column = vtk.vtkStringArray() if key in _TEXTS else vtk.vtkDoubleArray()
        column.SetName(title)
        for row in statistics:
            value = row["volume_interval_mm3"][key] if isinstance(key, int) else row.get(key)
            column.InsertNextValue(value or "" if key in _TEXTS else float("nan" if value is None else value))
        node.AddColumn(column)
    return node


def place_in_hierarchy(scene, added: SlicerResult, title: str, node) -> None:
    """Puts a node of a run to its place: the segmentation beside its volume, what belongs to it into a folder there.

    Slicer makes the nodes' items itself; a scene without the application does not.
    """
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    volume_item = hierarchy.GetItemByDataNode(added.volumeNode)
    parent = hierarchy.GetItemParent(volume_item) if volume_item else hierarchy.GetSceneItemID()
    if node is not added.segmentationNode:
        node.SetNodeReferenceID(BELONGS_TO, added.segmentationNode.GetID())
        mark_as_original(node)
        folder = _folder_of(hierarchy, parent, title)
        if folder is None:
            folder = hierarchy.CreateFolderItem(parent, f"{title} results")
            hierarchy.SetItemAttribute(folder, RUN, title)
            hierarchy.SetItemExpanded(folder, False)
        parent = folder
    item = hierarchy.GetItemByDataNode(node)
    if item:
        hierarchy.SetItemParent(item, parent)
    else:
        hierarchy.CreateItem(parent, node)


def add_to_run(scene, added: SlicerResult, nodes: Sequence) -> None:
    """Makes further nodes part of a run that is in the scene: described, referring to its segmentation, in its
    folder."""
    title = added.segmentationNode.GetAttribute(RUN) or added.volumeNode.GetName()
    for node in nodes:
        describe_alike(node, added.segmentationNode, title)
        place_in_hierarchy(scene, added, title, node)


def remove_empty_folders(scene) -> None:
    """Removes the folders of runs in which nothing is left."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    for item in _items_below(hierarchy, hierarchy.GetSceneItemID(), recursively=True):
        if hierarchy.GetItemAttribute(item, RUN) and not hierarchy.GetNumberOfItemChildren(item):
            hierarchy.RemoveItem(item)


def _folder_of(hierarchy, parent: int, title: str) -> int | None:
    items = _items_below(hierarchy, parent)
    return next((item for item in items if hierarchy.GetItemAttribute(item, RUN) == title), None)


def _items_below(hierarchy, parent: int, recursively: bool = False) -> list[int]:
    children = vtk.vtkIdList()
    hierarchy.GetItemChildren(parent, children, recursively)
    return [children.GetId(index) for index in range(children.GetNumberOfIds())]


def remove_nodes(scene, nodes: Sequence) -> None:
    """Removes the nodes with their display and storage nodes, and the folders of runs that are empty then."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    items = {hierarchy.GetItemByDataNode(node) for node in nodes}
    for node in nodes:
        displays = display_nodes(node) if node.IsA("vtkMRMLDisplayableNode") else []
        storage = node.GetStorageNode() if node.IsA("vtkMRMLStorableNode") else None
        for each in (node, *displays, storage):
            if each is not None and scene.IsNodePresent(each):
                scene.RemoveNode(each)
    for item in items & set(_items_below(hierarchy, hierarchy.GetSceneItemID(), recursively=True)):
        hierarchy.RemoveItem(item, False, False)  # the application has done that already
    remove_empty_folders(scene)


def remove_run(scene, segmentation_node) -> list[str]:
    """Removes what a run left: what belongs to its segmentation, the segments as it made them, and the segmentation
    where no other segment is in it. Returns the names of those that stay: see kept_segments."""
    kept, segmentation = kept_segments(segmentation_node), segmentation_node.GetSegmentation()
    names = [segmentation.GetSegment(segment_id).GetName() for segment_id in kept]
    remove_nodes(scene, nodes_of_run(scene, segmentation_node))
    if not kept:
        remove_nodes(scene, [segmentation_node])
        return []
    for segment_id in set(segmentation.GetSegmentIDs()) - set(kept):
        segmentation.RemoveSegment(segment_id)
    segmentation_node.RemoveAttribute(RUN)
    return names


def kept_segments(segmentation_node) -> list[str]:
    """The IDs of the segments that hold a user's work: those that no run made here, that were edited since, reviewed,
    or written by the Segment Editor, whose undo takes them back."""
    if segmentation_node.GetAttribute(RUN) is None:
        return list(segmentation_node.GetSegmentation().GetSegmentIDs())  # copied from where a run made them, at most
    segmentation, logic = segmentation_node.GetSegmentation(), slicer.vtkSlicerSegmentationsModuleLogic
    ids, labels = segment_ids(segmentation_node), judged_labels(segmentation_node)
    reviewed = {segment_id for value, segment_id in ids.items() if value in labels}  # undo takes the status away

    def is_work(segment_id: str) -> bool:
        segment = segmentation.GetSegment(segment_id)
        judged = segment_id in reviewed or logic.GetSegmentStatus(segment) != logic.NotStarted
        return judged or segment.HasTag(APPLIED) or was_painted(segmentation_node, segment_id)

    made = segment_ids(segmentation_node, but=is_work).values()
    return [segment_id for segment_id in segmentation.GetSegmentIDs() if segment_id not in made]
