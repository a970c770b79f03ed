"""Batches of segmentations: over volumes, and over the frames of a sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import slicer
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError

from ..nodes.scene_change import is_in_scene
from ..nodes.sequence_frames import SequenceFrames
from ..nodes.slicer_result import BELONGS_TO, describe
from .batch import Batch, Case
from .batch_cases import add_table
from .channels import first_of

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
    cases = [list(case) if isinstance(case, (list, tuple)) else [case] for case in cases]
    for number, case in enumerate(cases, 1):
        if all(volume is None for volume in case):
            message = _("case {number} has no volume; choose one, or leave the case out")
            raise RequestError(message.format(number=number))
    names = list(names or [first_of(case).GetName() for case in cases])
    if len(names) != len(cases):
        raise RequestError(
            _("there are {names} names for {cases} cases; give one a case").format(names=len(names), cases=len(cases))
        )

    def starter(volumes):
        return lambda onProgress, onEnd: start(volumes, onProgress, lambda job: onEnd(_released(job)))

    made = [Case(name, starter(volumes)) for name, volumes in zip(names, cases)]
    return Batch(made, onChanged, lambda batch: _finish(batch, None, onFinished))


def sequence_batch(start: Callable, browser, volumes: Sequence, onChanged, onFinished) -> Batch:
    """A batch that segments each frame of a sequence into a sequence of segmentations, not begun yet.

    start(image, add, onProgress, onFinished): begins to ask for opinions about an image; add(result) takes them.
    volumes: see SequenceFrames, and for the errors.  At the end the batch has `table`, as in volume_batch, and
    `segmentations` and `shown`, as SequenceFrames.
    """
    frames = SequenceFrames(slicer.mrmlScene, browser, volumes)

    def starter(frame):
        def add(result):
            result.report["inputs"] = [volume.GetName() for volume in volumes]
            frames.add(frame, result)
            return Told(result.report)

        return lambda onProgress, onEnd: start(frames.image(frame), add, onProgress, onEnd)

    cases = [Case(frames.name(frame), starter(frame)) for frame in range(len(frames))]
    return Batch(cases, onChanged, lambda batch: _finish(batch, frames, onFinished))


def _released(job):
    if job.result is not None:
        job.result.release()
    return job


def _finish(batch: Batch, frames: SequenceFrames | None, onFinished) -> None:
    """Leaves the table, unless there is nothing to tell or all that it tells of is gone: the scene was closed."""
    if frames is not None:
        batch.segmentations, batch.shown = frames.segmentations, frames.shown
        made = [frames.segmentations, frames.shown]
    else:
        made = [case.result.segmentationNode for case in batch.cases if case.result is not None]
    if any(map(is_in_scene, made)):
        batch.table = add_table(slicer.mrmlScene, TABLE, batch)
        describe(batch.table, next(case.result.report for case in batch.cases if case.result is not None))
        if frames is not None and is_in_scene(frames.shown):
            batch.table.SetNodeReferenceID(BELONGS_TO, frames.shown.GetID())
    if onFinished is not None:
        onFinished(batch)
