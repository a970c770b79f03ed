"""The curve of clicks as text, as an HTML page and as rows of a table."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from .chart import COLORS, Chart, extent
from .page import STYLE

_NOTE = """Clicks: for each structure, one after another, into the middle of the largest connected error of what is
shown then. At once: the stored opinions, weighed and shifted. Asked again: a new run with the clicks. Intervals: 95 %,
bootstrap over the cases."""


def curve_rows(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header, and a row a run, way and number of clicks, as text. report: of click_curve.measure_clicks."""
    names = list(report["runs"][0]["ways"][0]["curve"][0]["dice"])
    header = ["run", "way", "clicks a structure", *(f"Dice, {name}" for name in names), "mean Dice", "gain", "seconds"]
    rows = [
        [run["name"], way["way"], str(point["clicks"]), *(_told(point["dice"].get(name, {})) for name in names),
         _told(point["mean"]), _told(point["gain"]), _plain(point["seconds"])]
        for run in report["runs"] for way in run["ways"] for point in way["curve"]
    ]  # fmt: skip
    return header, rows


def render_click_page(report: dict[str, Any]) -> str:
    """A page that needs nothing else: the curves, and the table."""
    header, rows = curve_rows(report)
    head = "".join(f"<th>{escape(text)}</th>" for text in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>What clicks are worth</title>'
        f"<style>{STYLE}</style></head><body><h1>What clicks are worth</h1>\n{_chart(report)}\n"
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>\n'
        f"<p><small>{_NOTE}</small></p></body></html>\n"
    )


def write_click_csv(path: Path, report: dict[str, Any]) -> None:
    """A row a run, way, case, structure and number of clicks."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["run", "way", "case", "clicks", "label", "dice"])
        writer.writeheader()
        writer.writerows(_case_rows(report))


def _case_rows(report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for run in report["runs"]:
        for way in run["ways"]:
            for case in way["cases"]:
                for count, dice in zip(report["clicks"], case["dice"]):
                    head = {"run": run["name"], "way": way["way"], "case": case["case"], "clicks": count}
                    yield from ({**head, "label": label, "dice": value} for label, value in dice.items())


def _chart(report: dict[str, Any]) -> str:
    lines = [(f"{run['name']}, {way['way']}", way["curve"]) for run in report["runs"] for way in run["ways"]]
    heights = [point["mean"]["mean"] for _, curve in lines for point in curve]
    counts = [float(count) for count in report["clicks"]]
    chart = Chart("Mean Dice of the structures", "clicks a structure", "Dice", extent(counts), extent(heights))
    for (name, curve), color in zip(lines, COLORS * len(lines)):
        points = [(point["clicks"], point["mean"]["mean"]) for point in curve]
        chart.line(points, color)
        chart.dots(points, color, name)
    return chart.render()


def _told(figure: dict[str, Any]) -> str:
    if figure.get("mean") is None:
        return "-"
    interval = figure.get("interval")
    return f"{figure['mean']:.4f}" + (f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else "")


def _plain(figure: dict[str, Any]) -> str:
    return "-" if figure["mean"] is None else f"{figure['mean']:.2f}"
