"""medsegdiff models import, download and remove: what changes the user's store."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RequestError
from .model_entry import model_entry, print_json
from .weights_options import NAMES, add_weights_options

if TYPE_CHECKING:
    from ..models.ensembles import Ensemble
    from ..models.package import ModelPackage


def add_import_options(action: argparse.ArgumentParser) -> None:
    """Of `medsegdiff models import`."""
    action.add_argument(
        "path", metavar="PATH",
        help="a package's folder or .zip; an ensemble's, with its members' folders in it; a trained nnU-Net v2 model "
             "(the folder with plans.json); a MONAI bundle; their .zip; (ema)savedmodel*.pt, a checkpoint of "
             "MedSegDiff's code; or, with --network, a network's published weights",
    )  # fmt: skip
    action.add_argument("--name", help="name of the model (not for packages, which have one)")
    action.add_argument("--licence", help="under which the model may be used, where it does not tell")
    action.add_argument("--channels", type=lambda text: text.split(","), metavar="A,B,...",
                        help="names of the image's channels; of a checkpoint or a bundle")  # fmt: skip
    action.add_argument(
        "--trust",
        action="store_true",
        default=None,
        help="run TorchScript or ONNX, or evaluate the expressions of a bundle, which are code: only if you trust "
        "whoever made it",
    )
    action.add_argument("--yes", action="store_true", help="answer the question of --trust")
    action.add_argument("--heads", type=int, metavar="N",
                        help="what --num_heads was in training (1); of a checkpoint only")  # fmt: skip
    action.add_argument("--diffusion-steps", type=int, metavar="N",
                        help="what --diffusion_steps was in training (1000); of a checkpoint only")  # fmt: skip
    action.add_argument(
        "--noise-schedule",
        metavar="NAME",
        help="what --noise_schedule was in training: linear (default) or cosine; of a checkpoint only",
    )
    action.add_argument(
        "--bottleneck",
        metavar="HOW",
        help="reference: draw at random within, as V1 as released does; of its checkpoints only",
    )
    action.add_argument("--folds", type=lambda text: text.split(","), metavar="N,M,...",
                        help="of an nnU-Net model (default: all, a model each and an ensemble)")  # fmt: skip
    action.add_argument("--paint", type=lambda text: text.split(","), metavar="A,B,...",
                        help="the structures are regions that may overlap (a sigmoid each): paint them in this order, "
                             "the innermost last")  # fmt: skip
    action.add_argument("--no-mirroring", dest="mirror", action="store_false", default=None,
                        help="ask an nnU-Net model about the image as it is alone: faster, less exact")  # fmt: skip
    add_weights_options(action)


def run_import(args: argparse.Namespace) -> None:
    """Installs a model, or the folds of one, and says their names."""
    from ..models.importing import import_packages
    from ..models.sources import holds_packages

    if args.trust and not args.yes:
        _confirm(args.path)
    released = ("heads", "diffusion_steps", "noise_schedule", "bottleneck")
    options = ("name", "licence", "channels", *released, "folds", "mirror", "paint", "trust", *NAMES)
    imported = import_packages(args.path, **{name: getattr(args, name) for name in options})
    _say_imported(imported, args.json, made=holds_packages(Path(args.path)))


def run_download(args: argparse.Namespace) -> None:
    """Downloads a model of a catalogue, and imports it."""
    from ..models.catalogue import get_model

    _say_imported(get_model(args.model, args.catalogue), args.json, made=True)


def run_remove(args: argparse.Namespace) -> None:
    """Deletes a model from the user's store."""
    from ..models.ensembles import list_ensembles
    from ..models.importing import remove_package

    before = {ensemble.folder: ensemble.name for ensemble in list_ensembles()}
    folder = remove_package(args.model)
    left = {folder, *(ensemble.folder for ensemble in list_ensembles())}
    if lost := [name for place, name in before.items() if place not in left]:
        print(f"warning: {', '.join(lost)} cannot be asked any more, without {folder.name}", file=sys.stderr)
    if args.json:
        print_json({"name": folder.name, "removed": str(folder)})
    else:
        print(f"{folder.name}: removed from {folder.parent}")


def _say_imported(packages: Sequence[ModelPackage | Ensemble], as_json: bool, made: bool) -> None:
    """made: whether they were packages before, which take no options."""
    from ..models.ensembles import Ensemble
    from ..models.store import hidden_by

    if as_json:
        print_json(model_entry(packages[0]) if len(packages) == 1 else [model_entry(package) for package in packages])
        return
    for package in packages:
        print(f"{package.name}: imported to {package.folder}")
        if isinstance(package, Ensemble):
            members = ", ".join(member.model for member in package.members)
            print(f"    asks together: {members}; try: medsegdiff segment IMAGE -m {package.name} -o OUT.nii.gz")
            continue
        if not package.licence:
            remedy = "ask whoever made it" if made else "give it with --licence"
            print(f"warning: {package.name} does not tell its licence; {remedy}", file=sys.stderr)
        for folder in hidden_by(package):
            print(f"warning: it is used instead of {folder} now; 'medsegdiff models remove {package.name}' undoes that",
                  file=sys.stderr)  # fmt: skip


def _confirm(path: str) -> None:
    """Asks whether code may run. Raises RequestError unless the answer is yes."""
    if not sys.stdin.isatty():
        raise RequestError(f"--trust lets {path} run code with your rights; confirm it with --yes")
    print(f"{path} may hold code, which will run with your rights. Do you trust whoever made it? [yes/no] ",
          end="", file=sys.stderr, flush=True)  # fmt: skip
    if sys.stdin.readline().strip().casefold() != "yes":
        raise RequestError("nothing was imported, and no code was run")
