"""medsegdiff calibrate: makes a model's probabilities, intervals and warnings agree with a dataset."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RequestError
from .options import add_common_options
from .progress import ShareBar
from .table import format_table

if TYPE_CHECKING:
    from ..models.package import ModelPackage

_FIGURES = (
    ("ece", "ECE near the structures (15 bins)"),
    ("expected_dice_spearman", "expected and true Dice, rank correlation"),
    ("expected_dice_error", "expected Dice, mean absolute error"),
    ("coverage", "coverage of the 95 % volume interval"),
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the sub-command."""
    parser = subparsers.add_parser(
        "calibrate",
        help="fit a model's confidence to a dataset",
        description="Segments a dataset's validation cases and fits what the model says of itself: its probabilities, "
        "the Dice to be expected, the intervals of volumes; records what the training cases look like, so that other "
        "images get a warning; and writes the model's information page. All of it goes into the model and is used from "
        "then on.",
    )
    parser.add_argument("model", metavar="MODEL", help="name or folder of a model")
    parser.add_argument("dataset", metavar="DATASET", help="folder with imagesTr, labelsTr and dataset.json")
    parser.add_argument("-o", "--output", metavar="DIR",
                        help="write a calibrated copy of the model to this folder (default: change the model; where it "
                        "may not be changed, a copy among your models)")  # fmt: skip
    parser.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda, cuda:I or mps (default auto)")
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Calibrates and prints the cross-validated figures."""
    if not Path(args.dataset).is_dir():
        raise RequestError(f"the dataset folder {args.dataset} does not exist; check the path")

    from ..models.importing import folder_to_change
    from ..models.store import find_model
    from ..training.calibrate import calibrate
    from ..evaluation.dataset import read_dataset

    package = find_model(args.model)
    folder, cases = folder_to_change(package, args.output), read_dataset(args.dataset)
    with ShareBar(args.quiet) as bar:
        fitted = calibrate(package, cases["val"], cases["train"], bar.note, args.device, folder)
    if not args.quiet:
        print(_text(fitted, len(cases["val"])))


def _text(package: ModelPackage, cases: int) -> str:
    from ..models.package import PAGE

    figures = package.training["validation"].get("cross_validated", {})
    rows = [(what, f"{figures[name]:.4f}") for name, what in _FIGURES if name in figures]
    table = format_table((f"{cases} validation cases, cross-validated", ""), rows) + "\n" if rows else ""
    return f"{table}calibrated: {package.name} in {package.folder}; read {package.folder / PAGE}"
