"""The evaluation as one HTML page that needs nothing else."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from .columns import ACCURACY, CONFIDENCE, OF_CASE, UNCERTAINTY, Column, cell, known
from .plots import draw_plots
from .summary import FEWEST

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 76em; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; margin: 1em 0 2em; width: 100% }
caption { text-align: left; font-weight: 600; padding: .4em 0 }
th, td { padding: .3em .8em; text-align: right; border-bottom: 1px solid #dde3ea; font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left } thead th { border-bottom: 2px solid #8fa3b8; font-weight: 600 }
tbody tr:hover { background: #f3f6fa } small { color: #607080 } svg { font-family: inherit; margin: .4em .8em .4em 0 }
figure { display: inline-block; margin: .5em 1em 1em 0; background: #12141a; padding: 6px }
figcaption { color: #ecedf2 }
.wide { overflow-x: auto } b.ours { color: #ff8c28 } b.theirs { color: #3cdcff }
"""
_NOTE = f"""Intervals: 95 %, bootstrap over the cases, none of fewer than {FEWEST}; of the coverage the exact binomial
one. HD95: 95th percentile of the Hausdorff distance; empty where a structure is missing from one of the two. Volume
error: segmentation less reference, in percent of it. With several raters every figure is the mean over them. ECE:
expected calibration error, 15 bins, voxels within 10 voxels of a structure, mean of the cases, and of all their
voxels together. Errors found: area under the ROC curve of the entropy for wrong voxels within 5 voxels of a
structure. Failure: a Dice below the bound; area under the ROC curve of low expected Dice for it. Where a warning says
that image or result are unlike those that it was fitted on, the expected Dice is withheld; such cases do not count in
figures of it. AURC: area under the risk-coverage curve, the lower the better. Coverage: share of reference volumes
inside the 95 % interval."""


@dataclass(frozen=True)
class Section:
    """What is shown of one run. cases, structures, overall: see study.summarise_study.  pictures: case, Dice, PNG."""

    title: str
    cases: Sequence[dict[str, Any]]
    structures: Sequence[dict[str, Any]]
    overall: dict[str, Any]
    pictures: Sequence[tuple[str, float, bytes]] = ()


def render_page(sections: Sequence[Section]) -> str:
    """Means with intervals; then of each run plots, the worst cases, and a table a structure, worst Dice first."""
    parts = []
    if len(sections) > 1:
        rows = [(section.title, section.overall) for section in sections]
        parts += _tables("Mean over the structures", "run", rows)
    for section in sections:
        count = len(section.cases)
        rows = [(entry["name"], entry) for entry in section.structures]
        if len(rows) > 1:
            rows.append(("all", section.overall))
        parts.append(f"<h2>{escape(section.title)}</h2>")
        parts += _tables(f"Mean over {count} {'case' if count == 1 else 'cases'}", "structure", rows)
        parts += _confidences(section.overall)
        parts += draw_plots(section.cases, section.structures, section.overall)
        parts += _pictures(section.pictures)
        parts += [_structure(section.cases, i, entry) for i, entry in enumerate(section.structures)]
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Segmentation against reference</title>'
        f"<style>{STYLE}</style></head><body><h1>Segmentation against reference</h1>\n"
        + "\n".join(parts)
        + f"\n<p><small>{_NOTE}</small></p></body></html>\n"
    )


def _tables(caption: str, first: str, rows: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """Accuracy, and of the uncertainty what is known of any row."""
    tables = [_table(caption, first, ACCURACY, rows, _interval)]
    columns = known(UNCERTAINTY, [entry for _, entry in rows])
    return [*tables, _table("Uncertainty", first, columns, rows, _interval)] if columns else tables


def _confidences(overall: dict[str, Any]) -> list[str]:
    """How well each confidence tells failures, best first; of few cases nobody knows."""
    failure = overall.get("failure")
    if failure is None or overall["dice"]["cases"] < FEWEST:
        return []
    found = [(name.replace("_", " "), entry) for name, entry in failure["confidences"].items()]
    found.sort(key=lambda row: float("inf") if row[1]["aurc"]["value"] is None else row[1]["aurc"]["value"])
    caption = f"Failures found: {failure['failed']} case(s) with a Dice below {failure['bound']:.3f}, best first"
    return [_table(caption, "confidence", CONFIDENCE, found, _interval)]


def _structure(cases: Sequence[dict[str, Any]], index: int, entry: dict[str, Any]) -> str:
    ordered = sorted(cases, key=lambda case: case["structures"][index]["dice"])
    rows = [(case["case"], case["structures"][index]) for case in ordered]
    columns = [column for column in OF_CASE if any(row.get(column.case) is not None for _, row in rows)]
    return _table(f"{entry['name']}, worst first", "case", columns, rows, _plain)


def _table(
    caption: str, first: str, columns: Sequence[Column], rows: Sequence[tuple[str, dict[str, Any]]],
    show: Callable[[Column, dict[str, Any]], str],
) -> str:  # fmt: skip
    head = "".join(f"<th>{escape(title)}</th>" for title in (first, *(column.title for column in columns)))
    body = []
    for name, row in rows:
        cells = "".join(f"<td>{show(column, row)}</td>" for column in columns)
        body.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _plain(column: Column, row: dict[str, Any]) -> str:
    value = row.get(column.case)
    return "" if value is None else f"{value:.{column.digits}f}"


def _interval(column: Column, row: dict[str, Any]) -> str:
    figure = column.figure(row)
    low_high = None if figure is None else figure.get("interval")
    text = cell(column, row, "")
    if low_high is None or not text:
        return text
    low, high = (f"{value:.{column.digits}f}" for value in low_high)
    return f"{text} <small>[{low}, {high}]</small>"


def _pictures(pictures: Sequence[tuple[str, float, bytes]]) -> list[str]:
    if not pictures:
        return []
    figures = []
    for case, dice, png in pictures:
        source = f"data:image/png;base64,{b64encode(png).decode('ascii')}"
        text = f"{escape(case)}: Dice {dice:.3f}"
        figures.append(f'<figure><img alt="{text}" src="{source}"><figcaption>{text}</figcaption></figure>')
    what = '<b class="ours">segmentation</b>, <b class="theirs">reference</b>; the slices with most wrong voxels'
    return [f"<h3>Worst cases</h3><p>{what}</p>", *figures]
