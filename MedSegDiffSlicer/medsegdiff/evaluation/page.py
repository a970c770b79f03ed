"""The evaluation as one HTML page that needs nothing else."""

from __future__ import annotations

from html import escape
from typing import Any

_COLUMNS = (
    ("dice", "Dice", 3), ("iou", "IoU", 3), ("surface_dice", "surface Dice, 1 mm", 3), ("hd95_mm", "HD95, mm", 2),
    ("volume_error_percent", "volume error, %", 1),
)  # fmt: skip
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 70em; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; margin: 1em 0 2em; width: 100% }
caption { text-align: left; font-weight: 600; padding: .4em 0 }
th, td { padding: .3em .8em; text-align: right; border-bottom: 1px solid #dde3ea; font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left } thead th { border-bottom: 2px solid #8fa3b8; font-weight: 600 }
tbody tr:hover { background: #f3f6fa } small { color: #607080 }
"""


def render_page(report: dict[str, Any]) -> str:
    """The report of evaluate_pairs as HTML: means with intervals, then a table a structure, worst Dice first."""
    parts = [_summary(report["summary"], len(report["cases"]))]
    parts += [_structure(report["cases"], i, entry) for i, entry in enumerate(report["summary"])]
    note = (
        "Intervals: 95 %, bootstrap over the cases. HD95: 95th percentile of the Hausdorff distance; empty where a "
        "structure is missing from one of the two. Volume error: segmentation less reference, in percent of it."
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Segmentation against reference</title>'
        f"<style>{_STYLE}</style></head><body><h1>Segmentation against reference</h1>\n"
        + "\n".join(parts)
        + f"\n<p><small>{note}</small></p></body></html>\n"
    )


def _summary(summary: list[dict[str, Any]], count: int) -> str:
    rows = []
    for entry in summary:
        cells = [f"<td>{_mean(entry[key], digits)}</td>" for key, _, digits in _COLUMNS]
        rows.append(f"<tr><td>{escape(entry['name'])}</td>{''.join(cells)}</tr>")
    return _table(f"Mean over {count} {'case' if count == 1 else 'cases'}", "structure", rows)


def _structure(cases: list[dict[str, Any]], index: int, entry: dict[str, Any]) -> str:
    rows = []
    for case in sorted(cases, key=lambda c: c["structures"][index]["dice"]):
        cells = [f"<td>{_number(case['structures'][index][key], digits)}</td>" for key, _, digits in _COLUMNS]
        rows.append(f"<tr><td>{escape(case['case'])}</td>{''.join(cells)}</tr>")
    return _table(f"{escape(entry['name'])}, worst first", "case", rows)


def _table(caption: str, first: str, rows: list[str]) -> str:
    head = "".join(f"<th>{title}</th>" for title in (first, *(title for _, title, _ in _COLUMNS)))
    return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _mean(value: dict[str, Any], digits: int) -> str:
    if value["interval"] is None:
        return _number(value["mean"], digits)
    low, high = (_number(v, digits) for v in value["interval"])
    return f"{_number(value['mean'], digits)} <small>[{low}, {high}]</small>"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
