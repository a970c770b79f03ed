"""Running settings in turn, and the figures that come of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from ...inference.engine import segment_image
from ...inference.model import Model
from ...inference.request import SegmentRequest
from ..metrics import mean_dice
from ..model_quality import time_ratio
from .setting import Case, Setting

ProgressNote = Callable[[float, str], None]
Models = Mapping[tuple[str, str], Model]  # by name and device
Row = dict[str, Any]
_LOOK = 8  # an encoder costs about as much as so many steps of a sample; used for the progress bar only


class Outcome(NamedTuple):
    """One run. seconds: end to end without loading the model.  overhead: these over the network's seconds.  busy: share
    of the sampling loop that the device spent in the network, or None."""

    case: str
    seconds: float
    network_seconds: float
    overhead: float
    evaluations: int
    quality: float | None
    busy: float | None = None


class Run(NamedTuple):
    """A thing to be timed. key: of its outcomes.  weight: about how long it takes.  call: turn number -> outcome."""

    key: Hashable
    what: str
    weight: float
    call: Callable[[int], Outcome]


def interleave(runs: Sequence[Run], rounds: int, note: ProgressNote) -> dict[Hashable, list[Outcome]]:
    """Everything once in each round, so that a slower spell of the machine meets all; the outcomes of each, by its key.

    A round before the first warms up, with the runs that do not take much longer than the others; it does not count.
    """
    cheap = 2 * median(run.weight for run in runs)
    plan = [(0, run, False) for run in runs if run.weight <= cheap]
    plan += [(turn, run, True) for turn in range(rounds) for run in runs]
    total, done = sum(run.weight for _, run, _ in plan), 0.0
    outcomes: dict[Hashable, list[Outcome]] = {run.key: [] for run in runs}
    for turn, run, counts in plan:
        note(done / total, run.what)
        outcome = run.call(turn)
        if counts:
            outcomes[run.key].append(outcome)
        done += run.weight
    return outcomes


def runs_of(settings: Sequence[Setting], models: Models, cases: Sequence[Case]) -> list[Run]:
    """The runs of settings, on each device that their model is there for; key: (number of the setting, device).

    Turn n takes case n, beginning anew after the last, unless the setting has a case of its own.
    """

    def run(setting: Setting, model: Model, turn: int) -> Outcome:
        return run_once(setting, model, setting.case or cases[turn % len(cases)])

    return [
        Run((n, device), setting.what, _weight(setting, cases[0]), partial(run, setting, model))
        for n, setting in enumerate(settings) for (name, device), model in models.items() if name == setting.model
    ]  # fmt: skip


def run_once(setting: Setting, model: Model, case: Case) -> Outcome:
    """One segmentation of a case."""
    result = segment_image(SegmentRequest(setting.model, **setting.options), case.image, model=model)
    seconds = result.report["seconds"]
    scored = setting.scored and case.reference is not None
    return Outcome(
        case.name, seconds["total"] - seconds["load"], seconds["network"], time_ratio(seconds),
        result.report["network_evaluations"],
        mean_dice(result.labelmap, case.reference, [x.value for x in result.labels]) if scored else None,
        seconds["denoising"] / seconds["sampling"] if seconds["sampling"] else None,
    )  # fmt: skip


def rows_of(
    settings: Sequence[Setting], models: Models, cases: Sequence[Case], rounds: int, note: ProgressNote
) -> list[Row]:
    """Runs settings and gives their rows: `part`, `what`, `options` and `amount` of the setting, `model` (its name),
    `device`, and the figures of row_of. Times are compared with those of the first setting."""
    outcomes = interleave(runs_of(settings, models, cases), rounds, note)
    rows = []
    for (n, device), runs in outcomes.items():
        setting = settings[n]
        head = {"part": setting.part, "what": setting.what, "model": models[setting.model, device].package.name,
                "device": device, "options": dict(setting.options), "amount": setting.amount}  # fmt: skip
        rows.append({**head, **row_of(runs, outcomes[0, device])})
    return rows


def row_of(outcomes: Sequence[Outcome], first: Sequence[Outcome]) -> Row:
    """Medians over the rounds.

    first: the runs of the same rounds that the times are compared with.
    `network_evaluations`, `seconds` (a dictionary: `median`, `low`, `high`), `seconds_per_evaluation` (inside the
    network), `overhead`, `busy`, `ratio` (to the time of `first`), `quality` (mean over the cases, or None) and
    `peak_memory_bytes` (None; see memory).
    """
    return {
        "network_evaluations": outcomes[0].evaluations,
        "seconds": spread([o.seconds for o in outcomes]),
        "seconds_per_evaluation": median(o.network_seconds / o.evaluations for o in outcomes),
        "overhead": median(o.overhead for o in outcomes),
        "busy": median(o.busy for o in outcomes) if all(o.busy is not None for o in outcomes) else None,
        "ratio": median(o.seconds / y.seconds for o, y in zip(outcomes, first)),
        "quality": mean_quality(outcomes),
        "peak_memory_bytes": None,
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": median(values), "low": min(values), "high": max(values)}


def mean_quality(outcomes: Sequence[Outcome]) -> float | None:
    """The mean over the cases, each counted once (a case's runs are all equal)."""
    by_case = {o.case: o.quality for o in outcomes if o.quality is not None}
    return float(np.mean(list(by_case.values()))) if by_case else None


def exponent(amounts: Sequence[float], seconds: Sequence[float]) -> float | None:
    """p of the power law seconds ~ amount^p that fits best (least squares of logarithms); None for a single amount."""
    if len(set(amounts)) < 2:
        return None
    return float(np.polyfit(np.log(amounts), np.log(seconds), 1)[0])


def _weight(setting: Setting, case: Case) -> float:
    image = (setting.case or case).image
    return float(np.prod(image.shape)) * (_LOOK + setting.options.get("samples", 0) * setting.options.get("steps", 0))
