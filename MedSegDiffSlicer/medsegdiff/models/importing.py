"""Taking a model into the user's store: a package from a folder or a .zip, or a checkpoint of MedSegDiff's code."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path

from ..errors import RequestError
from .package import CONFIG, ModelPackage, load_package, verify_package
from .released import SUFFIXES
from .released_package import write_released
from .store import find_model, user_store

COPIED = ("configs/*.json", "LICENSE*", "README*")  # and the weights: data and texts, nothing that could be run


def import_package(path: str | Path, **released) -> ModelPackage:
    """Copies the package into the user's store and returns it from there; a model of the same name is replaced.

    path: a package's folder, a .zip with one package, or a .pt of MedSegDiff's released code, for which `released`
    holds options of write_released. Raises RequestError where it is none, or damaged.
    """
    path = Path(path)
    if path.suffix in SUFFIXES:
        with tempfile.TemporaryDirectory() as folder:
            return _install(write_released(path, Path(folder), **released).folder)
    if given := [name for name, value in released.items() if value is not None]:
        raise RequestError(f"{given[0]} is for checkpoints (.pt) of MedSegDiff's code only; {path} is none")
    if path.is_dir():
        return _install(path)
    if not zipfile.is_zipfile(path):
        raise RequestError(f"{path} is neither a folder nor a .zip file; give a model package, or MedSegDiff's .pt")
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)  # never writes outside the folder
        except (zipfile.BadZipFile, RuntimeError, zlib.error) as error:
            raise RequestError(f"{path} is damaged or encrypted ({error}); give an intact, plain .zip") from None
        configs = list(Path(folder).rglob(str(CONFIG)))
        if len(configs) != 1:
            raise RequestError(f"{path} holds {len(configs)} model packages ({CONFIG}); give a .zip with exactly one")
        return _install(configs[0].parents[1])


def remove_package(name: str) -> Path:
    """Deletes an imported model, be it broken; returns its folder. Raises RequestError for models elsewhere."""
    folder = user_store() / name
    plain = name not in ("", ".", "..") and Path(name).name == name
    if not (plain and folder.is_dir() and not folder.is_symlink()):
        folder = find_model(name).folder
    if folder.is_symlink() or folder.resolve().parent != user_store().resolve():
        raise RequestError(f"model '{name}' is not among the imported ones; delete {folder} yourself")
    shutil.rmtree(folder)
    return folder


def _install(source: Path) -> ModelPackage:
    package = load_package(source)
    verify_package(package)
    if package.name in ("", ".", "..") or Path(package.name).name != package.name:
        raise RequestError(f"'{package.name}' cannot be a model's name; use letters, digits and hyphens")
    store = user_store()
    store.mkdir(parents=True, exist_ok=True)
    target = store / package.name
    with tempfile.TemporaryDirectory(dir=store, prefix=".importing-") as folder:
        new = Path(folder) / "new"
        for pattern in (package.weights, *COPIED):
            for file in filter(Path.is_file, source.glob(pattern)):
                destination = new / file.relative_to(source)
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, destination)
        if target.exists():
            target.rename(Path(folder) / "old")
        new.rename(target)
    return load_package(target)
