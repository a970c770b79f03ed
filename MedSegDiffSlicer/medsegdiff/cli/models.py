"""medsegdiff models: what is installed, whether it is intact, and what fits an image; importing and removing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RequestError
from .model_page import ensemble_page, model_page
from .options import add_common_options
from .weights_options import NAMES, add_weights_options

if TYPE_CHECKING:
    from ..models.ensembles import Ensemble
    from ..models.package import ModelPackage


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the sub-command."""
    parser = subparsers.add_parser("models", help="list, describe, verify, import and remove models")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, run, text in (
        ("list", run_list, "the models that are installed"),
        ("info", run_info, "all that is known about a model"),
        ("verify", run_verify, "check a model's files against its hash, and load it"),
        ("import", run_import, "take a model package, or a model of another program, into your store"),
        ("remove", run_remove, "delete an imported model"),
        ("download", run_download, "take a model of a catalogue into your store; goes on where it ended"),
        ("suggest", run_suggest, "which models fit an image, best first, and why"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        if name == "import":
            _add_import_options(action)
        elif name == "suggest":
            action.add_argument("images", nargs="+", metavar="IMAGE", help="image file or DICOM folder; several: channels")
            action.add_argument("--modality", help="of the image: MR, CT, ... (default: what DICOM tells)")
        elif name == "download":
            action.add_argument("model", metavar="MODEL", help="name of a model of the catalogue")
        elif name != "list":
            action.add_argument("model", metavar="MODEL", help="name or folder of a model or ensemble")
        if name in ("list", "download"):
            default = "those installed" if name == "list" else "what MEDSEGDIFF_CATALOGUE names"
            action.add_argument("--catalogue", metavar="FILE", help=f"of models that can be downloaded (default: {default})")
        action.add_argument("--json", action="store_true", help="print JSON")
        add_common_options(action)
        action.set_defaults(run=run)


def _add_import_options(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "path", metavar="PATH",
        help="a package's folder or .zip; an ensemble's, with its members' folders in it; a trained nnU-Net v2 model (the folder with plans.json); a MONAI bundle; "
             "their .zip; (ema)savedmodel*.pt, a checkpoint of MedSegDiff's code; or, with --network, a network's "
             "published weights",
    )  # fmt: skip
    action.add_argument("--name", help="name of the model (not for packages, which have one)")
    action.add_argument("--licence", help="under which the model may be used, where it does not tell")
    action.add_argument("--channels", type=lambda text: text.split(","), metavar="A,B,...",
                        help="names of the image's channels; of a checkpoint or a bundle")  # fmt: skip
    action.add_argument("--trust", action="store_true", default=None,
                        help="evaluate the expressions of a bundle, which are code: only if you trust whoever made it")  # fmt: skip
    action.add_argument("--yes", action="store_true", help="answer the question of --trust")
    action.add_argument("--heads", type=int, metavar="N",
                        help="what --num_heads was in training (1); of a checkpoint only")  # fmt: skip
    action.add_argument("--diffusion-steps", type=int, metavar="N",
                        help="what --diffusion_steps was in training (1000); of a checkpoint only")  # fmt: skip
    action.add_argument("--noise-schedule", metavar="NAME",
                        help="what --noise_schedule was in training: linear (default) or cosine; of a checkpoint only")  # fmt: skip
    action.add_argument("--bottleneck", metavar="HOW",
                        help="reference: draw at random within, as V1 as released does; of its checkpoints only")  # fmt: skip
    action.add_argument("--folds", type=lambda text: text.split(","), metavar="N,M,...",
                        help="of an nnU-Net model (default: all, a model each and an ensemble)")  # fmt: skip
    action.add_argument("--paint", type=lambda text: text.split(","), metavar="A,B,...",
                        help="the structures are regions that may overlap (a sigmoid each): paint them in this order, the innermost "
                             "last")  # fmt: skip
    action.add_argument("--no-mirroring", dest="mirror", action="store_false", default=None,
                        help="ask an nnU-Net model about the image as it is alone: faster, less exact")  # fmt: skip
    add_weights_options(action)


def run_list(args: argparse.Namespace) -> None:
    """Prints what is to be said of each model in a list: those installed, or those of a catalogue."""
    from ..models.ensembles import Ensemble, broken_ensembles, list_installed
    from ..models.store import hidden_by, model_folders

    if args.catalogue:
        _list_catalogue(args)
        return
    packages = list_installed()
    for reason in broken_ensembles():
        print(f"warning: {reason}", file=sys.stderr)
    if args.json:
        _print_json([_summary(p) for p in packages])
    elif packages:
        for p in packages:
            labels = ", ".join(x.name for x in p.foreground)
            print(f"{p.name}\n    {p.description}\n    structures: {labels}; licence: {p.licence or 'not stated'}")
            if isinstance(p, Ensemble):
                print(f"    asks together: {', '.join(member.model for member in p.members)}")
                continue
            for folder in hidden_by(p):
                print(f"    in {p.folder}, instead of {folder}")
    else:
        print("no models; folders searched: " + ", ".join(str(folder) for folder in model_folders()))


def run_info(args: argparse.Namespace) -> None:
    """Prints everything about a model but the numbers of its training cases, which its page tells."""
    from ..models.ensembles import Ensemble, find_installed
    from ..models.package import PAGE

    package = find_installed(args.model)
    if isinstance(package, Ensemble):
        _print_json(_of_ensemble(package)) if args.json else print(ensemble_page(package))
        return
    details = _summary(package) | {
        "network": package.network,
        "preprocessing": package.preprocessing,
        "sampling": package.sampling,
        "calibration": package.calibration,
        "training": package.training,
        "page": str(package.folder / PAGE) if (package.folder / PAGE).is_file() else None,
        "attribution": package.attribution,
        "weights": str(package.weights_path),
        "weights_sha256": package.weights_sha256,
    }
    if args.json:
        _print_json(details)
    else:
        print(model_page(package))


def run_verify(args: argparse.Namespace) -> None:
    """Compares hashes and loads the weights; a damaged model raises RequestError, of an ensemble a damaged member."""
    from ..models.ensembles import Ensemble, find_installed
    from ..models.package import verify_package

    package = find_installed(args.model)
    members = package.packages if isinstance(package, Ensemble) else ()
    for one in members or [package]:
        verify_package(one)
    from ..inference.api import load_model

    load_model(package.folder, device="cpu")
    if members:
        told = {"members": {one.name: one.weights_sha256 for one in members}}
        text = f"with {', '.join(told['members'])}"
    else:
        told, text = {"weights_sha256": package.weights_sha256}, f"SHA-256 {package.weights_sha256}"
    if args.json:
        _print_json({"name": package.name, "intact": True, **told})
    else:
        print(f"{package.name}: intact ({text})")


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


def _list_catalogue(args: argparse.Namespace) -> None:
    from ..models.catalogue import read_catalogue

    entries = read_catalogue(args.catalogue)
    if args.json:
        _print_json([asdict(entry) for entry in entries])
        return
    for entry in entries:
        print(f"{entry.name}\n    {entry.task}\n    structures: {', '.join(label['name'] for label in entry.labels)}; "
              f"{entry.modality}; {entry.size / 1e6:.1f} MB; licence: {entry.licence}")  # fmt: skip


def _say_imported(packages: Sequence[ModelPackage | Ensemble], as_json: bool, made: bool) -> None:
    """made: whether they were packages before, which take no options."""
    from ..models.ensembles import Ensemble
    from ..models.store import hidden_by

    if as_json:
        _print_json(_summary(packages[0]) if len(packages) == 1 else [_summary(package) for package in packages])
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
        _print_json({"name": folder.name, "removed": str(folder)})
    else:
        print(f"{folder.name}: removed from {folder.parent}")


def run_suggest(args: argparse.Namespace) -> None:
    """Prints the models with the reasons, best first; no network runs."""
    from ..image import read_image
    from ..image.reading import modality_told
    from ..inference.suggestion import suggest_models

    image = read_image(args.images)
    found = suggest_models(image, modality=args.modality or modality_told(args.images))
    if args.json:
        entries = [{"fit": one.fit, "score": one.score, "reasons": list(one.reasons)} for one in found]
        _print_json([_summary(one.package) | entry for one, entry in zip(found, entries)])
        return
    for one in found:
        print(f"{one.package.name}: {one.fit}")
        for reason in one.reasons:
            print(f"    {reason}")
    if not found:
        print("no models are installed; take one into your store with 'medsegdiff models import PATH'")


def _of_ensemble(ensemble: Ensemble) -> dict[str, Any]:
    return _summary(ensemble) | {
        "variants": ensemble.variants,
        "average": ensemble.average,
        "calibration": ensemble.calibration,
        "validation": ensemble.validation,
        "attribution": ensemble.attribution,
    }


def _summary(package: ModelPackage | Ensemble) -> dict[str, Any]:
    members = {} if (asked := getattr(package, "members", None)) is None else {"members": [asdict(one) for one in asked]}
    return {
        "name": package.name,
        "description": package.description,
        "folder": str(package.folder),
        **members,
        "licence": package.licence,
        "channels": list(package.channels),
        "clicks": bool(package.clicks),
        "labels": [
            {"value": x.value, "name": x.name, "color": list(x.color), "terminology": x.terminology}
            for x in package.labels
        ],
    }


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=2))
