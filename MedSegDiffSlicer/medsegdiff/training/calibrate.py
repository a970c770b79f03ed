"""Calibration of a trained model on its validation cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..inference.engine import segment_image
from ..inference.model import Model, load_model
from ..inference.request import SegmentRequest
from ..inference.result import SegmentResult
from ..models.package import ModelPackage, write_package
from ..uncertainty.calibration import fit_expected_dice, fit_relative_error, negative_log_likelihood
from ..uncertainty.statistics import soft_dice
from .dataset import Case

TEMPERATURES = (0.8, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)
TEMPERATURE_CASES = 20


def calibrate(
    package: ModelPackage, cases: list[Case], report: Callable[[float, str], None] | None = None
) -> ModelPackage:
    """Fits and stores the package's calibration (see uncertainty.calibration), with the model's default options."""
    say = report or (lambda share, text: None)
    model = load_model(replace(package, calibration={}))
    read = [case.read() for case in cases]
    temperature = _fit_temperature(model, read[:: max(1, len(read) // TEMPERATURE_CASES)], say)
    model = _with(model, {"temperature": temperature})
    expected, relative, dice = {}, {}, {}
    results = []
    for n, (image, reference) in enumerate(read):
        say(0.7 + 0.3 * n / len(read), f"calibration, case {n + 1}/{len(read)}")
        results.append(_segment(model, image))
    for label in package.foreground:
        numbers = [_numbers(result, reference, label.value) for result, (_, reference) in zip(results, read)]
        present = [x for x in numbers if x is not None]
        if not present:
            continue
        soft, true, volume, half, actual = np.array(present, dtype=float).T
        expected[str(label.value)] = fit_expected_dice(soft, true)
        relative[str(label.value)] = fit_relative_error(volume, half, actual)
        dice[label.name] = round(float(true.mean()), 4)
    calibration = {"temperature": temperature, "expected_dice": expected, "relative_volume_error": relative}
    training = {**package.training, "validation": {"cases": len(read), "dice": dice}}
    package = replace(package, calibration=calibration, training=training)
    write_package(package)
    say(1.0, f"wrote {package.folder}")
    return package


def _fit_temperature(model: Model, read: list, say) -> float:
    losses = []
    for n, temperature in enumerate(TEMPERATURES):
        say(0.7 * n / len(TEMPERATURES), f"calibration, temperature {temperature}")
        trial = _with(model, {"temperature": temperature})
        losses.append(np.mean([negative_log_likelihood(_segment(trial, i).probability, r) for i, r in read]))
    return TEMPERATURES[int(np.argmin(losses))]


def _with(model: Model, calibration: dict) -> Model:
    return replace(model, package=replace(model.package, calibration=calibration))


def _segment(model: Model, image) -> SegmentResult:
    return segment_image(SegmentRequest(model=model.package.name), image, model=model)


def _numbers(result: SegmentResult, reference: np.ndarray, value: int) -> tuple[float, ...] | None:
    """Soft Dice, Dice, volume, half-width of the samples' interval, reference volume (mm^3); None where both are empty."""
    mask, truth = result.labelmap == value, reference == value
    soft = soft_dice(mask, result.probability[value])
    if soft is None or mask.sum() + truth.sum() == 0:
        return None
    voxel = float(abs(np.linalg.det(result.affine[:3, :3])))
    segment = next(s for s in result.statistics if s["label"] == value)
    half = segment["volume_interval_mm3"][1] - segment["volume_mm3"]
    return soft, 2 * (mask & truth).sum() / (mask.sum() + truth.sum()), mask.sum() * voxel, half, truth.sum() * voxel
