"""Backend result in, nodes out: all of them or, where anything fails, none; in short steps where that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import slicer
from slicer.i18n import tr as _

from medsegdiff.errors import JobError, RequestError
from medsegdiff.inference.result import SegmentResult
from medsegdiff.uncertainty.map_range import Span
from medsegdiff.uncertainty.rules import MEASURES

from .frame import browser_of, frame_of, keep_frame
from .opinions import keep_weights
from .overlay import add_map
from .result_nodes import (
    add_samples, add_statistics, append_sample, kept_segments, place_in_hierarchy, remove_empty_folders, remove_nodes,
    show_segmentation,
)  # fmt: skip
from .result_parts import Part, ReadAhead, parts_of
from .scene_change import SceneChange, is_in_scene
from .scene_result import show_alone
from .segment_numbers import keep_numbers
from .segments import LABEL_TAG, segment_ids
from .segments_of_run import replaceable_segments, write_segments
from .slicer_result import (
    BELONGS_TO, CALL, RUN, VOLUME, WARNINGS, SlicerResult, describe, display_nodes, nodes_of_run, run_title,
)  # fmt: skip
from .undone_attributes import forget_undo

_END, _NAME = object(), "{title} segmentation"
__all__ = ["BELONGS_TO", "ResultAdding", "SlicerResult", "add_result", "check_measures", "check_segmentation"]


def check_measures(measures: Sequence[str]) -> None:
    """Raises RequestError unless these are names of uncertainty measures."""
    listed = isinstance(measures, Iterable) and not isinstance(measures, str)
    if not listed or not all(name in MEASURES for name in measures):
        raise RequestError(
            _("measures {given!r} cannot be used; give a list of names out of {names}").format(
                given=measures, names=", ".join(MEASURES)
            )
        )


def check_segmentation(node, volume) -> None:
    """Raises RequestError where segments of a run on the volume cannot come into the node."""
    if not hasattr(node, "IsA") or not node.IsA("vtkMRMLSegmentationNode"):
        given = node.GetName() if hasattr(node, "GetName") else node
        raise RequestError(_("a segmentation node is expected for the result, got {given!r}").format(given=given))
    if is_in_scene(node) and browser_of(node):  # those of all frames would go
        text = _("'{name}' shows the segmentations of a sequence's frames; choose another segmentation")
        raise RequestError(text.format(name=node.GetName()))
    replaceable_segments(node, volume, kept_segments(node))


def can_take(node, volume) -> bool:
    """Whether check_segmentation finds nothing."""
    try:
        check_segmentation(node, volume)
    except RequestError:
        return False
    return True


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

    segmentation_node: an existing node whose segments are replaced, but for kept_segments, with the maps, samples and
        table of their run; None, or one that was deleted, makes a new one.
    measures: uncertainty maps to add.  probabilities, samples: whether to add these too.
    ahead: a thread computes the arrays of the next steps.  written: the segmentation node holds the segments already.
    `added` is what was added; `waits` tells that the next step is for another turn of the event loop. Whatever a step
    raises (JobError where volume or nodes were deleted meanwhile), the scene then is as before; after the last one,
    which returns True, `undo` does nothing.
    """

    def __init__(
        self, scene, result: SegmentResult, volume, segmentation_node=None, measures: Sequence[str] = ("entropy",),
        probabilities: bool = True, samples: bool = True, ahead: bool = False, written: bool = False,
    ):  # fmt: skip
        self._scene, self._given, self._written = scene, segmentation_node, written
        self._change, self._title = SceneChange(scene), ""
        parts = parts_of(result, measures, probabilities, samples)
        self._ahead = ReadAhead(parts) if ahead else None
        self._steps = self._make_steps(parts)
        self.added = SlicerResult(result, volume, frame=frame_of(volume))
        self.waits = False

    def step(self) -> bool:
        """Does a little more: one node, one sample, one place; returns whether all is there."""
        try:
            self._check()
            self.waits = False
            return next(self._steps, _END) is _END
        except BaseException:
            self.undo()
            raise

    def undo(self) -> None:
        """Takes back what was added so far."""
        if self._ahead:
            self._ahead.close()
        self._change.undo()
        remove_empty_folders(self._scene)

    def _check(self) -> None:
        if not is_in_scene(self.added.volumeNode):
            raise JobError(_("the input volume was removed meanwhile; the result was discarded"))
        if not all(map(is_in_scene, self.added.nodes())):
            raise JobError(_("a part of the result was removed while it was added; the rest was discarded"))
        if not is_in_scene(self._given):
            if self._written:
                raise JobError(_("the segmentation was removed meanwhile; apply again"))
            self._given = None
        if not self._title:
            self._title = run_title(self._scene, self.added.volumeNode, self._given)

    def _make_steps(self, parts: Iterator[Part]) -> Iterator[None]:
        """Yields after each step."""
        part = None
        while part is None or part.kind != "labelmap":
            part = self._ahead.take() if self._ahead else next(parts)
            self.waits = part is None
            if part is not None and part.kind != "labelmap":
                with self._change.step():
                    self._add(part)
            yield
        for work in self._last_steps(part):
            with self._change.step():
                work()
            yield

    def _add(self, part: Part) -> None:
        added, volume = self.added, self.added.volumeNode
        if part.kind == "map":
            name = f"{self._title} {part.name}"
            node = add_map(self._scene, name, part.array, volume, part.name, part.span)
            added.uncertaintyVolumeNodes.append(node)
        elif part.kind == "probability":
            title = f"{self._title} probability of {part.name}"
            node = add_map(self._scene, title, part.array, volume, part.kind, Span(0.0, 1.0))
            value = next(label.value for label in added.result.labels if label.name == part.name)
            node.SetAttribute(LABEL_TAG, str(value))
            added.probabilityVolumeNodes.append(node)
        else:
            node = added.samplesSequenceNode or add_samples(self._scene, f"{self._title} samples")
            added.samplesSequenceNode = node
            append_sample(node, part.array, volume)
            keep_weights(node, added.result.weights)
        describe(node, added.report, self._title)

    def _last_steps(self, part: Part) -> Iterator[Callable[[], None]]:
        """Segments, table, and each node to its place; what a replaced run left goes once all is there."""
        added, given, scene = self.added, self._given, self._scene
        stale = nodes_of_run(scene, given) if given is not None else []
        node = slicer.vtkMRMLSegmentationNode() if given is None else given
        if not self._written:
            with self._change.step(*([given, *display_nodes(given)] if given is not None else [])):
                self._rename(given)
                self._fill(node, part)  # a new one is in no scene yet: nobody is told of each segment
        if given is None:
            node.SetName(scene.GenerateUniqueName(_NAME.format(title=self._title)))
            yield partial(scene.AddNode, node)
            yield partial(self._attach, node)
            yield partial(show_segmentation, node)
        added.segmentationNode = node
        yield self._add_statistics
        for each in added.nodes():
            if each is not given:
                yield partial(place_in_hierarchy, scene, added, self._title, each)
        if not self._written:
            yield partial(self._describe, node)
            yield self._end_turn
        self._change = SceneChange(scene)  # from here on nothing is taken back
        if self._written:
            self._describe(node)
        else:
            added.hidden.extend(show_alone(scene, node))
            forget_undo(node)
        remove_nodes(scene, stale)

    def _rename(self, given) -> None:
        """A segmentation with the name of a run of another volume gets that of this one."""
        run = given.GetAttribute(RUN) if given is not None else None
        if run not in (None, self._title) and given.GetName() == _NAME.format(title=run):
            given.SetName(self._scene.GenerateUniqueName(_NAME.format(title=self._title)))

    def _end_turn(self) -> None:
        self.waits = True  # what is hidden has all views drawn

    def _fill(self, node, part: Part) -> None:
        node.RemoveAttribute(CALL)  # of the run before; whoever made this one knows its own
        added, kept, segmentation = self.added, kept_segments(node), node.GetSegmentation()
        write_segments(node, part.array, added.result.labels, added.volumeNode, part.start, kept)
        keep_numbers(node, added.result, segment_ids(node))
        added.kept = [segmentation.GetSegment(segment_id).GetName() for segment_id in kept]
        self._describe(node)

    def _describe(self, node) -> None:
        describe(node, self.added.report, self._title)
        node.SetAttribute(WARNINGS, "\n".join(self.added.report.get("warnings", [])))
        node.SetAttribute(VOLUME, self.added.volumeNode.GetName())
        node.SetNodeReferenceID(VOLUME, self.added.volumeNode.GetID())
        keep_frame(node, self.added.frame)

    def _attach(self, node) -> None:
        """References to other nodes, which a node has only in their scene."""
        node.SetAndObserveTransformNodeID(self.added.volumeNode.GetTransformNodeID())
        node.SetReferenceImageGeometryParameterFromVolumeNode(self.added.volumeNode)

    def _add_statistics(self) -> None:
        table = add_statistics(self._scene, f"{self._title} statistics", self.added.result.statistics)
        self.added.statisticsTableNode = table
        describe(table, self.added.report, self._title)
