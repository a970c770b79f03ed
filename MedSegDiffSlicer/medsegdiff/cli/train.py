"""medsegdiff train: from a dataset and a configuration to a model package."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import RequestError
from .options import add_common_options
from .progress import ShareBar
from .validation import print_dice

_LOST = "interrupted before the first step was done; nothing was kept"


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the sub-command."""
    text = (
        "Trains a model on a dataset laid out as nnU-Net or MSD: imagesTr, labelsTr, dataset.json. What was learned is "
        "kept in MODEL_DIR/training every 500 steps ('checkpoint_every' in CONFIG) and on Ctrl-C; the same command "
        "then goes on from there. docs/training.md tells what may stand in CONFIG; examples are in Resources/Training."
    )
    parser = subparsers.add_parser("train", help="train a model", description=text)
    parser.add_argument("dataset", metavar="DATASET_DIR", help="folder with imagesTr, labelsTr and dataset.json")
    parser.add_argument("-c", "--config", required=True, metavar="CONFIG", help="training configuration (JSON)")
    parser.add_argument("-o", "--output", required=True, metavar="MODEL_DIR", help="folder of the model package")
    parser.add_argument(
        "--from", dest="start", metavar="MODEL", help="start from the weights of this model (fine-tuning)"
    )
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Trains, or goes on with an interrupted training."""
    for folder, name in ((args.dataset, "dataset folder"), (args.config, "configuration")):
        if not Path(folder).exists():
            raise RequestError(f"the {name} {folder} does not exist; check the path")
    output = Path(args.output)
    if output.is_file():
        raise RequestError(f"{output} is a file; give a folder for the model")
    if not output.parent.is_dir():
        raise RequestError(f"the folder {output.parent} does not exist; create it or choose another one")

    from ..training.checkpoint import remove_empty, saved_step
    from ..training.run import train

    try:
        with ShareBar(args.quiet) as bar:
            package = train(args.dataset, args.config, output, bar.note, args.start)
    except (Exception, KeyboardInterrupt):
        remove_empty(output)
        step = saved_step(output)
        args.interrupted = f"interrupted; the same command goes on after step {step}" if step else _LOST
        raise
    if not args.quiet:
        print_dice(package)
        print(f"trained: {package.name} in {output}; try: medsegdiff segment IMAGE -m {output} -o OUT.nii.gz")
