"""Models on the split of a dataset: accuracy, what their uncertainty is worth, and time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..uncertainty.rules import MEASURES
from .case import CaseFigures, Prediction, evaluate_case
from .metrics import TOLERANCE
from .study import summarise_study
from .summary import proportion, summarise
from .worst import WorstCases

if TYPE_CHECKING:
    import numpy as np

    from ..image import Image
    from ..inference.model import Model
    from ..inference.request import SegmentRequest
    from ..inference.result import SegmentResult
    from .dataset import Case


@dataclass(frozen=True)
class Run:
    """What is measured: a request, under a name of its own.

    calibrated: whether the models' calibration is applied.
    """

    name: str
    request: SegmentRequest
    calibrated: bool = True


@dataclass(frozen=True)
class Settings:
    """tolerance: of the surface Dice, mm.  failure_dice: see study.summarise_study.  pictures: worst cases drawn."""

    tolerance: float = TOLERANCE
    failure_dice: float | None = None
    pictures: int = 0


def measure_models(
    runs: Sequence[Run], dataset: str | Path, split: str, settings: Settings = Settings(),
    progress: Callable[[float, str], None] = lambda fraction, message: None,
) -> tuple[dict[str, Any], list[WorstCases]]:  # fmt: skip
    """Segments every case of a split in each run and compares with the reference, or those of several raters.

    Returns the report, and the worst cases of each run. The report: `model`, `model_sha256` (those of the first run),
    `split`, `runs`: one entry a run with `name`, `model`, `request`, `calibrated`, `steps`, `samples`, `cases` (`case`,
    `seconds`, `time_ratio`: all time after loading to that of the network calls, `peak_memory_bytes`, `warnings`,
    `input_score`: None where the model has no distribution to compare the image with, the figures of
    case.evaluate_case, `structures`), `structures` and `overall` (see study.summarise_study), and `summary`: mean and
    interval of `seconds`, `time_ratio`, `auroc`, `sample_agreement`, `input_score`, `warned` (share of cases with a
    warning) and, under `dice` and `hd95_mm`, of each structure; `peak_memory_bytes` is there the process's highest up
    to the end of the run.
    Raises RequestError where the dataset or a model cannot be used, or a case has labels that a model does not know.
    """
    from .dataset import read_dataset

    cases = read_dataset(dataset)[split]
    entries, worst = [], []
    for number, run in enumerate(runs):
        def note(done: int, case: str) -> None:
            progress((number + done / len(cases)) / len(runs), f"{run.name}: {case}")

        worst.append(WorstCases(settings.pictures))
        entries.append(_measure(run, cases, settings, worst[-1], note))
    first = entries[0]
    report = {"model": first["model"], "model_sha256": first["model_sha256"], "split": split, "runs": entries}
    return report, worst


def without_calibration(models: Sequence[Model]) -> list[Model]:
    """The models as they were trained; how sure their opinions were on the training cases was measured with it."""
    return [
        replace(model, package=replace(model.package, calibration={}, distribution=_without_opinions(model)))
        for model in models
    ]


def _without_opinions(model: Model) -> dict[str, Any]:
    return {name: entry for name, entry in model.package.distribution.items() if name != "opinions"}


def _measure(
    run: Run, cases: Sequence[Case], settings: Settings, worst: WorstCases, note: Callable[[int, str], None]
) -> dict[str, Any]:  # fmt: skip
    from ..inference.engine import segment_image
    from ..inference.ensemble import load_models
    from .dataset import check_labels

    models, request = load_models(run.request), run.request
    if not run.calibrated:
        request = replace(request, ensemble=None)
        models = without_calibration(models)
    check_labels(cases, models[0].package.foreground)
    names = {label.value: label.name for label in models[0].package.foreground}
    compared, measured = [], []
    for done, case in enumerate(cases):
        note(done, case.name)
        image, raters = case.read_raters()
        began = time.perf_counter()
        result = segment_image(request, image, model=models)
        seconds, report = time.perf_counter() - began, result.report
        figures = _figures(result, raters, image, settings.tolerance)
        if settings.pictures:
            worst.offer(case.name, figures.whole["dice"], result.labelmap, raters, lambda: image)
        compared.append(figures)
        measured.append(
            {
                "case": case.name,
                "seconds": seconds,
                "time_ratio": time_ratio(report["seconds"]),
                "peak_memory_bytes": report["peak_memory_bytes"],
                "warnings": report["warnings"],
                "input_score": report.get("input_score"),
                **figures.whole,
                "structures": [{"name": names[value], **entry} for value, entry in figures.structures.items()],
            }
        )
    structures, overall = summarise_study(compared, names, settings.failure_dice)
    return {
        "name": run.name,
        "model": report["model"],
        "model_sha256": report["model_sha256"],
        "request": run.request.to_dict(),
        "calibrated": run.calibrated,
        "steps": report["steps"],
        "samples": report["samples"],
        "summary": _summary(measured, structures),
        "structures": structures,
        "overall": overall,
        "cases": measured,
    }


def _figures(result: SegmentResult, raters: np.ndarray, image: Image, tolerance: float) -> CaseFigures:
    prediction = Prediction(
        result.labelmap, result.probability, result.samples, result.weights,
        {measure: result.uncertainty(measure) for measure in MEASURES},
        {segment["label"]: segment for segment in result.statistics}, _aggregates(result),
    )  # fmt: skip
    values = [label.value for label in result.labels]
    return evaluate_case(prediction, list(raters), image, values, tolerance)


def _aggregates(result: SegmentResult) -> dict[str, float | None]:
    """Those of the report, of what the opinions disagree about, and of what is beyond the usual at a boundary."""
    others = {
        "mutual-information": result.aggregates("mutual-information"),
        "normalised": result.aggregates("entropy", normalised=True),
    }
    more = {f"{kind}_{name}": value for kind, found in others.items() for name, value in found.items()}
    return {**result.report["uncertainty"], **more}


def _summary(measured: Sequence[dict[str, Any]], structures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    by_structure = {key: {entry["name"]: entry[key] for entry in structures} for key in ("dice", "hd95_mm")}
    over_cases = ("auroc", "sample_agreement", "seconds", "time_ratio", "input_score")
    peak = max((m["peak_memory_bytes"] for m in measured if m["peak_memory_bytes"]), default=None)
    means = {key: summarise(m.get(key) for m in measured) for key in over_cases}
    warned = proportion(float(bool(m["warnings"])) for m in measured)
    return {**by_structure, **means, "warned": warned, "peak_memory_bytes": peak}


def time_ratio(seconds: dict[str, float]) -> float | None:
    """All time of a run after loading to that of its network calls; None without any. seconds: of its report."""
    return (seconds["total"] - seconds["load"]) / seconds["network"] if seconds["network"] else None
