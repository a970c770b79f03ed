"""The engine: one request and one image in, one result out. Everything that segments goes through here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import NamedTuple

import numpy as np

from ..errors import RequestError
from ..image import Image
from ..models.agreement import check_agreement
from ..models.ensembles import LOGITS, Ensemble
from ..uncertainty.accumulator import Accumulator
from ..uncertainty.likeliest import LikeliestLabels
from ..uncertainty.logit_pool import LogitPool
from .asking import Answer, Callbacks, Hear, Watch, ask, preprocessing_for
from .clicks import VoxelClick, voxel_clicks
from .comparable_options import fitting_calibration, fitting_rule, options_of
from .describe_opinions import describe_member
from .ensemble import calibrated_together, check_request, find_models, model_shares, named_ensemble
from .input_checks import Finding, check_input, check_sureness, checked
from .least_size import large_enough
from .missing_channels import completed
from .model import Model, load_model
from .progress import WHOLE, CancelCheck, Part, Progress, ProgressCallback, Tracker
from .query_score import queries_or_warning
from .report import describe_answer, make_report, reset_peak_memory
from .request import SegmentRequest
from .result import NOTHING_FOUND, SegmentResult
from .variants import Guide


class _Asked(NamedTuple):
    """What came of asking all models.

    opinions: of all.  pool: the mean of their logits, where that is wanted and the image is not too large for it.
    answers: one a model.  findings: of input_checks; of how sure several models are, that of the oddest one.
    preparing: seconds.
    """

    opinions: Accumulator
    pool: LogitPool | None
    answers: list[Answer]
    findings: list[Finding]
    warnings: list[str]
    preparing: float


def segment_image(
    request: SegmentRequest,
    image: Image,
    *,
    model: Model | Sequence[Model] | None = None,
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
    guide: Guide | None = None,
    watch: Watch | None = None,
    hear: Hear | None = None,
    warn: Callable[[str], None] | None = None,
) -> SegmentResult:
    """Runs a request.

    image: one channel for each that the models name, but for those that the request says are missing.
    model: the request's model, or all of its models in order, where they are loaded already.
    guide: changes what diffusion models predict at each step, see variants.Guide.
    watch: called with each opinion as it comes, see asking.Watch.  hear: called with those of a model so far.
    warn: called, before a model is asked, with each sentence about what is odd of the image, which the report tells,
      too.
    progress: called with a Progress after each network call.  cancelled: asked before each network call.
    Raises RequestError for unusable input, JobError where the work failed, Cancelled where `cancelled` said so.
    """
    began = perf_counter()
    models = [] if model is None else [model] if isinstance(model, Model) else list(model)
    if models and len(models) != len(request.models):
        raise RequestError(f"the request names {len(request.models)} model(s), {len(models)} are given")
    packages = [one.package for one in models]
    if packages:
        check_agreement(packages)
    else:
        packages = find_models(request)
    clicks = voxel_clicks(request.clicks, image.affine, image.shape, packages[0].foreground)
    image = completed(image, packages, request.missing)
    shares = model_shares(request, packages)
    if progress is not None:
        progress(Progress(0.0, "loading the model" if not request.others else "loading the models"))
    models = models or [load_model(package, request.device, request.precision) for package in packages]
    reset_peak_memory(tuple(device for one in models for device in one.devices))
    models, ensemble = calibrated_together(request, models), named_ensemble(request)
    packages = [one.package for one in models]
    warnings = [*image.notes, *check_request(request, models)]
    if image.missing:
        lacking = ", ".join(packages[0].channels[number]["name"] for number in image.missing)
        warnings.append(f"{lacking}: missing, the result rests on the other channels alone")
    seconds = {"load": perf_counter() - began}
    callbacks = Callbacks(progress, cancelled, guide, watch, hear, warn)
    with large_enough(image):
        asked = _ask_all(request, models, image, clicks, shares, ensemble, callbacks)
    seconds["prepare"], answers = asked.preparing, asked.answers
    finishing = perf_counter()
    first = packages[0]
    calibration, unfitting = first.calibration, []
    if len(models) == 1:
        options = options_of(describe_answer(answers[0], 1.0), vars(request))
        calibration, unfitting = fitting_calibration(first, options)
    result = SegmentResult.of(
        asked.opinions, request.fusion, request.threshold, image.affine, first.foreground, calibration,
        None if asked.pool is None else asked.pool.finish(),
    )  # fmt: skip
    if clicks:
        result = result.with_clicks(request.clicks)
    for name in ("network", "sampling", "denoising"):
        seconds[name] = sum(getattr(answer.opinions, f"{name}_seconds") for answer in answers)
    seconds["finish"] = perf_counter() - finishing
    seconds["total"] = perf_counter() - began
    warnings += asked.warnings + [said for answer in answers for said in answer.warnings] + unfitting
    warnings += _warnings_of(result)
    report = make_report(request, answers, shares, seconds, warnings, ensemble and ensemble.name)
    return checked(replace(result, report={**report, "clicks": [], **result.report}), packages, asked.findings)


def _ask_all(
    request: SegmentRequest, models: Sequence[Model], image: Image, clicks: Sequence[VoxelClick],
    shares: Sequence[float],
    ensemble: Ensemble | None, callbacks: Callbacks,
) -> _Asked:  # fmt: skip
    """Each model in turn.  shares: of each in the mean.  ensemble: the one that the request names."""
    painted = {model.painted for model in models}
    pool = (
        LogitPool(painted.pop() if len(painted) == 1 else ())
        if ensemble is not None and ensemble.average == LOGITS
        else None
    )
    opinions = prepared = known = None
    answers, findings, sureness, warnings, preparing = [], [], [], [], 0.0
    for position, one in enumerate(models):
        began = perf_counter()
        preprocessing = preprocessing_for(request, one, image)
        if preprocessing != known:
            prepared, known = preprocessing.prepare(image), preprocessing
        queries, without = queries_or_warning(one, preprocessing, prepared, Tracker(1, None, callbacks.cancelled).check)
        findings.append(check_input(one.package, image, prepared, queries))
        for sentence in findings[-1].warnings if callbacks.warn is not None else ():
            callbacks.warn(sentence)
        warnings += without
        preparing += perf_counter() - began
        part = WHOLE if len(models) == 1 else Part(position / len(models), 1 / len(models), f"{one.package.name}: ")
        given, answer = ask(request, position, one, preprocessing, prepared, image.shape, clicks, callbacks, part)
        answers.append(answer)
        if len(models) > 1 and not clicks:
            sureness.append(_check_member(one, answer, given, request, image.voxel_volume, ensemble))
        if pool is not None and isinstance(mean := given.mean(), np.ndarray):
            pool.add(mean, shares[position])
        elif pool is not None:
            pool = None
            warnings.append(
                "the image is too large for the mean of the models' logits: that of their probabilities is taken"
            )
        if opinions is None:
            opinions = given
        else:
            opinions.join(given, shares[position] / sum(shares[:position]))
    worst = sorted(sureness, key=lambda finding: finding.score or 0)[-1:]
    return _Asked(opinions, pool, answers, [*findings, *worst], warnings, preparing)


def _check_member(
    model: Model, answer: Answer, opinions: Accumulator, request: SegmentRequest, voxel: float,
    ensemble: Ensemble | None
) -> Finding:  # fmt: skip
    """Whether one of several models is as sure as on its own training cases.  voxel: mm^3."""
    package, together = model.package, None if ensemble is None else ensemble.calibration
    options = options_of(describe_answer(answer, 1.0), {"missing": request.missing})  # the rule is the mean here
    return check_sureness(package, options, lambda: describe_member(opinions, voxel, together), f"{package.name}: ")


def _warnings_of(result: SegmentResult) -> list[str]:
    """What has to be said of a result as such."""
    _, warnings = fitting_rule(result.calibration, result.report)
    if not result.labelmap.any():
        warnings.append(NOTHING_FOUND)
    if isinstance(result.probability, LikeliestLabels):
        warnings.append(
            f"the image is too large for the probabilities of {len(result.labels)} structures: those of each voxel's "
            f"{len(result.probability.values)} likeliest are known, and there are no probability maps"
        )
    return warnings
