"""Batches of segmentations: over volumes, and over the frames of a sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import NamedTuple

import slicer
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError

from ..nodes.batch_table import follow_segments, refer_to_cases, refer_to_frames
from ..nodes.scene_change import is_in_scene
from ..nodes.sequence_frames import SequenceFrames
from ..nodes.slicer_result import describe
from .batch import Batch, Case
from .batch_cases import fill
from .channels import first_of
from .run_request import as_list

TABLE = "MedSegDiff volumes"


class Told(NamedTuple):
    """What is kept of a frame's result: there may be hundreds of frames."""

    report: dict


def volume_batch(start: Callable, cases: Sequence, names: Sequence[str] | None, onChanged, onFinished) -> Batch:
    """A batch that segments each case, a volume or a list of them (its channels), not begun yet.

    start(volumes, onProgress, onFinished): begins a segmentation.  names: of the cases; their first volumes' by
    default. Of a case's result the report and the nodes stay, the arrays do not: see SlicerResult.release.
    At the end the batch has `table`, a table node with the volumes of all cases.
    Raises RequestError for a case without a volume, or names that are more or fewer than the cases.
    """
    cases = [as_list(case) for case in cases]
    for number, case in enumerate(cases, 1):
        if all(volume is None for volume in case):
            message = _("case {number} has no volume; choose one, or leave the case out")
            raise RequestError(message.format(number=number))
    names = [str(name) for name in as_list(names or [_name(first_of(case)) for case in cases])]
    if len(names) != len(cases):
        raise RequestError(
            _("there are {names} names for {cases} cases; give one a case").format(names=len(names), cases=len(cases))
        )

    def starter(volumes):
        return lambda onProgress, onEnd: start(volumes, onProgress, lambda job: onEnd(_released(job)))

    def finish(batch):
        results = {number: case.result for number, case in enumerate(batch.cases, 1) if case.result is not None}
        made = {n: result.segmentationNode for n, result in results.items() if is_in_scene(result.segmentationNode)}
        try:
            if made:
                indices = [str(number) for number in range(1, len(batch.cases) + 1)]
                _leave_table(batch, indices, lambda table: refer_to_cases(table, made))
        finally:
            if onFinished is not None:
                onFinished(batch)

    return Batch([Case(name, starter(volumes)) for name, volumes in zip(names, cases)], onChanged, finish)


def _name(volume) -> str:
    return volume.GetName() if hasattr(volume, "GetName") else str(volume)  # which its case will complain about


def sequence_batch(
    start: Callable, browser, volumes: Sequence, chosen: Sequence[int] | None, onChanged, onFinished
) -> Batch:
    """A batch that segments frames of a sequence into a sequence of segmentations, not begun yet.

    start(image, add, onProgress, onFinished): begins to ask for opinions about an image; add(result) takes them.
    volumes: see SequenceFrames, and for the errors.  chosen: numbers of the frames, from 0; None: all.
    At the end the batch has `table`, as in volume_batch, and `segmentations` and `shown`, as SequenceFrames.
    Raises RequestError for a frame that is none.
    """
    frames = SequenceFrames(slicer.mrmlScene, browser, volumes)
    chosen = range(len(frames)) if chosen is None else chosen
    chosen = list(chosen) if isinstance(chosen, Iterable) else [None]
    known = all(isinstance(n, Integral) and 0 <= n < len(frames) for n in chosen)
    if not known or len(set(chosen)) < len(chosen):
        message = _("the sequence has the frames 0 to {last} only; give a list of some of these, each once")
        raise RequestError(message.format(last=len(frames) - 1))
    chosen = list(map(int, chosen))

    def starter(frame):
        def add(result):
            result.report["inputs"] = [volume.GetName() for volume in volumes]
            frames.add(frame, result)
            return Told(result.report)

        return lambda onProgress, onEnd: start(frames.image(frame), add, onProgress, onEnd)

    def finish(batch):
        batch.segmentations, batch.shown = frames.segmentations, frames.shown
        try:
            if any(map(is_in_scene, (frames.segmentations, frames.shown))):
                indices = [frames.index(frame) for frame in chosen]
                _leave_table(batch, indices, lambda table: refer_to_frames(table, frames.segmentations, frames.shown))
        finally:
            if onFinished is not None:
                onFinished(batch)

    return Batch([Case(frames.name(frame), starter(frame)) for frame in chosen], onChanged, finish)


def _released(job):
    if job.result is not None:
        job.result.release()
    return job


def _leave_table(batch: Batch, indices: Sequence[str], refer: Callable) -> None:
    """Adds the table, or fills it anew where the batch was resumed; segments may have been edited before that.

    indices: of the cases, for the table.  refer(table): tells it whose volumes it has.
    """
    if not is_in_scene(batch.table):
        name = slicer.mrmlScene.GenerateUniqueName(TABLE)
        batch.table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
    fill(batch.table, batch, indices)
    describe(batch.table, next(case.result.report for case in batch.cases if case.result is not None))
    refer(batch.table)
    follow_segments(batch.table)
