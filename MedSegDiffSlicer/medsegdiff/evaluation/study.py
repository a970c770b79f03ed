"""Figures over all cases of a study: means, and what only many cases can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from .calibration_error import SCORES, Reliability
from .case import ALL, AMBIGUITY, CONFIDENCES, CaseFigures
from .failure_detection import aurc, failure_auroc, failures, spearman
from .metrics import METRICS
from .summary import estimate, proportion, summarise

_MEANS = (*METRICS, *SCORES, *AMBIGUITY, "auroc", "sample_agreement")


def summarise_study(
    cases: Sequence[CaseFigures], names: Mapping[int, str], failure_dice: float | None = None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Figures of each structure, and of all together, with 95 % intervals over the cases.

    names: of the labels, all of which every case has.  failure_dice: a Dice below it is a failure; None for the 10th
    percentile of the cases.
    Each entry holds mean and interval (see summary.summarise) of METRICS, and of what is known: SCORES, AMBIGUITY,
    `auroc`, `sample_agreement`, `coverage` of the volume intervals (see summary.proportion); `reliability` of the
    voxels of all cases together (whose `ece` and `ace` are not the mean of the cases'); `expected_dice` with
    `spearman` (to the Dice) and `mean_absolute_error` of the cases that it is told of, and the number of those where it
    is `withheld`; `failure` with `bound`, `failed` (cases) and, under `confidences`, for each of CONFIDENCES and each
    aggregate of the uncertainty `auroc`, `aurc` and `spearman` (to the Dice, of confidence: high where sure).
    An entry of a structure has `label` and `name`; that of all together reckons with the means of each case over its
    structures, and its `error_auroc` tells every measure's.
    """
    structures = []
    for value, name in names.items():
        entry = _entry([case.structures[value] for case in cases], _pooled(cases, value), failure_dice)
        structures.append({"label": value, "name": name, **entry})
    wholes = [case.whole for case in cases]
    overall = _entry(wholes, _pooled(cases, ALL), failure_dice)
    measures = {measure: None for whole in wholes for measure in whole.get("error_auroc", ())}
    if measures:
        overall["error_auroc"] = {
            measure: summarise(whole.get("error_auroc", {}).get(measure) for whole in wholes) for measure in measures
        }
    return structures, overall


def _pooled(cases: Sequence[CaseFigures], value: int) -> Reliability | None:
    found = [case.reliability[value] for case in cases if value in case.reliability]
    return reduce(add, found) if found else None


def _entry(
    rows: Sequence[Mapping[str, Any]], reliability: Reliability | None, failure_dice: float | None
) -> dict[str, Any]:  # fmt: skip
    """rows: one a case."""
    rows = [
        {**row, **{f"uncertainty_{name}": value for name, value in row.get("uncertainty", {}).items()}} for row in rows
    ]
    known = {key for row in rows for key, value in row.items() if value is not None}
    entry: dict[str, Any] = {
        key: summarise(row.get(key) for row in rows) for key in _MEANS if key in METRICS or key in known
    }
    if "covered" in known:
        entry["coverage"] = proportion(row.get("covered") for row in rows)
    if reliability is not None:
        entry["reliability"] = reliability.to_dict()
    if known & {"expected_dice", "expected_dice_withheld"}:
        entry["expected_dice"] = {
            "spearman": estimate(spearman, *_columns(rows, "expected_dice", "dice")),
            "mean_absolute_error": summarise(
                None if row.get("expected_dice") is None else abs(row["expected_dice"] - row["dice"]) for row in rows
            ),
            "withheld": sum("expected_dice_withheld" in row for row in rows),
        }
    aggregates = dict.fromkeys(key for row in rows for key in row if key.startswith("uncertainty_"))
    confidences = [name for name in (*CONFIDENCES, *aggregates) if name in known]
    rows = [row for row in rows if row.get("dice") is not None]  # a case may be without any structure
    if confidences and len(rows) > 1:
        failed, bound = failures(np.array([row["dice"] for row in rows]), failure_dice)
        rows = [{**row, "failed": bool(bad)} for row, bad in zip(rows, failed)]
        tables = {name: _detection(rows, name) for name in confidences}
        entry["failure"] = {"bound": bound, "failed": int(failed.sum()), "confidences": tables}
    return entry


def _detection(rows: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    told, dice, failed = _columns(rows, name, "dice", "failed")
    confidence = CONFIDENCES.get(name, -1) * told
    return {
        "auroc": estimate(failure_auroc, confidence, failed),
        "aurc": estimate(aurc, confidence, dice),
        "spearman": estimate(spearman, confidence, dice),
    }


def _columns(rows: Sequence[Mapping[str, Any]], *keys: str) -> list[np.ndarray]:
    """A column for each key, of the rows that have the first one."""
    used = [row for row in rows if row.get(keys[0]) is not None]
    return [np.array([row[key] for row in used]) for key in keys]
