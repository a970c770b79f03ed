"""What lies between Run and Apply: a run under way, its preview, then its opinions. No Qt; nothing is in the scene."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from slicer.i18n import tr as _

from medsegdiff.errors import MedSegDiffError, RequestError
from medsegdiff.inference.clicks import voxel_clicks
from medsegdiff.inference.request import SegmentRequest
from medsegdiff.inference.result import SegmentResult
from medsegdiff.uncertainty.fusion import fused_labelmap

from ..nodes.region_of_interest import Box, crop
from ..nodes.scene_change import is_in_scene
from ..nodes.volume_to_image import affine_of, image_from_volumes

Click = tuple[float, float, float, int]


class OpinionsSession:
    """Opinions on a part of a volume, and the label map that they give by the rule and the clicks of the moment.

    start(image, request, onProgress, onPreview, onFinished, volumeNodes) -> job: the module logic's startOpinions.
    changed(): called when anything below is another than before.
    volume, box: what the opinions are about; None before the first run.
    labelmap: (I, J, K) uint8 on the box, to be shown; None where there is nothing yet.  opinions: how many are in it.
    result: with the clicks so far; None until a run is done.  error: of the last run, None where there was none.
    fraction, message, seconds_left: of the run under way.
    """

    def __init__(self, start: Callable, changed: Callable[[], None]):
        self._start, self._changed = start, changed
        self.fusion, self.threshold = "mean", None
        self._job = self._request = None
        self.clear()

    def clear(self) -> None:
        """Stops a run and forgets everything but the rule; what a stopped run still says is not heard."""
        if self._job is not None:
            job, self._job = self._job, None
            job.cancel()
        self.volume = self.box = self.labelmap = self.result = self.error = self.seconds = None
        self._image = self._voxels = self._affine = None
        self._volumes: list = []
        self._runs: dict[tuple[Click, ...], SegmentResult] = {}  # the first run's result, and the last one's, by clicks
        self.clicks: tuple[Click, ...] = ()
        self.opinions, self.fraction, self.message, self.seconds_left = 0, 0.0, "", None

    def is_about(self, volume) -> bool:
        """Whether the volume is among those that the opinions are about."""
        return volume in self._volumes

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self._job is not None

    def run(self, volumes: Sequence, box: Box, request: SegmentRequest) -> None:
        """Asks anew; what was there is forgotten. volumes: channels of one case.

        Raises RequestError or JobError where the run cannot begin; then nothing is forgotten.
        """
        image = crop(image_from_volumes(volumes), box)
        job = self._begin(image, request, volumes)
        self.clear()
        self.volume, self.box, self._volumes = volumes[0], box, list(volumes)
        self._request, self._image = request, image
        self._voxels, self._affine = _voxels_of(volumes), affine_of(volumes[0])
        self._take(job)

    def cancel(self) -> None:
        """Stops the run under way; opinions of an earlier one stay."""
        if self._job is not None:
            job, self._job = self._job, None
            job.cancel()
            if self.result is None:
                self.clear()
            self._changed()

    def set_rule(self, fusion: str, threshold: float | None) -> None:
        """Another way from many opinions to one, at once. Raises RequestError for a rule that there is not."""
        if (fusion, threshold) == (self.fusion, self.threshold):
            return
        labelmap = self._fused(fusion, threshold)
        self.fusion, self.threshold = fusion, threshold
        if labelmap is not None:
            self.labelmap = labelmap
            self._changed()

    def add_clicks(self, clicks: Iterable[Click]) -> None:
        """Places (R, A, S, label value; 0: background) that the opinions have to respect: those that are there at once,
        then those of a new run with the clicks. RequestError where there are no opinions yet."""
        if self.result is None:
            raise RequestError(_("clicks correct opinions; press Run first"))
        if not np.array_equal(affine_of(self.volume), self._affine):
            raise RequestError(
                _("'{volume}' was moved since the run; run again before you click").format(volume=self.volume.GetName())
            )
        added = tuple(clicks)
        self._set_clicks((*self.clicks, *added), self.result.with_clicks(added))

    def undo_click(self, count: int = 1) -> None:
        """Takes the last clicks back."""
        if self.clicks:
            fewer = self.clicks[: -min(count, len(self.clicks))]
            self._set_clicks(fewer, self._known(fewer))

    def check_current(self) -> None:
        """Raises RequestError where the opinions are not about the volumes as they are now."""
        if self.result is None:
            raise RequestError(_("there are no opinions yet; press Run first"))
        if not all(is_in_scene(volume) for volume in self._volumes):
            raise RequestError(_("the volume was removed meanwhile; choose one and run again"))
        if _voxels_of(self._volumes) != self._voxels:
            raise RequestError(_("'{volume}' has changed since the run; run again").format(volume=self.volume.GetName()))

    def _set_clicks(self, clicks: tuple[Click, ...], result: SegmentResult) -> None:
        self.clicks, self.result = clicks, result
        self.labelmap = self._fused(self.fusion, self.threshold)
        self._rerun()
        self._changed()

    def _rerun(self) -> None:
        """Starts a run with the present clicks, or leaves that to the end of the one under way."""
        if self._job is None and self.clicks not in self._runs:
            try:
                request = replace(self._request, clicks=self.clicks)
                self._take(self._begin(self._image, request, self._volumes))
            except MedSegDiffError as error:  # the opinions that there are have heard the clicks
                self.error = error

    def _known(self, clicks: tuple[Click, ...]) -> SegmentResult:
        """What is known of these clicks: the opinions of the run that heard the most of them, under the others."""
        heard = max((run for run in self._runs if clicks[: len(run)] == run), key=len)
        return self._runs[heard].with_clicks(clicks[len(heard) :]) if clicks != heard else self._runs[heard]

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
        if self.result is None:  # else better ones are shown
            self.labelmap, self.opinions = labelmap, opinions
            self._changed()

    def _on_finished(self, job, request: SegmentRequest) -> None:
        self._job, self.error, self.seconds = None, job.error, job.seconds
        if job.error is None:
            answer = (request.clicks, _respecting(job.result, request.clicks))
            first = next(iter(self._runs.items()), answer)
            self._runs = dict([first, answer])
            self.result = self._known(self.clicks)
            self.opinions = len(job.result.weights)
            self.labelmap = self._fused(self.fusion, self.threshold)
            self._rerun()
        elif self.result is None:
            self.clear()
            self.error = job.error
        self._changed()

    def _fused(self, fusion: str, threshold: float | None) -> np.ndarray | None:
        if self.result is None:
            return None
        shown = self.result
        return fused_labelmap(fusion, threshold, shown.probability, shown.packed_samples, shown.weights)


def _respecting(result: SegmentResult, clicks: tuple[Click, ...]) -> SegmentResult:
    """The result with the clicked labels in the clicked voxels, whatever the models made of the clicks."""
    voxels = voxel_clicks(clicks, result.affine, result.labelmap.shape, result.labels)
    if all(result.labelmap[index] == label for index, label in voxels):
        return result
    return result.with_clicks(clicks)


def _voxels_of(volumes: Sequence) -> list[tuple]:
    """What changes with the volumes' voxels and their number, whatever moves in space."""
    images = [volume.GetImageData() for volume in volumes]
    return [(image.GetMTime(), image.GetDimensions()) if image is not None else () for image in images]
