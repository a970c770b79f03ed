"""medsegdiff models: what is installed, whether it is intact, and what fits an image."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from .model_entry import ensemble_details, model_details, model_entry, print_json
from .model_page import ensemble_page, model_page
from .model_store import add_import_options, run_download, run_import, run_remove
from .options import add_common_options


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
            add_import_options(action)
        elif name == "suggest":
            action.add_argument(
                "images", nargs="+", metavar="IMAGE", help="image file or DICOM folder; several: channels"
            )
            action.add_argument("--modality", help="of the image: MR, CT, ... (default: what DICOM tells)")
        elif name == "download":
            action.add_argument("model", metavar="MODEL", help="name of a model of the catalogue")
        elif name != "list":
            action.add_argument("model", metavar="MODEL", help="name or folder of a model or ensemble")
        if name in ("list", "download"):
            default = "those installed" if name == "list" else "what MEDSEGDIFF_CATALOGUE names"
            action.add_argument(
                "--catalogue", metavar="FILE", help=f"of models that can be downloaded (default: {default})"
            )
        action.add_argument("--json", action="store_true", help="print JSON")
        add_common_options(action)
        action.set_defaults(run=run)


def run_list(args: argparse.Namespace) -> None:
    """Prints what is to be said of each model in a list: those installed, or those of a catalogue."""
    from ..models.ensembles import Ensemble, read_installed
    from ..models.store import hidden_by, model_folders

    if args.catalogue:
        _list_catalogue(args)
        return
    packages, reasons = read_installed()
    for reason in reasons:
        print(f"warning: {reason}", file=sys.stderr)
    if args.json:
        print_json([model_entry(p) for p in packages])
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

    package = find_installed(args.model)
    together = isinstance(package, Ensemble)
    details, page = (ensemble_details, ensemble_page) if together else (model_details, model_page)
    if args.json:
        print_json(details(package))
    else:
        print(page(package))


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
        print_json({"name": package.name, "intact": True, **told})
    else:
        print(f"{package.name}: intact ({text})")


def run_suggest(args: argparse.Namespace) -> None:
    """Prints the models with the reasons, best first; no network runs."""
    from ..image import read_image
    from ..inference.suggestion import suggest_models

    found = suggest_models(read_image(args.images), modality=args.modality)
    if args.json:
        entries = [{"fit": one.fit, "score": one.score, "reasons": list(one.reasons)} for one in found]
        print_json([model_entry(one.package) | entry for one, entry in zip(found, entries)])
        return
    for one in found:
        print(f"{one.package.name}: {one.fit}")
        for reason in one.reasons:
            print(f"    {reason}")
    if not found:
        print("no models are installed; take one into your store with 'medsegdiff models import PATH'")


def _list_catalogue(args: argparse.Namespace) -> None:
    from ..models.catalogue import read_catalogue

    entries = read_catalogue(args.catalogue)
    if args.json:
        print_json([asdict(entry) for entry in entries])
        return
    for entry in entries:
        print(f"{entry.name}\n    {entry.task}\n    structures: {', '.join(label['name'] for label in entry.labels)}; "
              f"{entry.modality}; {entry.size / 1e6:.1f} MB; licence: {entry.licence}")  # fmt: skip
