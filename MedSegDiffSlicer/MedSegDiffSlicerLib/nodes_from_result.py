"""Backend result in, nodes out: all of them or, where anything fails, none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import slicer
import vtk

from medsegdiff.errors import JobError, RequestError
from medsegdiff.inference.result import SegmentResult
from medsegdiff.uncertainty.rules import MEASURES

from .overlay import add_map, place_beside
from .scene_change import all_or_nothing, is_in_scene
from .segment_numbers import keep_numbers
from .segments import write_segments

FILL = 0.2  # opacity of new segments on slices: scan and map must stay readable below
ATTRIBUTES = {
    "MedSegDiff.Model": "model", "MedSegDiff.ModelSHA256": "model_sha256", "MedSegDiff.Seed": "seed",
    "MedSegDiff.Sampler": "sampler", "MedSegDiff.Steps": "steps", "MedSegDiff.Samples": "samples",
    "MedSegDiff.Version": "version",
}  # fmt: skip
BELONGS_TO = "MedSegDiff.Segmentation"  # reference role: from maps, samples and table to the segmentation of their run
# Column title and key of the statistics.
COLUMNS = (
    ("Segment", "name"), ("Label", "label"), ("Volume [mm3]", "volume_mm3"), ("Volume low [mm3]", 0),
    ("Volume high [mm3]", 1), ("Mean uncertainty", "mean_uncertainty"), ("Sample agreement", "sample_agreement"),
    ("Expected Dice", "expected_dice"),
)  # fmt: skip


@dataclass
class SlicerResult:
    """The nodes that one segmentation left in the scene, and the backend's result that they were made from."""

    result: SegmentResult
    volumeNode: object
    segmentationNode: object = None
    uncertaintyVolumeNodes: list = field(default_factory=list)
    probabilityVolumeNodes: list = field(default_factory=list)
    samplesSequenceNode: object = None
    statisticsTableNode: object = None

    @property
    def report(self) -> dict:
        """The report of the run, as the command line's --report writes it."""
        return self.result.report

    def nodes(self) -> list:
        """Every node of this result."""
        single = (self.segmentationNode, self.samplesSequenceNode, self.statisticsTableNode)
        return [n for n in (*single, *self.uncertaintyVolumeNodes, *self.probabilityVolumeNodes) if n is not None]


def check_measures(measures: Sequence[str]) -> None:
    """Raises RequestError unless these are names of uncertainty measures."""
    if isinstance(measures, str) or not all(name in MEASURES for name in measures):
        raise RequestError(f"measures {measures!r} cannot be used; give a list of names out of {', '.join(MEASURES)}")


def add_result(
    scene,
    result: SegmentResult,
    volume,
    segmentation_node=None,
    measures: Sequence[str] = ("entropy",),
    probabilities: bool = True,
    samples: bool = True,
) -> SlicerResult:
    """Adds the result's nodes beside the volume it was made from.

    segmentation_node: an existing node whose segments are replaced, with the maps, samples and table of their run;
        None, or one that was deleted, makes a new one.
    measures: uncertainty maps to add.  probabilities, samples: whether to add these too.
    Raises JobError where the volume was deleted meanwhile; the scene then is as before, as after any other failure.
    """
    if not is_in_scene(volume):
        raise JobError("the input volume was removed meanwhile; the result was discarded")
    if not is_in_scene(segmentation_node):
        segmentation_node = None
    given = [] if segmentation_node is None else [segmentation_node, *_display_nodes(segmentation_node)]
    with all_or_nothing(scene, *given):
        added = _add_result(scene, result, volume, segmentation_node, measures, probabilities, samples)
    if segmentation_node is not None:
        _remove_stale(scene, added)
    return added


def _add_result(scene, result, volume, segmentation_node, measures, probabilities, samples) -> SlicerResult:
    name, added = volume.GetName(), SlicerResult(result, volume, segmentation_node)
    if segmentation_node is None:
        title = scene.GenerateUniqueName(f"{name} segmentation")
        added.segmentationNode = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", title)
        added.segmentationNode.CreateDefaultDisplayNodes()
        added.segmentationNode.GetDisplayNode().SetOpacity2DFill(FILL)
    write_segments(added.segmentationNode, result.labelmap, result.labels, volume)
    keep_numbers(added.segmentationNode, result.statistics)
    for measure in measures:
        node = add_map(scene, f"{name} {measure}", result.uncertainty(measure), volume, measure)
        added.uncertaintyVolumeNodes.append(node)
    if probabilities:
        for label in result.labels:
            title = f"{name} probability of {label.name}"
            node = add_map(scene, title, result.probability[label.value], volume, "probability")
            added.probabilityVolumeNodes.append(node)
    if samples:
        added.samplesSequenceNode = _add_samples(scene, f"{name} samples", result.samples, volume)
    added.statisticsTableNode = _add_statistics(scene, f"{name} statistics", result.statistics)
    for node in added.nodes():
        with slicer.util.NodeModify(node):  # one event a node, not one an attribute
            for attribute, key in ATTRIBUTES.items():
                value = result.report[key]
                node.SetAttribute(attribute, "" if value is None else str(value))
            if node is not added.segmentationNode:
                node.SetNodeReferenceID(BELONGS_TO, added.segmentationNode.GetID())
    for node in sorted(added.nodes(), key=lambda node: node is segmentation_node):  # a given one last: it stays there
        _place_in_hierarchy(scene, node, volume)
    return added


def _remove_stale(scene, added: SlicerResult) -> None:
    """Removes what an earlier run left for the segmentation that now holds other segments."""
    for node in list(scene.GetNodes()):
        if node.GetNodeReferenceID(BELONGS_TO) == added.segmentationNode.GetID() and node not in added.nodes():
            displays = _display_nodes(node) if node.IsA("vtkMRMLDisplayableNode") else []
            stored = node.GetStorageNode() if node.IsA("vtkMRMLStorableNode") else None
            for each in (node, *displays, stored):
                if each is not None and scene.IsNodePresent(each):
                    scene.RemoveNode(each)


def _add_samples(scene, name: str, samples: np.ndarray, volume):
    """A sequence with one labelmap a sample. samples: (S, I, J, K) uint8."""
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    sequence.SetIndexName("sample")
    sequence.SetIndexUnit("")
    sequence.SetIndexTypeFromString("numeric")
    for index, sample in enumerate(samples):
        labelmap = slicer.vtkMRMLLabelMapVolumeNode()
        labelmap.SetName(f"{name} {index + 1}")
        place_beside(labelmap, volume)
        slicer.util.updateVolumeFromArray(labelmap, np.ascontiguousarray(sample.transpose(2, 1, 0)))
        sequence.SetDataNodeAtValue(labelmap, str(index + 1))
    return sequence


def _add_statistics(scene, name: str, statistics: Sequence[dict]):
    """A table with one row a segment."""
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    for title, key in COLUMNS:
        column = vtk.vtkStringArray() if key == "name" else vtk.vtkDoubleArray()
        column.SetName(title)
        for row in statistics:
            value = row["volume_interval_mm3"][key] if isinstance(key, int) else row[key]
            column.InsertNextValue(str(value) if key == "name" else float("nan" if value is None else value))
        node.AddColumn(column)
    return node


def _place_in_hierarchy(scene, node, volume) -> None:
    """Puts the node beside the volume. Slicer makes the items itself; a scene without the application does not."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    volume_item = hierarchy.GetItemByDataNode(volume)
    parent = hierarchy.GetItemParent(volume_item) if volume_item else hierarchy.GetSceneItemID()
    item = hierarchy.GetItemByDataNode(node)
    if item:
        hierarchy.SetItemParent(item, parent)
    else:
        hierarchy.CreateItem(parent, node)


def _display_nodes(node) -> list:
    return [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
