"""A run of the panel: begun, cancelled, told of while it goes on, and shown little by little at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import slicer
from slicer.i18n import tr as _

from ..jobs.channels import first_of
from ..jobs.copy_as_python import segment_call
from ..jobs.run_log import outcome_of
from ..nodes.scene_change import is_in_scene
from ..nodes.slicer_result import CALL, RUN, VOLUME, volume_of_run
from ..review.table import verdicts_of
from ..view.slice_views import show_in_views
from ..view.timers import once
from ..view.translated import translated
from .result import ResultSection
from .support import SupportSection

LONG = 90  # seconds left, above which they are told in minutes
STAGE = 20  # ms between two steps that show a result: the views are drawn meanwhile


class RunSection:
    """One run at a time.

    asked(): model(s), arguments of the logic's functions, channels and volumes.  support, result: the sections that
    keep the call for the log, and show what came of it.  tell(text, isError): below the button.  changed(): a run began
    or ended.
    """

    def __init__(
        self, ui, logic, asked: Callable[[], tuple], support: SupportSection, result: ResultSection,
        tell: Callable[..., None], changed: Callable[[], None],
    ):  # fmt: skip
        self._ui, self._logic, self._asked, self._support, self._result = ui, logic, asked, support, result
        self._tell, self._changed = tell, changed
        self._job, self._call = None, ""  # of the run under way, whatever the support section tells meanwhile
        self._into = None  # the segmentation that it was to come into
        self._stages: list[Callable[[], None]] = []
        self._next_stage = once(ui.progressBar, STAGE, self._do_stage)

    @property
    def is_running(self) -> bool:
        """Whether a run is under way, or its result is being shown."""
        return self._job is not None

    def start(self) -> None:
        """Runs what was asked; what cannot be run is told."""
        model, arguments, _channels, volumes = self._asked()
        if not _may_replace(arguments.get("segmentationNode"), volumes):
            return
        self._call, self._into = segment_call(volumes, model, arguments), arguments.get("segmentationNode")
        self._support.call, self._support.outcome = self._call, outcome_of()
        try:
            self._job = self._logic.startSegmentation(
                volumes, model=model, onProgress=self._on_progress, onFinished=self._on_finished, **arguments
            )
        except Exception as error:
            self._support.outcome = f"refused: {error}"
            self._tell(str(error), isError=True)
            return
        self._support.outcome = outcome_of(self._job)
        show_in_views(first_of(volumes))
        self._ui.progressBar.value = 0
        self._tell(_("Starting..."))
        self._changed()

    def cancel(self) -> None:
        """Stops it."""
        if self._job:
            self._tell(_("Stopping..."))
            self._job.cancel()

    def hurry(self) -> None:
        """Shows no more of a result, as the scene is being closed."""
        del self._stages[:-1]  # the last one makes the panel ready again

    def close(self) -> None:
        """Before the panel is given up: a run under way ends, and is not told of any more."""
        self._next_stage.stop()
        if self._job:
            self._job.cancel()
            self._job = None

    def _on_progress(self, fraction: float, message: str, secondsLeft: float | None) -> None:
        if self._job is None:
            return
        self._ui.progressBar.value = round(1000 * fraction)
        if secondsLeft is not None:
            message = f"{translated(message)} - {_time_left(secondsLeft)}"
        self._tell(message)

    def _on_finished(self, job) -> None:
        if self._job is None:
            return
        if job.error is None:
            job.result.segmentationNode.SetAttribute(CALL, self._call)
            # A step a turn of the event loop, as each makes views and lists work.
            self._stages = [*self._result.stages(job.result), lambda: self._end(job)]
            self._next_stage.start()
        else:
            self._end(job)

    def _do_stage(self) -> None:
        stage = self._stages.pop(0)
        try:
            stage()
        except BaseException:
            self.hurry()
            raise
        finally:
            if self._stages:
                self._next_stage.start()

    def _end(self, job) -> None:
        self._job, self._support.call, self._support.outcome = None, self._call, outcome_of(job)
        if job.error is None and not is_in_scene(job.result.segmentationNode):
            self._tell("")  # the scene was closed meanwhile
        elif job.error is None:
            report, text = job.result.report, _("Done in {seconds:.1f} s ({device}).")
            done = text.format(seconds=job.seconds, device=report["device"])
            elsewhere = _told_of_other(self._into, job.result.segmentationNode)
            self._tell("\n".join([done, *elsewhere, *self._result.told, *report["warnings"]]))
        elif job.cancelled:
            self._tell(_("Cancelled; the scene is as it was."))
        else:
            self._tell(str(job.error), isError=True)
        self._changed()


def _may_replace(segmentation, volumes: Sequence) -> bool:
    """Whether verdicts, and the result of another scan than these, that the segmentation holds may go."""
    if segmentation is None:
        return True
    name, lost, of = segmentation.GetName(), [], volume_of_run(segmentation)
    other = segmentation.GetAttribute(VOLUME) if of is None else of.GetName()  # it may have been removed
    if segmentation.GetAttribute(RUN) and (of is None or of not in volumes) and other:
        text = _("'{name}' holds the result of '{other}', in whose place that of '{volume}' comes.")
        lost.append(text.format(name=name, other=other, volume=first_of(volumes).GetName()))
    judged = sum(map(bool, verdicts_of(slicer.mrmlScene, segmentation)))
    if judged:
        text = _(
            "The review of '{name}' ends when the model is run into it again: {count} verdict(s) are lost. Reviewed "
            "segments stay, beside new ones."
        )
        lost.append(text.format(name=name, count=judged))
    return not lost or slicer.util.confirmOkCancelDisplay("\n\n".join(lost), _("Run"))


def _told_of_other(wanted, segmentation) -> list[str]:
    """Where the result did not come into the segmentation that was asked for."""
    if wanted is segmentation or not is_in_scene(wanted):
        return []
    text = _("It is in '{other}': '{name}' was reviewed or edited meanwhile.")
    return [text.format(other=segmentation.GetName(), name=wanted.GetName())]


def _time_left(seconds: float) -> str:
    if seconds > LONG:
        return _("{minutes} min left").format(minutes=round(seconds / 60))
    return _("{seconds} s left").format(seconds=max(1, round(seconds)))
