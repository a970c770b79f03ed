"""Taking a model into the user's store, and out of it; changed copies of packages."""

from __future__ import annotations

import glob
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from ..errors import RequestError
from .archive import RESERVED
from .copying import LARGEST_TEXT, copy_files
from .ensembles import ENSEMBLE, Ensemble, find_installed, load_ensemble, write_ensemble
from .fitting import build_fitting, check_readable, read_shapes
from .package import CONFIG, ModelPackage, load_package, verify_package
from .sources import COPIED, TEXTS, packages_from, told_of
from .store import PROGRAMS, shipped_resources, user_store

NAME = re.compile(r"\w[\w .+()-]{0,98}[\w+)-]|\w")


def import_packages(path: str | Path, promised: str | None = None, **options) -> list[ModelPackage | Ensemble]:
    """Takes the models of a folder, .zip or checkpoint into the user's store and returns them from there, one for each
    fold of an nnU-Net model, and an ensemble of them last; what has the same names is replaced.

    promised: the name that it must have, where one was told; of several the last one.  options: of the kind of model,
    see sources. Raises RequestError where it is none, damaged, or another one.
    """
    with tempfile.TemporaryDirectory() as folder, told_of(Path(path), Path(folder)):
        found = packages_from(Path(path), Path(folder), **options)
        if promised not in (None, found[-1].name):
            raise RequestError(
                f"{path} holds model '{found[-1].name}', not '{promised}'; ask whoever made the catalogue"
            )
        names = [one.name.casefold() for one in found]
        if len(set(names)) < len(names):
            raise RequestError(f"{path} holds two of one name ({', '.join(one.name for one in found)}); rename one")
        for one in found:
            _check_name(one)
            _check_place(one)
            if isinstance(one, ModelPackage):
                _check_model(one, bool(options.get("trust")))
        return _install(found)


def import_package(path: str | Path, **options) -> ModelPackage:
    """As import_packages; the first one."""
    return import_packages(path, **options)[0]


def remove_package(name: str) -> Path:
    """Deletes an imported model, be it broken; returns its folder. Raises RequestError for models elsewhere."""
    folder, used = user_store() / name, None
    plain = name not in ("", ".", "..") and Path(name).name == name
    try:
        used = find_installed(name).folder
    except RequestError:
        if not (plain and _is_imported(folder)):
            raise
    if used is not None and (_is_imported(used) or not (plain and _is_imported(folder))):
        folder = used
    if not _is_imported(folder):
        if is_shipped(folder):
            raise RequestError(f"model '{name}' came with medsegdiff and stays; only imported models can be removed")
        raise RequestError(f"model '{name}' was not imported, it is used from {folder}: delete that folder yourself")
    going = user_store() / f".removing-{uuid.uuid4().hex[:12]}"
    try:
        os.rename(folder, going)  # as a whole or not at all
    except OSError as error:
        raise RequestError(f"{folder} cannot be removed ({error.strerror}); close what uses it, or repair the "
                           "access") from None  # fmt: skip
    shutil.rmtree(going, ignore_errors=True)
    return folder


def _is_imported(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink() and folder.resolve().parent == user_store().resolve()


def is_shipped(folder: Path) -> bool:
    """Whether a model's or ensemble's folder is one that came with medsegdiff."""
    return folder.resolve().parent == (shipped_resources() / "Models").resolve()


def folder_to_change(package: ModelPackage, wanted: str | Path | None = None) -> Path:
    """Where a changed package may be written: the wanted folder, else the package's own, else, where that came with
    medsegdiff or cannot be written, one of its name in the user's store. Raises RequestError where that folder holds
    anything but a copy of the same model."""
    if wanted is None:
        writable = all(os.access(path, os.W_OK) for path in (package.folder, package.folder / CONFIG))
        if writable and not is_shipped(package.folder):
            return package.folder
        _check_name(package)
    folder = user_store() / package.name if wanted is None else Path(wanted)
    if folder.resolve() != package.folder.resolve():
        _check_target(package, folder)
    return folder


@contextmanager
def changed_copy(package: ModelPackage, folder: Path) -> Iterator[ModelPackage]:
    """The package to be changed: itself where the folder is its own, else a copy that is moved to the folder when all
    went well, in place of an earlier copy. Raises RequestError as folder_to_change, or where nothing can be written."""
    folder = folder.resolve()
    if folder == package.folder.resolve():
        yield package
        return
    _check_target(package, folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".changing-") as temporary:
            new = Path(temporary) / "new"
            _copy(package, new)
            yield replace(package, folder=new)
            _move(new, folder)
    except OSError as error:
        raise RequestError(f"{folder} cannot be written ({error.strerror}); give another folder") from None


def _check_target(package: ModelPackage, folder: Path) -> None:
    """Raises RequestError where something would be lost."""
    if (folder / CONFIG).is_file():
        there = load_package(folder)
        if there.weights_sha256 != package.weights_sha256:
            raise RequestError(
                f"{folder} holds another model, '{there.name}', which would be lost; give a new folder with -o"
            )
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RequestError(f"{folder} exists and is no model; give a new folder with -o")


def _check_place(one: ModelPackage | Ensemble) -> None:
    """Raises RequestError where a model would take an ensemble's place in the store, or an ensemble a model's."""
    there, other = user_store() / one.name, CONFIG if isinstance(one, Ensemble) else ENSEMBLE
    if (there / other).is_file():
        what = "a model" if other == CONFIG else "an ensemble"
        raise RequestError(f"{there} holds {what}, which would be lost; remove it first, or give another --name")


def _check_name(package: ModelPackage | Ensemble) -> None:
    if not NAME.fullmatch(package.name) or RESERVED.fullmatch(package.name):
        name = ascii(package.name)[1:-1][:100]
        raise RequestError(f"'{name}' cannot be a model's name; use up to 100 letters, digits and hyphens")


def _copy(package: ModelPackage, target: Path) -> None:
    copy_files(package.folder, (glob.escape(package.weights),), target)
    copy_files(package.folder, COPIED, target, LARGEST_TEXT)


def _copy_ensemble(ensemble: Ensemble, target: Path) -> None:
    write_ensemble(replace(ensemble, folder=target))
    if (ensemble.folder / ENSEMBLE).is_file():
        copy_files(ensemble.folder, TEXTS, target, LARGEST_TEXT)


def _move(new: Path, target: Path) -> None:
    """Renames the folder; what was there before goes beside it."""
    if target.exists():
        target.rename(new.with_name("old"))
    new.rename(target)


def _move_back(new: Path, target: Path) -> None:
    """Undoes _move, as far as it came."""
    if not new.exists():
        target.rename(new)
    if (old := new.with_name("old")).exists():
        old.rename(target)


def _check_model(package: ModelPackage, trusted: bool) -> None:
    """Raises RequestError for a program that nobody trusts, and for weights that are damaged or do not fit."""
    if package.network["name"] in PROGRAMS and not trusted:
        raise RequestError(
            f"model '{package.name}' is a program, which can do harm; --trust takes its original file"
        )
    verify_package(package)
    if find_spec("torch"):
        build_fitting(package)
        check_readable(package.weights_path)
    else:  # as in a new Slicer; the rest shows when the model is loaded
        read_shapes(package.weights_path)


def _install(found: Sequence[ModelPackage | Ensemble]) -> list[ModelPackage | Ensemble]:
    """All or none: they take their places when everything is copied. Members of an ensemble are among them, or
    installed already."""
    store = user_store()
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store, prefix=".importing-") as folder:
        copies = [Path(folder) / str(number) / "new" for number in range(len(found))]
        for one, new in zip(found, copies):
            _copy(one, new) if isinstance(one, ModelPackage) else _copy_ensemble(one, new)
        with ExitStack() as undo:
            for one, new in zip(found, copies):
                undo.callback(_move_back, new, store / one.name)
                _move(new, store / one.name)
            undo.pop_all()
    return [(load_package if isinstance(one, ModelPackage) else load_ensemble)(store / one.name) for one in found]
