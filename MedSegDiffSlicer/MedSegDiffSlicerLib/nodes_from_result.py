"""Backend result in, nodes out: all of them or, where anything fails, none; in short steps where that is wanted."""

from __future__ import annotations

from collections.abc import Sequence

from medsegdiff.errors import JobError, RequestError
from medsegdiff.inference.result import SegmentResult
from medsegdiff.uncertainty.rules import MEASURES

from .opinions import keep_weights
from .overlay import add_map
from .result_nodes import (
    add_samples, add_segmentation, add_statistics, append_sample, place_in_hierarchy, remove_empty_folders, remove_nodes,
)  # fmt: skip
from .result_parts import Part, ReadAhead, parts_of
from .scene_change import SceneChange, is_in_scene
from .segment_numbers import keep_numbers
from .segments import write_segments
from .slicer_result import BELONGS_TO, SlicerResult, describe, display_nodes, nodes_of_run, run_title

__all__ = ["BELONGS_TO", "ResultAdding", "SlicerResult", "add_result", "check_measures"]


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
    """Adds the result's nodes at once; for the arguments and errors see ResultAdding."""
    adding = ResultAdding(scene, result, volume, segmentation_node, measures, probabilities, samples)
    while not adding.step():
        pass
    return adding.added


class ResultAdding:
    """Adds the nodes of a result beside the volume it was made from: call `step` until it returns True.

    segmentation_node: an existing node whose segments are replaced, with the maps, samples and table of their run;
        None, or one that was deleted, makes a new one.
    measures: uncertainty maps to add.  probabilities, samples: whether to add these too.
    ahead: a thread computes the arrays of the next steps.
    `added` is what was added; `waits` tells that the last step had nothing to add yet. Whatever a step raises (JobError where volume or nodes were deleted meanwhile), the scene
    then is as before.
    """

    def __init__(
        self, scene, result: SegmentResult, volume, segmentation_node=None, measures: Sequence[str] = ("entropy",),
        probabilities: bool = True, samples: bool = True, ahead: bool = False,
    ):  # fmt: skip
        self._scene, self._given = scene, segmentation_node
        self._change, self._title = SceneChange(scene), ""
        self._parts = parts_of(result, measures, probabilities, samples)
        self._ahead = ReadAhead(self._parts) if ahead else None
        self.added = SlicerResult(result, volume)
        self.waits = False

    def step(self) -> bool:
        """Adds what is ready, one node or one sample; returns whether all is there."""
        try:
            self._check()
            part = self._ahead.take() if self._ahead else next(self._parts)
            self.waits = part is None
            if self.waits:
                return False
            (self._finish if part.kind == "labelmap" else self._add)(part)
        except BaseException:
            self.undo()
            raise
        return part.kind == "labelmap"

    def undo(self) -> None:
        """Takes back what was added so far."""
        if self._ahead:
            self._ahead.close()
        self._change.undo()
        remove_empty_folders(self._scene)

    def _check(self) -> None:
        if not is_in_scene(self.added.volumeNode):
            raise JobError("the input volume was removed meanwhile; the result was discarded")
        if not all(map(is_in_scene, self.added.nodes())):
            raise JobError("a part of the result was removed while it was added; the rest was discarded")
        if not is_in_scene(self._given):
            self._given = None
        if not self._title:
            self._title = run_title(self._scene, self.added.volumeNode, self._given)

    def _add(self, part: Part) -> None:
        added, volume = self.added, self.added.volumeNode
        with self._change.step():
            if part.kind == "map":
                node = add_map(self._scene, f"{self._title} {part.name}", part.array, volume, part.name)
                added.uncertaintyVolumeNodes.append(node)
            elif part.kind == "probability":
                title = f"{self._title} probability of {part.name}"
                node = add_map(self._scene, title, part.array, volume, part.kind)
                added.probabilityVolumeNodes.append(node)
            else:
                node = added.samplesSequenceNode or add_samples(self._scene, f"{self._title} samples")
                added.samplesSequenceNode = node
                append_sample(node, part.array, volume)
                keep_weights(node, added.result.weights)
            describe(node, added.report, self._title)

    def _finish(self, part: Part) -> None:
        """The last step: segments, table, and each node to its place."""
        added, given = self.added, self._given
        with self._change.step(*([given, *display_nodes(given)] if given else [])):
            added.segmentationNode = given or add_segmentation(self._scene, f"{self._title} segmentation")
            stale = nodes_of_run(self._scene, added.segmentationNode)
            write_segments(added.segmentationNode, part.array, added.result.labels, added.volumeNode)
            keep_numbers(added.segmentationNode, added.result.statistics)
            statistics = add_statistics(self._scene, f"{self._title} statistics", added.result.statistics)
            added.statisticsTableNode = statistics
            for node in (added.segmentationNode, statistics):
                describe(node, added.report, self._title)
            place_in_hierarchy(self._scene, added, self._title, is_new=given is None)
        remove_nodes(self._scene, stale)
