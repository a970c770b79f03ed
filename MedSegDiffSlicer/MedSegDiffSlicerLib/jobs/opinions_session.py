"""What lies between Run and Apply: a run under way, its preview, then its opinions. No Qt; nothing is in the scene."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from slicer.i18n import tr as _

from medsegdiff.errors import JobError, MedSegDiffError, RequestError
from medsegdiff.inference.clicks import voxel_clicks
from medsegdiff.inference.request import SegmentRequest, check_clicks
from medsegdiff.inference.result import SegmentResult
from medsegdiff.uncertainty.rules import check_fusion, check_threshold

from ..nodes.region_of_interest import Box, crop
from ..nodes.scene_change import is_in_scene
from ..nodes.unchanged import Unchanged
from ..nodes.volume_to_image import affine_of, image_from_volumes
from .background import Background
from .opinions_known import Click, Known

_TOPIC = "opinions"


class OpinionsSession:
    """Opinions on a part of a volume, and the label map that they give by the rule and the clicks of the moment.

    start(image, request, onProgress, onPreview, onFinished, volumeNodes) -> job: the module logic's startOpinions.
    changed(): called when anything below is another than before.  background: works out what is shown at once;
    thorough: and what takes long.
    volume, box: what the opinions are about; None before the first run.
    labelmap: (I, J, K) uint8 on the box, to be shown; None where there is nothing yet.  opinions: how many are in it.
    result: with the clicks so far; None until a run is done.  error: of the last run, None where there was none.
    fraction, message, seconds_left: of the run under way.
    """

    def __init__(self, start: Callable, changed: Callable[[], None], background: Background, thorough: Background):
        self._start, self._changed, self._background, self._thorough = start, changed, background, thorough
        self.fusion, self.threshold = "mean", None
        self._job = self._request = None
        self.clear()

    def clear(self) -> None:
        """Stops a run and forgets everything but the rule; what a stopped run still says is not heard."""
        if self._job is not None:
            job, self._job = self._job, None
            job.cancel()
        self._forget_questions()
        self.volume = self.box = self.labelmap = self.result = self.error = self.seconds = None
        self._image = self._unchanged = self._affine = None
        self.volumes: list = []
        self._ended: list[tuple[tuple[Click, ...], SegmentResult]] = []  # runs, by clicks, that are not yet in `result`
        self._known = Known()
        self._asked = self._answered = 0  # questions to the background
        self._to_rerun = False  # once the clicks are answered by the opinions that there are
        self.clicks: tuple[Click, ...] = ()
        self.opinions, self.fraction, self.message, self.seconds_left = 0, 0.0, "", None

    def is_about(self, volume) -> bool:
        """Whether the volume is among those that the opinions are about."""
        return volume in self.volumes

    @property
    def running(self) -> bool:
        """Whether a run is under way, up to its being in `result`, or about to begin."""
        return self._job is not None or bool(self._ended) or self._to_rerun

    @property
    def computing(self) -> bool:
        """Whether result and label map are about to follow clicks and rule."""
        return self._asked != self._answered

    def run(self, volumes: Sequence, box: Box, request: SegmentRequest) -> None:
        """Asks anew; what was there is forgotten. volumes: channels of one case.

        Raises RequestError or JobError where the run cannot begin; then nothing is forgotten.
        """
        image = crop(image_from_volumes(volumes), box)
        job = self._begin(image, request, volumes)
        self.clear()
        self.volume, self.box, self.volumes = volumes[0], box, list(volumes)
        self._request, self._image = request, image
        self._unchanged, self._affine = Unchanged(volumes), affine_of(volumes[0])
        self._take(job)

    def cancel(self) -> None:
        """Stops the run under way; opinions of an earlier one stay."""
        if self.running:
            job, self._job = self._job, None
            ended, self._ended, self._to_rerun = self._ended, [], False
            if job is not None:
                job.cancel()
            if self.result is None:
                self.clear()
            elif ended:
                self._forget_questions()
                self._follow()
            self._changed()

    def set_rule(self, fusion: str, threshold: float | None) -> None:
        """Another way from many opinions to one, at once. Raises RequestError for a rule that there is not."""
        if (fusion, threshold) == (self.fusion, self.threshold):
            return
        check_fusion(fusion)
        check_threshold(threshold)
        self.fusion, self.threshold = fusion, threshold
        if self.result is not None:
            self._follow()

    def add_clicks(self, clicks: Iterable[Click]) -> int:
        """Places (R, A, S, label value; 0: background) that the opinions have to respect: those that are there at once,
        then those of a new run with the clicks. How many lie within what was segmented; the others are left out.
        RequestError where none does, and where there are no opinions yet."""
        if self.result is None:
            raise RequestError(_("clicks correct opinions; press Run first"))
        if not np.array_equal(affine_of(self.volume), self._affine):
            raise RequestError(
                _("'{volume}' was moved since the run; run again before you click").format(volume=self.volume.GetName())
            )
        added = tuple(filter(self._is_within, check_clicks(tuple(clicks))))
        if not added:
            raise RequestError(_("the click lies beside what was segmented; click within it"))
        self._set_clicks((*self.clicks, *added))
        return len(added)

    def undo_click(self, count: int = 1) -> None:
        """Takes the last clicks back."""
        if self.clicks:
            self._set_clicks(self.clicks[: -min(count, len(self.clicks))])

    def check_current(self) -> None:
        """Raises RequestError where the opinions are not about the volumes as they are now."""
        if self.result is None:
            raise RequestError(_("there are no opinions yet; press Run first"))
        if not all(is_in_scene(volume) for volume in self.volumes):
            raise RequestError(_("the volume was removed meanwhile; choose one and run again"))
        self.check_unchanged()

    def check_unchanged(self) -> None:
        """Raises RequestError where a volume has changed since the run began; nothing is checked without a run, and
        where one was removed, which ends the run."""
        if self.volumes and all(map(is_in_scene, self.volumes)):
            self._unchanged.check()

    def _is_within(self, click: Click) -> bool:
        try:
            voxel_clicks((click,), self.result.affine, self.result.labelmap.shape, self.result.labels)
        except RequestError:
            return False
        return True

    def _set_clicks(self, clicks: tuple[Click, ...]) -> None:
        self.clicks, self._to_rerun = clicks, True
        self._follow()
        self._changed()

    def _rerun(self) -> None:
        """Starts a run with the present clicks, or leaves that to the end of the one under way."""
        self._to_rerun = False
        if self._job is None and self.clicks not in (*self._known.runs, *(clicks for clicks, _result in self._ended)):
            try:
                request = replace(self._request, clicks=self.clicks)
                self._take(self._begin(self._image, request, self.volumes))
            except MedSegDiffError as error:  # the opinions that there are have heard the clicks
                self.error = error

    def _begin(self, image, request: SegmentRequest, volumes: Sequence):
        """A job whose callbacks are heard as long as it is the session's."""
        job = None

        def own(callback):
            return lambda *told: callback(*told) if job is not None and job is self._job else None

        finished = own(lambda ended: self._on_finished(ended, request))
        job = self._start(image, request, own(self._on_progress), own(self._on_preview), finished, volumes)
        return job

    def _take(self, job) -> None:
        self._job, self.error, self.fraction, self.message, self.seconds_left = job, None, 0.0, "", None
        self._changed()

    def _on_progress(self, fraction: float, message: str, seconds_left: float | None) -> None:
        self.fraction, self.message, self.seconds_left = fraction, message, seconds_left
        self._changed()

    def _on_preview(self, labelmap: np.ndarray, opinions: int) -> None:
        if self.result is None and not self._ended:  # else better ones are shown
            self.labelmap, self.opinions = labelmap, opinions
            self._changed()

    def _on_finished(self, job, request: SegmentRequest) -> None:
        self._job, self.error, self.seconds = None, job.error, job.seconds
        if job.error is None:
            self._ended.append((request.clicks, job.result))
            self._follow()
        elif self.result is None:
            self.clear()
            self.error = job.error
        self._changed()

    def _follow(self) -> None:
        """Has result and label map worked out, from all runs under the present clicks by the present rule; the label
        map first where the result takes longer."""
        self._asked += 1
        number, ended, known = self._asked, tuple(self._ended), self._known
        clicks, fusion, threshold = self.clicks, self.fusion, self.threshold
        self._sketched = None

        def show(labelmap: np.ndarray) -> None:
            if self._answered < number == self._asked:
                self.labelmap = self._sketched = labelmap
                self._changed()

        def work() -> Known:
            now, sketched = known.after(ended, clicks, fusion, threshold), self._sketched
            same = sketched is not None and np.array_equal(now.labelmap, sketched)
            return replace(now, labelmap=sketched) if same else now  # which is drawn already

        def done(now: Known) -> None:
            if number < self._answered:
                return
            self._answered, self._known = number, now
            self._forget_ended(ended)
            self.result = now.result
            if number == self._asked or self._sketched is None:
                self.labelmap = now.labelmap
            if ended:
                self.opinions = len(ended[-1][1].weights)
            if ended or self._to_rerun:
                self._rerun()
            self._changed()

        def failed(error: Exception) -> None:
            if number < self._answered:
                return
            self._answered, self._to_rerun = number, False
            self._forget_ended(ended)
            if self.result is None:
                self.clear()
            self.error = error if isinstance(error, MedSegDiffError) else JobError(str(error) or type(error).__name__)
            self._changed()

        if not ended and clicks == known.clicks and not self._thorough.busy:
            self._background.ask(_TOPIC, work, done, failed)  # it is the rule alone
            return
        if known.result is not None and not ended:
            sketch = partial(known.sketch, clicks, fusion, threshold)
            self._background.ask(_TOPIC, sketch, show, lambda _error: None)  # the other answer tells it
        self._thorough.ask(_TOPIC, work, done, failed)

    def _forget_questions(self) -> None:
        for background in (self._background, self._thorough):
            background.forget(_TOPIC)

    def _forget_ended(self, ended: Sequence[tuple]) -> None:
        self._ended = [one for one in self._ended if all(one is not other for other in ended)]
