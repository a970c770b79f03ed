"""medsegdiff evaluate: segmentations against references, or models on a dataset's split."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RequestError
from .click_curve import run_curve
from .options import add_common_options
from .outputs import Outputs
from .progress import ShareBar
from .runs import add_run_options, run_options_given, runs_from
from .table import format_table
from .targets import write_json

if TYPE_CHECKING:
    from ..evaluation.page import Section


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the sub-command."""
    parser = subparsers.add_parser(
        "evaluate",
        conflict_handler="resolve",  # --steps takes several here
        help="compare segmentations with references",
        description="Compares segmentations with references (--pred, --ref): files, or folders where each "
        "reference has a segmentation of its name. Or runs models on a dataset's split (--model, --dataset). Tells "
        "Dice, distances and volume errors; and, of what knows its own uncertainty, whether that can be trusted: "
        "calibration, errors and failures found, expected Dice, intervals, ambiguity. With 95 % intervals over the "
        "cases.",
    )
    parser.add_argument("--report", metavar="R.json", help="all figures, case by case")
    parser.add_argument("--csv", metavar="C.csv", help="the figures of each case and structure as a table")
    parser.add_argument("--html", metavar="H.html", help="a page with tables, plots and pictures of the worst cases")
    parser.add_argument("--tolerance", type=float, default=1.0, metavar="MM",
                        help="distance that counts as agreement in the surface Dice (default 1)")  # fmt: skip
    parser.add_argument("--failure-dice", type=float, metavar="D",
                        help="a Dice below it is a failure (default: the 10th percentile of the cases)")  # fmt: skip
    group = parser.add_argument_group("files (NAME: the files CASE_NAME beside the segmentations, as of batch)")
    group.add_argument("--pred", metavar="DIR_OR_FILE",
                       help="segmentations; reports beside them (CASE.json) are read, too")  # fmt: skip
    group.add_argument("--ref", nargs="+", action="extend", metavar="DIR_OR_FILE",
                       help="references: one folder or file a rater; or files that hold a label map a rater, or "
                       "CASE_rater1, CASE_rater2, ...")  # fmt: skip
    group.add_argument("--images", metavar="DIR_OR_FILE",
                       help="scans for the pictures (default: those the reports name)")  # fmt: skip
    for kind, what in (("probability", "probabilities of each label"), ("samples-in", "a label map a sample"),
                       ("uncertainty", "maps of uncertainty")):  # fmt: skip
        usual = f"{kind.partition('-')[0]}.nii.gz"
        group.add_argument(f"--{kind}", metavar="NAME", help=f"{what} (default: {usual} and the like, if there)")
    group = parser.add_argument_group("models on a dataset")
    group.add_argument("--dataset", metavar="DIR", help="folder with imagesTr, labelsTr and dataset.json")
    group.add_argument("--split", choices=("train", "val"), default="val", help="cases to use (default val)")
    group.add_argument("-m", "--model", action="append", metavar="MODEL",
                       help="name or folder of a model; several (-m A -m B) are asked together")  # fmt: skip
    group.add_argument("--compare", action="append", default=[], metavar="'MODEL [MODEL ...] [OPTIONS]'",
                       help="a further run: models that are asked together, with options of their own, in quotes, "
                       "for example 'hippocampus-unet --no-tta'; can be given several times")  # fmt: skip
    group.add_argument("--clicks", metavar="N[,N...]",
                       help="measure what clicks are worth instead: the Dice after so many corrective clicks a "
                       "structure, for example 0,1,2,3,5")  # fmt: skip
    add_run_options(parser)
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Evaluates and prints a table."""
    pairs_given, models_given = (args.pred, args.ref), (args.model, args.dataset)
    if not (all(pairs_given) and not any(models_given) or all(models_given) and not any(pairs_given)):
        raise RequestError("give --pred and --ref, or --model and --dataset; see medsegdiff evaluate --help")
    of_files = (args.images, args.probability, args.samples_in, args.uncertainty)
    if args.model and any(of_files):
        raise RequestError("--images, --probability, --samples-in and --uncertainty go with --pred; leave them out")
    of_models = [f"--{name}" for name in ("compare", "clicks") if getattr(args, name)]
    if args.pred and (given := of_models + run_options_given(args)):
        raise RequestError(f"{', '.join(given)}: of use with --model only; with --pred leave out")
    if not 0 < args.tolerance < inf:
        raise RequestError("--tolerance is a distance above 0 mm; 1 is usual")
    if args.failure_dice is not None and not 0 <= args.failure_dice <= 1:
        raise RequestError("--failure-dice is a Dice, from 0 to 1; 0.8, for example")
    _check_outputs(args)
    if args.clicks is not None:
        run_curve(args)
        _say_written(args)
        return
    report, text, sections = _compare(args) if args.pred else _measure(args)
    with Outputs() as outputs:
        if args.report:
            write_json(outputs.path(args.report), report)
        if args.csv:
            from ..evaluation.spreadsheet import write_csv

            write_csv(outputs.path(args.csv), sections)
        if args.html:
            from ..evaluation.page import render_page

            outputs.path(args.html).write_text(render_page(sections), encoding="utf-8")
    if not args.quiet:
        print(text)
    _say_written(args)


def _compare(args: argparse.Namespace) -> tuple[dict[str, Any], str, list[Section]]:
    from ..evaluation.columns import ACCURACY, UNCERTAINTY, cell_with_interval, known
    from ..evaluation.files import evaluate_pairs
    from ..evaluation.page import Section
    from ..evaluation.pairs import find_pairs
    from ..evaluation.summary import FEWEST
    from ..evaluation.worst import CASES, WorstCases

    names = {"probability": args.probability, "samples": args.samples_in, "uncertainty": args.uncertainty}
    images = None if args.images is None else Path(args.images)
    pairs, left_out, unread = find_pairs(Path(args.pred), *map(Path, args.ref), names=names, images=images)
    read = {path.resolve() for pair in pairs for path in pair.files}
    for name in filter(None, (args.report, args.csv, args.html)):
        if Path(name).resolve() in read:
            raise RequestError(f"{name} is read as part of a case; give the output another name")
    if left_out and not args.quiet:
        print(f"warning: left out, without reference: {_some([path.name for path in left_out])}", file=sys.stderr)
    if unread and not args.quiet:
        files = _some([f"CASE_{name}" for name in unread])
        print(f"note: not read: {files}; tell what they hold: --probability {unread[0]}, for example, or --samples-in, "
              "--uncertainty", file=sys.stderr)  # fmt: skip
    worst = WorstCases(CASES) if args.html else None
    with ShareBar(args.quiet) as bar:
        report = evaluate_pairs(pairs, bar.note, args.tolerance, args.failure_dice, worst)
    pictures = worst.pictures if worst else ()
    section = Section(Path(args.pred).name, report["cases"], report["summary"], report["overall"], pictures)
    entries = [(entry["name"], entry) for entry in report["summary"]] + [("all", report["overall"])]
    rows = [
        (column.title, *(cell_with_interval(column, entry) for _, entry in entries))
        for column in (*ACCURACY, *known(UNCERTAINTY, [entry for _, entry in entries]))
    ]
    text = format_table(("mean [95 % interval]", *(name for name, _ in entries)), rows)
    few = f" (fewer than {FEWEST}: no bootstrap intervals, no failures)" if len(pairs) < FEWEST else ""
    return report, f"{text}\n{len(pairs)} case(s){few}", [section]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _measure(args: argparse.Namespace) -> tuple[dict[str, Any], str, list[Section]]:
    from ..evaluation.markdown import as_markdown
    from ..evaluation.model_quality import Settings, measure_models
    from ..evaluation.page import Section
    from ..evaluation.worst import CASES

    settings = Settings(args.tolerance, args.failure_dice, CASES if args.html else 0)
    with ShareBar(args.quiet) as bar:
        report, worst = measure_models(runs_from(args), args.dataset, args.split, settings, bar.note)
    sections = [
        Section(_title(run), run["cases"], run["structures"], run["overall"], kept.pictures)
        for run, kept in zip(report["runs"], worst)
    ]
    return report, as_markdown(report), sections


def _title(run: dict[str, Any]) -> str:
    steps = run["request"]["steps"]
    return run["name"] if steps is None else f"{run['name']}, {steps} steps"


def _say_written(args: argparse.Namespace) -> None:
    files = [name for name in (args.report, args.csv, args.html) if name is not None]
    if files and not args.quiet:
        print(f"\nwritten: {', '.join(files)}")


def _check_outputs(args: argparse.Namespace) -> None:
    from ..image.output import check_output

    for name, suffix in ((args.report, ".json"), (args.csv, ".csv"), (args.html, ".html")):
        if name is not None:
            check_output(name, (suffix,))
