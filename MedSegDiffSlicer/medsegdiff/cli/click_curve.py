"""medsegdiff evaluate --clicks: what corrective clicks are worth."""

from __future__ import annotations

import argparse

from ..errors import RequestError
from .outputs import Outputs
from .progress import ShareBar
from .runs import runs_from
from .table import format_table
from .targets import write_json

MOST = 50


def read_counts(text: str) -> tuple[int, ...]:
    """The numbers of clicks, 0 and the others in order. Raises RequestError for what is no list of such numbers."""
    try:
        counts = sorted({0, *(int(part) for part in text.split(","))})
    except ValueError:
        raise RequestError(f"--clicks {text}: give whole numbers with commas between, for example 0,1,2,3,5") from None
    if counts[0] < 0 or not 0 < counts[-1] <= MOST:
        raise RequestError(f"--clicks {text}: give numbers from 0 to {MOST}, one above 0 at least")
    return tuple(counts)


def run_curve(args: argparse.Namespace) -> None:
    """Measures, writes what is asked for, prints the table. args: of evaluate."""
    from ..evaluation.click_curve import measure_clicks
    from ..evaluation.click_page import curve_rows, render_click_page, write_click_csv

    counts = read_counts(args.clicks)
    with ShareBar(args.quiet) as bar:
        report = measure_clicks(runs_from(args), args.dataset, args.split, counts, bar.note)
    with Outputs() as outputs:
        if args.report:
            write_json(outputs.path(args.report), report)
        if args.csv:
            write_click_csv(outputs.path(args.csv), report)
        if args.html:
            outputs.path(args.html).write_text(render_click_page(report), encoding="utf-8")
    if not args.quiet:
        print(format_table(*curve_rows(report)))
