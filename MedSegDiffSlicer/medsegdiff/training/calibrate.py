"""Calibration of a model on its validation cases, and the distribution of its training cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import RequestError
from ..evaluation.calibration_error import Calibration, calibration
from ..evaluation.dataset import Case, check_labels
from ..evaluation.failure_detection import spearman
from ..image import Image
from ..inference.asking import Watch
from ..inference.engine import segment_image
from ..inference.ensemble import recalibrated
from ..inference.model import Model, load_model
from ..inference.request import SegmentRequest
from ..inference.result import SegmentResult
from ..models.importing import changed_copy
from ..models.package import Label, ModelPackage, write_package
from ..uncertainty.calibration import (
    FEATURES, covered, dice_features, fit_expected_dice, fit_relative_errors, folds, predict_dice,
)  # fmt: skip
from ..uncertainty.statistics import relative_error, soft_dice
from .describe_training import describe_training
from .information_page import write_page
from .scaling_fit import Collector, Voxels, cross_validated_ece, fit_scaling

Report = Callable[[float, str], None]
Asked = Callable[[Image, dict, Watch | None], SegmentResult]  # of an image, with a calibration
UNKNOWN = np.nan


class Measured(NamedTuple):
    """Of all cases, once a rater (N), and structures (L), NaN where a structure is absent: features (N, L, F), see
    calibration.dice_features; dice, volume, half (width of the samples' interval) and reference (N, L), volumes in
    mm^3."""

    features: np.ndarray
    dice: np.ndarray
    volume: np.ndarray
    half: np.ndarray
    reference: np.ndarray


@dataclass(frozen=True)
class Figures:
    """What the calibration was worth on images that it was not fitted on (cross-validation), as plain numbers; None
    where there are too few images. ece: 15 bins, within 10 voxels of the structures.  spearman, error: of expected and
    true Dice (rank correlation over all structures of all cases; mean absolute error).  coverage: of the 95 % volume
    interval."""

    ece: float | None
    spearman: float | None
    error: float | None
    coverage: float | None


def calibrate(
    package: ModelPackage, cases: Sequence[Case], training: Sequence[Case] = (), progress: Report | None = None,
    device: str = "auto", folder: Path | None = None,
) -> ModelPackage:  # fmt: skip
    """Fits and stores the package's calibration (see uncertainty.calibration) and distribution (see describe_training),
    with the model's default options, and writes its information page.

    The cases are segmented twice: once to fit the scaling of the opinions, once with it, as a user will, for all the
    rest. A case of several raters counts once a rater: what fits them on average fits the raters' distribution.
    cases: that the model has not learned from.  training: those it learned from; without them the distribution stays.
    folder: where a changed copy is written; None for the package's own.
    Raises RequestError where no case shows a structure, or one has labels that the model does not know.
    """
    say = progress or (lambda share, text: None)
    share = 2 * len(cases) / (2 * len(cases) + len(training))
    model = load_model(replace(package, calibration={}), device)

    def asked(image: Image, entry: dict, watch: Watch | None) -> SegmentResult:
        return segment_image(_request(model), image, model=recalibrated(model, entry), watch=watch)

    entry, validation, reliability = fit_to_cases(asked, package.foreground, cases, lambda done, text: say(
        share * done, text))  # fmt: skip
    package = replace(package, calibration=entry, training={**package.training, "validation": validation})
    if training:
        described = describe_training(recalibrated(model, entry), training, lambda done, text: say(
            share + (1 - share) * done, text))  # fmt: skip
        package = replace(package, distribution=described)
    folder = package.folder if folder is None else folder
    with changed_copy(package, folder) as changed:
        write_package(changed)
        write_page(changed, reliability)
    say(1.0, f"wrote {folder}")
    return replace(package, folder=folder)


def fit_to_cases(
    asked: Asked, labels: Sequence[Label], cases: Sequence[Case], say: Report
) -> tuple[dict, dict, Calibration]:  # fmt: skip
    """A calibration, what it is worth (the package's `validation`), and how reliable the probabilities then are.

    labels: the structures.  cases, raises: see calibrate.
    """
    check_labels(cases, labels)
    kept = []
    for n, case in enumerate(cases):
        say(n / len(cases) / 2, f"calibration, case {n + 1}/{len(cases)}")
        kept.append(_collect(asked, case))
    kept = [raters for raters in kept if raters]
    if not kept:
        raise RequestError("no validation case shows a structure; calibrate with cases that do")
    scaling = fit_scaling([voxels for raters in kept for voxels in raters])
    ece = cross_validated_ece(kept)
    rows, sums, images = [], [], []
    for n, case in enumerate(cases):
        say((1 + n / len(cases)) / 2, f"measuring, case {n + 1}/{len(cases)}")
        image, raters = case.read_raters()
        result = asked(image, scaling, None)
        rows += [[_numbers(result, rater, label.value) for label in labels] for rater in raters]
        images += [n] * len(raters)
        sums.append(calibration(result.probability, raters))
    measured = _gather(rows)
    entry, figures = _fit(labels, measured, np.array(images), scaling, ece)
    validation = {"cases": len(cases), "dice": _mean_dice(labels, measured), **_plain(figures)}
    return entry, validation, _total([x for x in sums if x is not None])


def _collect(asked: Asked, case: Case) -> list[Voxels]:
    """What the opinions say, once for each rater who sees a structure."""
    image, raters = case.read_raters()
    collectors = [Collector(rater) for rater in raters]

    def watch(probability: np.ndarray, labelmap: np.ndarray) -> None:
        for collector in collectors:
            collector(probability, labelmap)

    weights = asked(image, {}, watch).weights
    return [voxels for voxels in (collector.voxels(weights) for collector in collectors) if voxels is not None]


def _fit(
    labels: Sequence[Label], measured: Measured, images: np.ndarray, scaling: dict, ece: float | None
) -> tuple[dict, Figures]:  # fmt: skip
    """The calibration entry, and its figures. images: (N,), which image a row is of: its rows are held out together."""
    volumes = (measured.volume, measured.half, measured.reference)
    keys = [str(label.value) for label in labels]
    lines = fit_expected_dice(measured.features, measured.dice)
    errors = fit_relative_errors(*volumes)
    expected, inside = np.full(measured.dice.shape, UNKNOWN), np.full(measured.dice.shape, UNKNOWN)
    for _, held in folds(images[-1] + 1):
        out = np.flatnonzero(np.isin(images, held))
        fit = np.setdiff1d(np.arange(len(images)), out)
        entries = fit_expected_dice(measured.features[fit], measured.dice[fit])
        for n in out:
            predictions = [predict_dice(line, list(x)) for line, x in zip(entries, measured.features[n])]
            expected[n] = [UNKNOWN if p is None else p for p in predictions]
        inside[out] = covered(*(x[out] for x in volumes), fit_relative_errors(*(x[fit] for x in volumes)))
    known = np.isfinite(expected) & np.isfinite(measured.dice)
    figures = Figures(ece, None, None, None)
    if known.sum() > 2:
        correlation = float(spearman(expected[known], measured.dice[known]))
        figures = Figures(
            ece, None if np.isnan(correlation) else correlation,
            float(np.abs(expected - measured.dice)[known].mean()), float(np.nanmean(inside)),
        )  # fmt: skip
    entry = {
        **scaling,
        "expected_dice": {key: line for key, line in zip(keys, lines) if line is not None},
        "relative_volume_error": {
            key: float(f"{error:.5g}") for key, error, line in zip(keys, errors, lines) if line is not None
        },
    }
    return entry | ({} if figures.coverage is None else {"coverage": round(figures.coverage, 4)}), figures


def _request(model: Model) -> SegmentRequest:
    return SegmentRequest(model=model.package.name)


def _numbers(
    result: SegmentResult, reference: np.ndarray, value: int
) -> tuple[list[float], float, float, float, float]:
    """Features, Dice, volume, half-width of the samples' interval and reference volume of one structure; NaN where it
    is neither found nor there."""
    mask, truth = result.labelmap == value, reference == value
    both = np.count_nonzero(mask) + np.count_nonzero(truth)
    if both == 0:
        return [UNKNOWN] * len(FEATURES), UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN
    segment = next(s for s in result.statistics if s["label"] == value)
    volume, voxel = segment["volume_mm3"], float(abs(np.linalg.det(result.affine[:3, :3])))
    features = dice_features(soft_dice(mask, result.probability[value]), segment["sample_agreement"], volume)
    dice = 2 * np.count_nonzero(mask & truth) / both
    relative = relative_error(result.calibration, value)
    half = np.sqrt(max(0.0, (segment["volume_interval_mm3"][1] - volume) ** 2 - (relative * volume) ** 2))
    return features, dice, volume, float(half), np.count_nonzero(truth) * voxel


def _gather(rows: list[list[tuple]]) -> Measured:
    return Measured(*(np.array([[entry[i] for entry in row] for row in rows], dtype=float) for i in range(5)))


def _mean_dice(labels: Sequence[Label], measured: Measured) -> dict[str, float]:
    means = ((label.name, column[np.isfinite(column)]) for label, column in zip(labels, measured.dice.T))
    return {name: round(float(column.mean()), 4) for name, column in means if len(column)}


def _plain(figures: Figures) -> dict[str, Any]:
    names = {"ece": "ece", "spearman": "expected_dice_spearman", "error": "expected_dice_error", "coverage": "coverage"}
    found = {name: getattr(figures, key) for key, name in names.items()}
    return {"cross_validated": {name: round(value, 5) for name, value in found.items() if value is not None}}


def _total(parts: list[Calibration]) -> Calibration:
    total = parts[0].reliability
    for part in parts[1:]:
        total += part.reliability
    return Calibration(total, float(np.mean([p.brier for p in parts])), float(np.mean([p.nll for p in parts])))
