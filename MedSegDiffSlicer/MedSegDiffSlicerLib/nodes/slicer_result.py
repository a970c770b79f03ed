"""The nodes that one run left in the scene: what they are called and how they belong together."""

from __future__ import annotations

from dataclasses import dataclass, field

import slicer

from medsegdiff.inference.result import SegmentResult

MODEL = "MedSegDiff.Model"  # attribute of every node that a run left
ATTRIBUTES = {
    MODEL: "model", "MedSegDiff.ModelSHA256": "model_sha256", "MedSegDiff.Seed": "seed",
    "MedSegDiff.Sampler": "sampler", "MedSegDiff.Steps": "steps", "MedSegDiff.Samples": "samples",
    "MedSegDiff.Version": "version", "MedSegDiff.Ensemble": "ensemble",
}  # fmt: skip
# Attributes of a segmentation: what the run warned of, a line each, and the console call that does the same.
WARNINGS, CALL = "MedSegDiff.Warnings", "MedSegDiff.Call"
RUN = "MedSegDiff.Run"  # attribute: the title of the run that a node is of, with which its name begins
BELONGS_TO = "MedSegDiff.Segmentation"  # reference role: from maps, samples and table to the segmentation of their run
# Reference role: from these to themselves; a copy that a user made refers to another node. Also an attribute: a copy
# whose original was removed refers to none.
SELF = "MedSegDiff.Self"
# Reference role: to the volume that a run was of. Also an attribute of its segmentation, the volume's name, which stays
# when the volume is deleted.
VOLUME = "MedSegDiff.Volume"
_REFERENCE = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()


@dataclass
class SlicerResult:
    """The nodes that one segmentation left in the scene, and the backend's result that they were made from; None where
    that is not at hand: after a scene was loaded, or `release`."""

    result: SegmentResult | None
    volumeNode: object
    segmentationNode: object = None
    uncertaintyVolumeNodes: list = field(default_factory=list)
    probabilityVolumeNodes: list = field(default_factory=list)
    samplesSequenceNode: object = None
    statisticsTableNode: object = None
    hidden: list[str] = field(default_factory=list)  # names of earlier results' segmentations, which made room for it
    kept: list[str] = field(default_factory=list)  # names of earlier segments that stayed, see kept_segments
    verdicts: list[str] = field(default_factory=list)  # that its review begins with, a place each
    frame: str | None = None  # of a sequence, that the volume showed
    released_report: dict | None = None

    def __repr__(self) -> str:
        """One line: in the console, report and nodes would fill the screen."""
        return f"SlicerResult({', '.join(node.GetName() for node in self.nodes())})"

    @property
    def report(self) -> dict:
        """The report of the run, as the command line's --report writes it."""
        return self.result.report if self.result is not None else self.released_report

    def release(self) -> None:
        """Lets the arrays go, which may be gigabytes; report and nodes stay."""
        if self.result is not None:
            self.result, self.released_report = None, self.result.report

    def nodes(self) -> list:
        """Every node of this result."""
        single = (self.segmentationNode, self.samplesSequenceNode, self.statisticsTableNode)
        return [n for n in (*single, *self.uncertaintyVolumeNodes, *self.probabilityVolumeNodes) if n is not None]


def run_title(scene, volume, segmentation_node=None) -> str:
    """What the nodes of a new run begin with: the volume's name, from the second run on with its number.

    segmentation_node: one whose segments are replaced keeps the title of its run, if that was of the volume, too.
    """
    replaced = [segmentation_node, *nodes_of_run(scene, segmentation_node)] if segmentation_node is not None else []
    taken = {node.GetAttribute(RUN) for node in list(scene.GetNodes()) if node not in replaced}
    same = segmentation_node is not None and volume_of_run(segmentation_node) is volume
    if same and segmentation_node.GetAttribute(RUN):
        return segmentation_node.GetAttribute(RUN)
    title, number = volume.GetName(), 1
    while title in taken:
        number += 1
        title = f"{volume.GetName()} run {number}"
    return title


def volume_of_run(segmentation_node):
    """The volume that the run was of, None where it was deleted; in scenes of earlier versions, which do not tell, the
    one whose geometry the segmentation has."""
    told = segmentation_node.GetAttribute(VOLUME) is not None
    return segmentation_node.GetNodeReference(VOLUME if told else _REFERENCE)


def describe(node, report: dict, title: str | None = None) -> None:
    """Writes into the node how it was made.  title: of the run that the node is of, None where it is of no run
    alone."""
    with slicer.util.NodeModify(node):  # one event a node, not one an attribute
        for attribute, key in ATTRIBUTES.items():
            node.SetAttribute(attribute, "" if report.get(key) is None else str(report[key]))
        if title is not None:
            node.SetAttribute(RUN, title)


def describe_alike(node, other, title: str) -> None:
    """Writes into the node what is written in another one of its run."""
    with slicer.util.NodeModify(node):
        for attribute in ATTRIBUTES:
            node.SetAttribute(attribute, other.GetAttribute(attribute) or "")
        node.SetAttribute(RUN, title)


def nodes_of_run(scene, segmentation_node) -> list:
    """Everything that belongs to the segmentation of a run: maps, samples, table, chart; not the segmentation, nor a
    user's copies."""
    near = [node for node in scene.GetNodes() if node.GetNodeReferenceID(BELONGS_TO) == segmentation_node.GetID()]
    return [node for node in near if not is_copy(node)]


def is_copy(node) -> bool:
    """Whether a user made the node as a copy of one that a run or review left."""
    of = node.GetNodeReferenceID(SELF)
    return node.GetAttribute(SELF) is not None if of is None else of != node.GetID()  # neither: of an earlier version


def mark_as_original(node) -> None:
    """Tells it from copies that a user may make."""
    node.SetNodeReferenceID(SELF, node.GetID())
    node.SetAttribute(SELF, "original")


def display_nodes(node) -> list:
    """All display nodes of a displayable node."""
    return [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
