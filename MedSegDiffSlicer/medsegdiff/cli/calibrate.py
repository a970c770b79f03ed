"""medsegdiff calibrate: makes a model's probabilities, intervals and warnings agree with a dataset."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RequestError
from .options import add_common_options
from .progress import ShareBar
from .table import format_table
from .validation import print_dice

if TYPE_CHECKING:
    from ..models.ensembles import Ensemble
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
    parser.add_argument("model", metavar="MODEL", help="name or folder of a model or ensemble")
    parser.add_argument("dataset", metavar="DATASET",
                        help="folder with imagesTr, labelsTr and dataset.json; its validation cases must be ones that "
                        "the model was not trained on")  # fmt: skip
    parser.add_argument("-o", "--output", metavar="DIR",
                        help="write a calibrated copy of the model to this folder (default: change the model; where it "
                        "may not be changed or came with medsegdiff, a copy among your models)")  # fmt: skip
    parser.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda, cuda:I or mps (default auto)")
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Calibrates and prints the cross-validated figures."""
    if not Path(args.dataset).is_dir():
        raise RequestError(f"the dataset folder {args.dataset} does not exist; check the path")

    from ..evaluation.dataset import read_dataset
    from ..models.ensembles import find_ensemble
    from ..models.importing import folder_to_change
    from ..models.store import find_model
    from ..training.calibrate import calibrate
    from ..training.calibrate_ensemble import calibrate_ensemble

    ensemble = find_ensemble(args.model)
    package = find_model(args.model) if ensemble is None else None
    folder = _folder(ensemble, args.output) if package is None else folder_to_change(package, args.output)
    cases = read_dataset(args.dataset)
    with ShareBar(args.quiet) as bar:
        if package is None:
            fitted = calibrate_ensemble(ensemble, cases["val"], bar.note, args.device, folder)
        else:
            fitted = calibrate(package, cases["val"], cases["train"], bar.note, args.device, folder)
    if not args.quiet:
        print_dice(fitted)
        print(_text(fitted))


def _folder(ensemble: Ensemble, wanted: str | None) -> Path:
    """Where the calibrated ensemble is written. Raises RequestError where it cannot be, or something would be lost."""
    from ..models.ensembles import ENSEMBLE, load_ensemble
    from ..models.importing import is_shipped

    if wanted is None and is_shipped(ensemble.folder):
        raise RequestError(f"'{ensemble.name}' came with medsegdiff and stays as it is; give a folder for a copy "
                           "with -o")  # fmt: skip
    folder = ensemble.folder if wanted is None else Path(wanted)
    if (folder / ENSEMBLE).is_file() and load_ensemble(folder).name == ensemble.name:
        if not os.access(folder / ENSEMBLE, os.W_OK):
            raise RequestError(f"{folder / ENSEMBLE} may not be changed; give a folder for a copy with -o")
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RequestError(f"{folder} exists and is not this ensemble; give a new folder with -o")
    return folder


def _text(package: ModelPackage | Ensemble) -> str:
    from ..models.package import PAGE

    figures = package.training["validation"].get("cross_validated", {})
    rows = [(what, f"{figures[name]:.4f}") for name, what in _FIGURES if name in figures]
    table = format_table(("cross-validated", ""), rows) + "\n" if rows else ""
    page = package.folder / PAGE
    return f"{table}calibrated: {package.name} in {package.folder}" + (f"; read {page}" if page.is_file() else "")
