"""The engine: one request and one image in, one result out. Everything that segments goes through here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

import numpy as np

from ..errors import RequestError
from ..image import Image
from ..uncertainty.likeliest import LikeliestLabels
from ..models.ensembles import LOGITS
from ..uncertainty.logit_pool import LogitPool
from .asking import Callbacks, Hear, Watch, ask, preprocessing_for
from .clicks import voxel_clicks
from .comparable_options import fitting_calibration, options_of
from .ensemble import calibrated_together, check_agreement, check_request, load_models, model_shares, named_ensemble
from .input_checks import Finding, check_input, checked
from .missing_channels import completed
from .model import Model
from .progress import WHOLE, CancelCheck, Part, Progress, ProgressCallback, Tracker
from .query_score import queries_or_warning
from .report import describe_answer, make_report, reset_peak_memory
from .request import SegmentRequest
from .result import NOTHING_FOUND, SegmentResult
from .variants import Guide


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
) -> SegmentResult:
    """Runs a request.

    image: one channel for each that the models name, but for those that the request says are missing.
    model: the request's model, or all of its models in order, where they are loaded already.
    guide: changes what diffusion models predict at each step, see variants.Guide.
    watch: called with each opinion as it comes, see asking.Watch.  hear: called with those of a model so far.
    progress: called with a Progress after each network call.  cancelled: asked before each network call.
    Raises RequestError for unusable input, JobError where the work failed, Cancelled where `cancelled` said so.
    """
    began = perf_counter()
    models = [] if model is None else [model] if isinstance(model, Model) else list(model)
    reset_peak_memory(tuple(device for one in models for device in one.devices))
    if progress is not None:
        progress(Progress(0.0, "loading the model" if not request.others else "loading the models"))
    models = models or load_models(request)
    if len(models) != len(request.models):
        raise RequestError(f"the request names {len(request.models)} model(s), {len(models)} are given")
    models, ensemble = calibrated_together(request, models), named_ensemble(request)
    packages = [one.package for one in models]
    check_agreement(packages)
    clicks = voxel_clicks(request.clicks, image.affine, image.shape, packages[0].foreground)
    image = completed(image, packages, request.missing)
    shares = model_shares(request, packages)
    warnings = [*image.notes, *check_request(request, models)]
    if image.missing:
        lacking = ", ".join(packages[0].channels[number]["name"] for number in image.missing)
        warnings.append(f"{lacking}: missing, the result rests on the other channels alone")
    seconds = {"load": perf_counter() - began, "prepare": 0.0}
    callbacks, answers = Callbacks(progress, cancelled, guide, watch, hear), []
    opinions = prepared = known = None
    pool = LogitPool() if ensemble is not None and ensemble.average == LOGITS else None
    findings: list[Finding] = []
    for position, one in enumerate(models):
        preparing = perf_counter()
        preprocessing = preprocessing_for(request, one, image)
        if preprocessing != known:
            prepared, known = preprocessing.prepare(image), preprocessing
        queries, without = queries_or_warning(one, preprocessing, prepared, Tracker(1, None, cancelled).check)
        findings.append(check_input(one.package, image, prepared, queries))
        warnings += without
        seconds["prepare"] += perf_counter() - preparing
        part = WHOLE if len(models) == 1 else Part(position / len(models), 1 / len(models), f"{one.package.name}: ")
        given, answer = ask(request, position, one, preprocessing, prepared, image.shape, clicks, callbacks, part)
        answers.append(answer)
        if pool is not None and isinstance(mean := given.mean(), np.ndarray):
            pool.add(mean, shares[position])
        elif pool is not None:
            pool = None
            warnings.append("the image is too large for the mean of the models' logits: that of their probabilities is taken")
        if opinions is None:
            opinions = given
        else:
            opinions.join(given, shares[position] / sum(shares[:position]))
    finishing = perf_counter()
    first = packages[0]
    calibration, unfitting = first.calibration, []
    if len(models) == 1:
        options = options_of(describe_answer(answers[0], 1.0), vars(request))
        calibration, unfitting = fitting_calibration(first, options)
    result = SegmentResult.of(
        opinions, request.fusion, request.threshold, image.affine, first.foreground, calibration,
        None if pool is None else pool.finish(),
    )  # fmt: skip
    if clicks:
        rule = {"fusion": request.fusion, "threshold": request.threshold}
        result = replace(result, report={**result.report, **rule}).with_clicks(request.clicks)
    for name in ("network", "sampling", "denoising"):
        seconds[name] = sum(getattr(answer.opinions, f"{name}_seconds") for answer in answers)
    seconds["finish"] = perf_counter() - finishing
    seconds["total"] = perf_counter() - began
    warnings += [said for answer in answers for said in answer.warnings] + unfitting
    if clicks:
        warnings.append("expected Dice and volume intervals were not fitted for results with clicks: mistrust them")
    if not result.labelmap.any():
        warnings.append(NOTHING_FOUND)
    if isinstance(result.probability, LikeliestLabels):
        warnings.append(
            f"the image is too large for the probabilities of {len(result.labels)} structures: those of each voxel's "
            f"{len(result.probability.values)} likeliest are known, and there are no probability maps"
        )
    report = make_report(request, answers, shares, seconds, warnings, ensemble and ensemble.name)
    return checked(replace(result, report={**report, "clicks": [], **result.report}), packages, findings)
