"""What a path that is to be imported holds, as model packages."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import RequestError
from . import bundle
from .archive import extract
from .black_box import is_torchscript
from .ensembles import ENSEMBLE, Ensemble, load_ensemble
from .package import BROKEN, CONFIG, METADATA, ModelPackage, load_package

# Of a package, beside its weights. Nothing to run: a bundle's other configurations may hold expressions.
TEXTS = ("LICENSE*", "README*", "docs/*.md", "docs/*.png")
COPIED = (str(CONFIG), str(METADATA), *TEXTS)


@dataclass(frozen=True)
class Source:
    """A kind of model.

    what: its name.  markers: files, one of which a folder of this kind holds.  files: all that is wanted of a .zip.
    options: of import that it takes.  read(path, folder, **options): makes packages below `folder`, or says where they
      are; an ensemble of them comes last.
    """

    what: str
    markers: tuple[str, ...]
    files: tuple[str, ...]
    options: tuple[str, ...]
    read: Callable[..., Sequence[ModelPackage | Ensemble]]


def _package(path: Path, folder: Path) -> Sequence[ModelPackage]:
    return [load_package(path)]


def _ensemble(path: Path, folder: Path) -> Sequence[ModelPackage | Ensemble]:
    members = [load_package(config.parents[1]) for config in sorted(path.glob(f"*/{CONFIG}"))]
    return [*members, load_ensemble(path, members)]


def _nnunet(path: Path, folder: Path, **options) -> Sequence[ModelPackage | Ensemble]:
    from .nnunet import ensemble_of_folds, write_nnunet

    packages = write_nnunet(path, folder, **options)
    return packages if len(packages) == 1 else [*packages, ensemble_of_folds(packages)]


def _released(path: Path, folder: Path, **options) -> Sequence[ModelPackage]:
    from .released_package import write_released

    return [write_released(path, folder, **options)]


def _state_dict(path: Path, folder: Path, **options) -> Sequence[ModelPackage]:
    from .state_dicts import write_state_dict

    return [write_state_dict(path, folder, **options)]


def _bundle(path: Path, folder: Path, **options) -> Sequence[ModelPackage]:
    return [bundle.write_bundle(path, folder, **options)]


def _black_box(path: Path, folder: Path, **options) -> Sequence[ModelPackage]:
    from .black_box import write_black_box

    return [write_black_box(path, folder, **options)]


_BUNDLES = (*bundle.CONFIGS, *bundle.YAML)
_PACKAGE = Source("model package", (str(CONFIG),), (*COPIED, "models/*.safetensors"), (), _package)
FOLDERS = (
    Source("ensemble", (str(ENSEMBLE),), (str(ENSEMBLE), *COPIED, "models/*.safetensors"), (), _ensemble),
    _PACKAGE,
    Source("trained nnU-Net v2 model", ("plans.json",), ("plans.json", "dataset.json", "fold_*/checkpoint_*.pth"),
           ("name", "licence", "folds", "mirror"), _nnunet),
    Source("MONAI bundle", _BUNDLES, (*_BUNDLES, "models/model.pt"),
           ("name", "licence", "channels", "labels", "spacing", "normalization", "modality", "orientation", "paint",
            "trust"),
           _bundle),
)  # fmt: skip
FILES = {
    ".pt": Source("checkpoint of MedSegDiff's code", (), (),
                  ("name", "licence", "channels", "heads", "labels", "modality", "source", "diffusion_steps",
                   "noise_schedule",
                   "bottleneck"), _released),
}  # fmt: skip
FILES[".pth"] = FILES[".pt"]
PROGRAM = Source(
    "program (TorchScript or ONNX)", (), (),
    ("name", "licence", "channels", "labels", "spacing", "normalization", "modality", "orientation", "arguments",
     "paint", "trust"),
    _black_box,
)  # fmt: skip
FILES[".onnx"] = FILES[".ts"] = PROGRAM
WEIGHTS = Source(
    "file of published weights", (), (),
    ("name", "licence", "channels", "network", "labels", "spacing", "normalization", "modality", "orientation",
     "arguments", "paint", "source"),
    _state_dict,
)  # fmt: skip
_KINDS = (
    "give a model package, an ensemble, a MONAI bundle, a trained nnU-Net v2 model, TorchScript or ONNX, MedSegDiff's "
    ".pt, or a network's weights with --network"
)


def packages_from(path: Path, folder: Path, **options) -> Sequence[ModelPackage | Ensemble]:
    """The models that a folder, .zip or checkpoint holds, as packages, some of which are written below `folder`; an
    ensemble of them comes last.

    options: those that are given; each kind takes its own. Raises RequestError where it is no model, or damaged, or an
    option is not for its kind.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise RequestError(f"{path} is a device or a pipe; {_KINDS}")
    given = {name: value for name, value in options.items() if value not in (None, (), [])}
    if "network" in given:
        return _read(WEIGHTS, path, folder / "new", given)
    ending = path.suffix.lower()
    if ending in FILES and not path.is_dir():
        source = PROGRAM if ending == ".pt" and is_torchscript(path) else FILES[ending]
        return _read(source, path, folder / "new", given)
    if path.is_dir():
        for source in FOLDERS:
            if any((path / marker).is_file() for marker in source.markers):
                return _read(source, path, folder / "new", given)
        raise RequestError(f"{path} holds no model; {_KINDS}")
    if not zipfile.is_zipfile(path):
        if path.is_file() and ending == ".zip":
            raise RequestError(f"{path} is damaged or incomplete, so it cannot be unpacked; copy or download it again")
        raise RequestError(f"{path} is neither a folder nor a .zip file; {_KINDS}")
    extract(path, folder / "zip", [file for source in FOLDERS for file in source.files])
    for source in FOLDERS:
        marked = {
            file.parents[marker.count("/")] for marker in source.markers for file in (folder / "zip").rglob(marker)
        }
        if len(marked) > 1:
            raise RequestError(f"{path} holds {len(marked)} of a {source.what}; give a .zip with exactly one")
        if marked:
            return _read(source, marked.pop(), folder / "new", given)
    raise RequestError(f"{path} holds no model; {_KINDS}")


@contextmanager
def told_of(path: Path, folder: Path) -> Iterator[None]:
    """RequestErrors about what packages_from puts below `folder`, which is gone by then, are told of the path that it
    comes from."""
    try:
        yield
    except RequestError as error:
        written = f"{re.escape(str(folder / 'new'))}.*?{re.escape(str(CONFIG))}(.*){re.escape(BROKEN)}"
        instead = "mend that, or tell it otherwise with an option of the import"
        said = re.sub(written, lambda found: f"{path}{found[1]}{instead}", str(error))
        raise RequestError(said.replace(str(folder / "zip"), str(path))) from error


def holds_packages(path: Path) -> bool:
    """Whether a folder or .zip holds a model package or an ensemble, which tell all themselves."""
    marks = tuple(place.as_posix() for place in (CONFIG, ENSEMBLE))
    if not zipfile.is_zipfile(path):
        return any((path / mark).is_file() for mark in marks)
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(marks) for name in archive.namelist())


def _read(source: Source, path: Path, folder: Path, given: dict) -> Sequence[ModelPackage | Ensemble]:
    if unfit := sorted(set(given) - set(source.options)):
        option = "no-mirroring" if unfit[0] == "mirror" else unfit[0].replace("_", "-")
        raise RequestError(f"--{option} is not for a {source.what}, which {path} is taken for; leave it out")
    try:
        return source.read(path, folder, **given)
    except FileNotFoundError as error:
        if error.filename is None or Path(error.filename) != path:
            raise
        raise RequestError(f"there is no {path}; check the name") from None
    # of odd descriptions
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        said = ascii(" ".join(str(error).split()))[1:-1][:150]
        raise RequestError(
            f"{path} cannot be understood as a {source.what} ({type(error).__name__}: {said}); get it anew"
        ) from error
