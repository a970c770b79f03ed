"""The plots of an evaluation, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .case import CONFIDENCES
from .chart import COLORS, Chart, extent
from .failure_detection import risk_coverage
from .summary import FEWEST

GREY = "#8fa3b8"


def draw_plots(
    cases: Sequence[dict[str, Any]], structures: Sequence[dict[str, Any]], overall: dict[str, Any]
) -> list[str]:  # fmt: skip
    """Every plot for which the figures are known. cases: with `structures` in the order of `structures`, which with
    `overall` are those of study.summarise_study."""
    plots = (
        _dice(cases, structures), _expected_dice(cases, structures), _risk(cases),
        _reliability([("all labels, likeliest", overall), *((entry["name"], entry) for entry in structures)]),
        _volumes(cases, structures),
    )  # fmt: skip
    return [plot.render() for plot in plots if plot is not None]


def _dice(cases: Sequence[dict[str, Any]], structures: Sequence[dict[str, Any]]) -> Chart | None:
    """The Dice of all cases, sorted, a line a structure."""
    if len(cases) < 2:
        return None
    columns = [sorted(case["structures"][i]["dice"] for case in cases) for i in range(len(structures))]
    chart = Chart("Dice of the cases, sorted", "case", "Dice", (0, len(cases) + 1), extent(sum(columns, [])))
    for entry, column, color in zip(structures, columns, COLORS):
        chart.line(list(enumerate(column, start=1)), color, entry["name"])
    return chart


def _expected_dice(cases: Sequence[dict[str, Any]], structures: Sequence[dict[str, Any]]) -> Chart | None:
    groups = []
    for i, entry in enumerate(structures):
        rows = [(case["structures"][i], case["case"]) for case in cases]
        groups.append((entry["name"], [(s["expected_dice"], s["dice"], c) for s, c in rows if s.get("expected_dice")]))
    points = [point for _, group in groups for point in group]
    if not points:
        return None
    x, y = extent([p[0] for p in points]), extent([p[1] for p in points])
    chart = Chart("Does it know its own Dice?", "expected Dice", "Dice", x, y)
    low, high = max(x[0], y[0]), min(x[1], y[1])
    if low < high:
        chart.line([(low, low), (high, high)], GREY, dashed=True)
    for (name, group), color in zip(groups, COLORS):
        chart.dots([p[:2] for p in group], color, name, [f"{p[2]}, {name}" for p in group])
    return chart


def _risk(cases: Sequence[dict[str, Any]]) -> Chart | None:
    """Risk-coverage curves of the confidences, over the cases' mean Dice."""
    curves = []
    for name, sign in CONFIDENCES.items():
        rows = [case for case in cases if case.get(name) is not None and case.get("dice") is not None]
        if len(rows) >= FEWEST:
            confidence = sign * np.array([row[name] for row in rows])
            curves.append((name.replace("_", " "), risk_coverage(confidence, np.array([row["dice"] for row in rows]))))
    if not curves:
        return None
    risks = [float(risk) for _, (_, column) in curves for risk in column]
    chart = Chart("Most confident cases first", "share of cases kept", "mean 1 - Dice of these", (0, 1), extent(risks))
    for (name, (kept, risk)), color in zip(curves, COLORS):
        chart.line(list(zip(kept.tolist(), risk.tolist())), color, name)
    return chart


def _reliability(entries: Sequence[tuple[str, dict[str, Any]]]) -> Chart | None:
    known = [(name, entry["reliability"]) for name, entry in entries if "reliability" in entry]
    if not known:
        return None
    chart = Chart("Reliability, voxels near the structures", "probability", "frequency", (0, 1), (0, 1))
    chart.line([(0, 0), (1, 1)], GREY, dashed=True)
    for (name, bins), color in zip(known, COLORS):
        points = [(p, f) for p, f in zip(bins["probability"], bins["frequency"]) if p is not None]
        chart.line(points, color, name)
        chart.dots(points, color)
    return chart


def _volumes(cases: Sequence[dict[str, Any]], structures: Sequence[dict[str, Any]]) -> Chart | None:
    """The references' volumes and the segmentations' 95 % intervals, relative to the segmentations' volumes."""
    rows = [
        (i, s["reference_volume_mm3"], *s["volume_interval_mm3"], s["volume_mm3"])
        for case in cases for i, s in enumerate(case["structures"]) if s.get("volume_interval_mm3") and s["volume_mm3"]
    ]  # fmt: skip
    if not rows:
        return None
    rows = sorted((i, truth / ours, low / ours, high / ours) for i, truth, low, high, ours in rows)
    chart = Chart(
        "Volume: 95 % interval (bar) and reference (dot)", "case, by structure", "relative to the segmentation",
        (0, len(rows) + 1), extent([value for row in rows for value in row[1:]]),
    )  # fmt: skip
    for place, (i, _, low, high) in enumerate(rows, start=1):
        chart.bar(place, low, high, COLORS[i % len(COLORS)])
    for i, entry in enumerate(structures[: len(COLORS)]):
        dots = [(place, row[1]) for place, row in enumerate(rows, start=1) if row[0] == i]
        chart.dots(dots, COLORS[i], entry["name"])
    return chart
