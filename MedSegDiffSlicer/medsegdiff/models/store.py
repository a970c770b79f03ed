"""Where models are found: $MEDSEGDIFF_MODELS, the user's store, then those shipped with the package."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from os.path import isfile
from pathlib import Path

from ..errors import RequestError
from .package import CONFIG, ModelPackage, load_package

# networks that are programs of others: used from the user's store alone, where import puts them
PROGRAMS = ("torchscript", "onnx")
DEFAULT_MODEL = "hippocampus-medsegdiff"  # where none is chosen
ENSEMBLE = Path("configs/ensemble.json")
_PACKAGE = Path(__file__).resolve().parents[1]


def shipped_resources() -> Path:
    """The folder with the shipped Models and SampleData: beside the installed package, or the checkout's Resources."""
    installed = _PACKAGE / "shipped"
    return installed if (installed / "Models").is_dir() else _PACKAGE.parents[1] / "Resources"


def user_store() -> Path:
    """The folder that holds the user's own models (it need not exist)."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or _home() / "AppData/Local")
    elif sys.platform == "darwin":
        base = _home() / "Library/Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or _home() / ".local/share")
    return base / "medsegdiff" / "models"


def _home() -> Path:
    """The user's folder; one that does not exist where the system knows none, as for some services."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/nonexistent")


def check_trusted(package: ModelPackage) -> None:
    """Raises RequestError for a package with a program that the user has not imported, trusting it."""
    if package.network["name"] in PROGRAMS and package.folder.resolve().parent != user_store().resolve():
        raise RequestError(
            f"model '{package.name}' in {package.folder} is a program, which can do harm; import its original file "
            "with --trust if you trust whoever made it"
        )


def model_folders() -> list[Path]:
    """Folders searched for packages, first one first."""
    extra = [Path(p) for p in os.environ.get("MEDSEGDIFF_MODELS", "").split(os.pathsep) if p]
    return [*extra, user_store(), shipped_resources() / "Models"]


def ensemble_folders() -> list[Path]:
    """The folders of ensembles (see models.ensembles), whole or broken, first one first."""
    return [path.parents[1] for root in model_folders() for path in sorted(root.glob(f"[!.]*/{ENSEMBLE}"))]


def list_models() -> list[ModelPackage]:
    """All readable packages, each name once; broken_models tells the others."""
    found: dict[str, ModelPackage] = {}
    for package in _readable():
        found.setdefault(package.name, package)
    return sorted(found.values(), key=lambda p: p.name)


def broken_models() -> list[str]:
    """What is wrong with the packages that cannot be read, a sentence each."""
    return [str(one) for one in _read() if isinstance(one, RequestError)]


def _readable() -> list[ModelPackage]:
    """All packages that can be read, in the order in which they are found."""
    return [one for one in _read() if isinstance(one, ModelPackage)]


def _read() -> Iterator[ModelPackage | RequestError]:
    for root in model_folders():
        for config in sorted(root.glob(f"[!.]*/{CONFIG}")):
            try:
                yield load_package(config.parents[1])
            except RequestError as error:
                yield error


def hidden_by(package: ModelPackage) -> list[Path]:
    """Folders of models of the same name that are not found because this one is found before."""
    same = [one.folder for one in _readable() if one.name == package.name]
    if same[:1] != [package.folder]:
        return []
    return [folder for folder in same if folder.resolve() != package.folder.resolve()]


def find_model(name: str | Path) -> ModelPackage:
    """The package of that name, or in that folder. Raises RequestError where there is none, or it is broken."""
    if isfile(Path(name) / CONFIG):  # which a name too long for a file is not
        return load_package(name)
    packages = list_models()
    for package in packages:
        if package.name == str(name):
            return package
    for root in model_folders():
        if isfile(root / str(name) / CONFIG):
            return load_package(root / str(name))  # a broken one: this says what is wrong with it
    ensembles = [folder.name for folder in ensemble_folders()]
    known = ", ".join([*(p.name for p in packages), *dict.fromkeys(ensembles)]) or "none"
    raise RequestError(f"model '{name}' is not known; installed: {known}. Give one of these or a package's folder")
