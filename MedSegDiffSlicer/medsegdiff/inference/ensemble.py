"""Several models in one run: whether they go together, and what each counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from ..errors import RequestError
from ..models.agreement import check_agreement
from ..models.ensembles import Ensemble, find_ensemble, fingerprint
from ..models.package import ModelPackage
from ..models.store import find_model
from ..uncertainty.calibration import after, without_agreement
from .comparable_options import RULE, comparable, told_by, uncalibrated
from .dropout import has_dropout
from .ensemble_request import request_for
from .missing_channels import missing_numbers
from .model import Model, load_model
from .plan import kinds_of_variants, make_plan
from .request import MOST_SAMPLES, QUALITY, SegmentRequest
from .variants import AS_IT_IS

# Options that do not change how the opinions are to be read, and those that _asked tells; all else is as the ensemble
# was calibrated, or its calibration does not hold. Of the RULE see fitting_rule.
_FREE = (
    "model", "others", "ensemble", "seed", "device", "precision", "overlap", "tile", "sample_batch", "plane",
    "clicks",
)  # fmt: skip
_EACH = ("samples", "steps", "sampler", "variants", "tta")
LEAST_ERROR = 0.01  # 1 - Dice below this says more of the validation cases than of the model


def load_models(request: SegmentRequest) -> list[Model]:
    """The request's models. Raises RequestError as find_models, before any is loaded."""
    return [load_model(package, request.device, request.precision) for package in find_models(request)]


def find_models(request: SegmentRequest) -> list[ModelPackage]:
    """The packages of the request's models. Raises RequestError for what these alone tell to be wrong with the request:
    unknown models, such as cannot be asked together, weights by an unknown quality, channels that may not be
    missing."""
    packages = [find_model(name) for name in request.models]
    check_agreement(packages)
    model_shares(request, packages)
    missing_numbers(packages, request.missing)
    if request.guess is not None:
        find_model(request.guess)
    return packages


def check_request(request: SegmentRequest, models: Sequence[Model]) -> list[str]:
    """What has to be said of the options. Raises RequestError where the models cannot do what is asked."""
    names, several = ", ".join(model.package.name for model in models), len(models) > 1
    if request.plane is not None and all(model.network.spatial_dims == 3 for model in models):
        raise RequestError(f"model '{names}' is a 3D model, which has no plane; leave out plane")
    warnings = []
    if not any(model.diffusion for model in models):
        unused = ["steps"] if request.steps not in (None, 1) else []  # one is what they take
        unused += [name for name in ("sampler", "eta", "truncation", "guess") if _given(request, name)]
        if unused:
            is_none = "are no diffusion models" if several else "is no diffusion model"
            warnings.append(f"{names} {is_none}: {', '.join(unused)} changes nothing")
    elif _given(request, "eta") and not any(model.diffusion and _sampler(request, model) == "ddim" for model in models):
        warnings.append("eta is an option of the sampler ddim: with another one it changes nothing")
    if request.dropout:
        without = [model.package.name for model in models if not has_dropout(model.network)]
        if len(without) == len(models):
            raise RequestError(f"Monte-Carlo dropout takes dropout layers, {names} has none; leave it out")
        warnings += [f"{name} has no dropout layers: it is asked without" for name in without]
    ensemble = _calibrated(request)
    if ensemble is not None:
        warnings += uncalibrated(ensemble.calibration, f"{ensemble.name} is")
        told = told_by(ensemble.calibration)
        if told and not as_calibrated(request, models, ensemble):
            warnings.append(f"{told} were fitted for {ensemble.name} with its own options and members: mistrust them")
    elif several:
        first = models[0].package
        told = told_by(first.calibration)
        warnings += [f"{told} are calibrated for {first.name} alone, not for these models together"] if told else []
        warnings += uncalibrated(first.calibration, "these models together are")
    return warnings


def calibrated_together(request: SegmentRequest, models: Sequence[Model]) -> list[Model]:
    """The models as they are; those of an ensemble with a calibration of its own with that, after each one's
    scaling."""
    ensemble = _calibrated(request)
    if ensemble is None:
        return list(models)
    entry = ensemble.calibration
    return with_calibration(models, entry if as_calibrated(request, models, ensemble) else without_agreement(entry))


def named_ensemble(request: SegmentRequest) -> Ensemble | None:
    """The ensemble that the request names."""
    return None if request.ensemble is None else find_ensemble(request.ensemble)


def as_calibrated(request: SegmentRequest, models: Sequence[Model], ensemble: Ensemble) -> bool:
    """Whether the members are those of the ensemble's calibration, and are asked as it asked them: told so, or by their
    own defaults."""
    if ensemble.fitted_for not in ("", fingerprint(ensemble.packages)):
        return False
    usual = request_for([str(ensemble.folder)])
    names = {field.name for field in fields(request)}.difference(_FREE, _EACH, RULE)
    return all(getattr(request, name) == getattr(usual, name) for name in names) and all(
        comparable(name, value, _asked(usual, model, position)[name])
        for position, model in enumerate(models)
        for name, value in _asked(request, model, position).items()
    )


def with_calibration(models: Sequence[Model], entry: dict) -> list[Model]:
    """The models with a calibration for all together, which follows the scaling of each."""
    return [recalibrated(one, after(one.package.calibration, entry, len(one.package.labels))) for one in models]


def recalibrated(model: Model, entry: dict) -> Model:
    """The model, and its copies on other devices, with another calibration."""
    other = replace(
        model, package=replace(model.package, calibration=entry),
        copies=tuple(recalibrated(copy, entry) for copy in model.copies),
    )  # fmt: skip
    other.__dict__.update(steps=model.steps, costs=model.costs)  # what was learnt of the network still holds
    return other


def model_shares(request: SegmentRequest, packages: Sequence[ModelPackage]) -> list[float]:
    """What each model counts, summing to 1; its opinions have equal parts of that.

    "quality": inversely to its error, 1 - the mean Dice on its validation cases (after Bates & Granger, "The
    combination of forecasts", 1969). Raises RequestError where that was not measured.
    """
    weights = request.weights or (1.0,) * len(packages)
    if weights == QUALITY:
        weights = [1 / max(LEAST_ERROR, 1 - _validation_dice(package)) for package in packages]
    return [weight / sum(weights) for weight in weights]


def _calibrated(request: SegmentRequest) -> Ensemble | None:
    """The ensemble that the request names, where it has a calibration."""
    ensemble = named_ensemble(request)
    return ensemble if ensemble is not None and ensemble.calibration else None


def _asked(request: SegmentRequest, model: Model, position: int) -> dict[str, Any]:
    """What a member is asked, with its own defaults filled in. An image may have fewer variants than samples here."""
    kinds = kinds_of_variants(request, model.package)
    plan, _ = make_plan(request, model, 1, (AS_IT_IS,) * (MOST_SAMPLES if kinds else 1), position)
    asked = {"samples": plan.samples, "variants": set(kinds)}
    return asked | ({"steps": plan.steps, "sampler": plan.sampler} if model.diffusion else {})


def _sampler(request: SegmentRequest, model: Model) -> str:
    return request.sampler or model.package.sampling.get("sampler", "ddim")


def _given(request: SegmentRequest, name: str) -> bool:
    """Whether an option differs from what it is when nobody sets it."""
    return getattr(request, name) != getattr(SegmentRequest, name)


def _validation_dice(package: ModelPackage) -> float:
    measured = package.training.get("validation", {}).get("dice", {})
    if not measured:
        raise RequestError(
            f"model '{package.name}' tells no Dice of validation cases, so it has no weight by quality; "
            "calibrate it, or give the weights as numbers"
        )
    return float(np.mean(list(measured.values())))
