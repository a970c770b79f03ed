"""The columns of the tables that show an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .summary import FEWEST


@dataclass(frozen=True)
class Column:
    """A figure of the entries of study.summarise_study.

    title: heading.  figure: finds it in an entry; None where it is not known.  digits: behind the point.
    case: its name in a case's structure; None for figures that only many cases have.
    """

    title: str
    figure: Callable[[dict[str, Any]], dict[str, Any] | None]
    digits: int = 3
    case: str | None = None


def cell(column: Column, entry: dict[str, Any], absent: str = "-") -> str:
    """The figure as text; absent, too, where too few cases tell it."""
    figure = column.figure(entry)
    value = None if figure is None or _too_few(figure) else figure.get("mean", figure.get("value"))
    return absent if value is None else f"{value:.{column.digits}f}"


def cell_with_interval(column: Column, entry: dict[str, Any]) -> str:
    """The figure as text, with its interval where it has one."""
    figure = column.figure(entry) or {}
    interval = figure.get("interval")
    if interval is None or _too_few(figure):
        return cell(column, entry)
    low, high = (f"{value:.{column.digits}f}" for value in interval)
    return f"{cell(column, entry)} [{low}, {high}]"


def _too_few(figure: dict[str, Any]) -> bool:
    """Whether it is a figure of several values a case, see summary.estimate, of fewer than FEWEST."""
    return "value" in figure and figure.get("cases", FEWEST) < FEWEST


def _of(title: str, *path: str, digits: int = 3, case: str | None = None) -> Column:
    def figure(entry: dict[str, Any]) -> dict[str, Any] | None:
        found: Any = entry
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, dict) or found is None else {"value": found}

    return Column(title, figure, digits, case)


def _mean(title: str, key: str, digits: int = 3) -> Column:
    return _of(title, key, digits=digits, case=key)


ACCURACY = (
    _mean("Dice", "dice"), _mean("IoU", "iou"), _mean("surface Dice", "surface_dice"), _mean("HD95, mm", "hd95_mm", 2),
    _mean("signed volume error, %", "volume_error_percent", 1),
)  # fmt: skip
UNCERTAINTY = (
    _mean("ECE", "ece", 4), _of("ECE, all voxels", "reliability", "ece", digits=4), _mean("ACE", "ace"),
    _mean("Brier", "brier", 4), _mean("NLL", "nll", 4), _mean("errors found, AUROC", "auroc"),
    _of("expected Dice, mean error", "expected_dice", "mean_absolute_error", digits=4),
    _of("expected Dice, Spearman", "expected_dice", "spearman", digits=2),
    _of("expected Dice withheld, cases", "expected_dice", "withheld", digits=0),
    _of("failure, AUROC", "failure", "confidences", "expected_dice", "auroc", digits=2),
    _of("AURC", "failure", "confidences", "expected_dice", "aurc", digits=4),
    _of("mean uncertainty, Spearman", "failure", "confidences", "mean_uncertainty", "spearman", digits=2),
    _mean("agreement of samples", "sample_agreement"), _of("volume interval, coverage", "coverage", case="covered"),
    _mean("energy distance", "ged"), _mean("matched IoU", "matched_iou"),
)  # fmt: skip
CONFIDENCE = (
    _of("AUROC", "auroc", digits=2), _of("AURC", "aurc", digits=4), _of("Spearman to the Dice", "spearman", digits=2),
)  # fmt: skip
OF_CASE = (
    *ACCURACY, _of("expected Dice", case="expected_dice"),
    *(column for column in UNCERTAINTY if column.case is not None),
)  # fmt: skip


def known(columns: Sequence[Column], entries: Sequence[dict[str, Any]]) -> list[Column]:
    """The columns that have a figure in any of the entries."""
    return [column for column in columns if any(cell(column, entry, "") for entry in entries)]
