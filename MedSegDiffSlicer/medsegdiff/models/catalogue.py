"""Catalogues of models: what can be downloaded, from where, and what it must be."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from ..errors import RequestError
from .archive import plain
from .download import download
from .importing import import_packages
from .json_file import read_json
from .package import ModelPackage
from .store import user_store

CATALOGUE = "MEDSEGDIFF_CATALOGUE"  # environment: the catalogue that is used where none is named
MIRROR = "MEDSEGDIFF_MIRROR"  # environment: a folder, or an address, that holds the files of catalogues by their names
LARGEST = 16 << 20  # bytes
_TEXTS = ("name", "task", "modality", "licence", "sha256", "source")


@dataclass(frozen=True)
class Entry:
    """A model of a catalogue, see catalogue.schema.json. labels: {"name", maybe "terminology"} each. size: bytes of the
    file.  source: an http(s) address, or a file."""

    name: str
    task: str
    modality: str
    labels: tuple[dict[str, str], ...]
    licence: str
    size: int
    sha256: str
    source: str

    @property
    def file(self) -> str:
        """The name of the file."""
        return (
            PurePosixPath(unquote(urlsplit(self.source).path)).name if _remote(self.source) else Path(self.source).name
        )


def read_catalogue(path: str | Path | None = None) -> list[Entry]:
    """path: a catalogue; None for the one that the environment names. Raises RequestError where it is none."""
    path = Path(path or os.environ.get(CATALOGUE, ""))
    if path == Path():
        raise RequestError(f"no catalogue of models is known; name one with --catalogue FILE, or by {CATALOGUE}")
    try:
        data = read_json(
            path, LARGEST, "a catalogue of models", "give a catalogue of models, see catalogue.schema.json"
        )
        return _entries(data, path.resolve().parent)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise RequestError(f"{path} is no catalogue of models: {error}; see catalogue.schema.json") from None


def _entries(data: Any, folder: Path) -> list[Entry]:
    if set(data) != {"format", "models"} or data["format"] != 1:
        raise ValueError("it must hold format 1 and models, and nothing else")
    entries = []
    for number, told in enumerate(data["models"]):
        if set(told) != set(Entry.__dataclass_fields__):
            raise ValueError(f"model {number} must hold {', '.join(Entry.__dataclass_fields__)}, and nothing else")
        if not all(isinstance(told[key], str) and told[key] and told[key].isprintable() for key in _TEXTS):
            raise ValueError(f"of model {number}, {', '.join(_TEXTS)} must be texts of one line")
        if type(told["size"]) is not int or told["size"] < 1 or not re.fullmatch("[0-9a-f]{64}", told["sha256"]):
            raise ValueError(f"of model {number}, size must be bytes, and sha256 64 hexadecimal digits")
        labels = told["labels"]
        named = isinstance(labels, list) and labels and all(
            isinstance(label, dict) and label.get("name") and set(label) <= {"name", "terminology"}
            and all(isinstance(text, str) and text.isprintable() for text in label.values()) for label in labels
        )  # fmt: skip
        if not named:
            raise ValueError(f"the labels of model {number} must have names, and may have a terminology")
        source = told["source"]
        if not _remote(source):
            if "://" in source or Path(source).is_absolute() or not (folder / source).resolve().is_relative_to(folder):
                raise ValueError(
                    f"the source of model {number} must be an http(s) address, or a path below the catalogue"
                )
            source = str(folder / source)
        entries.append(Entry(**{**told, "labels": tuple(labels), "source": source}))
        if "/" in entries[-1].file or not plain(entries[-1].file):
            raise ValueError(f"the source of model {number} does not end in the name of a file")
    if len({entry.name for entry in entries}) < len(entries):
        raise ValueError("two models have the same name")
    return entries


def _remote(source: str) -> bool:
    return source.startswith(("https://", "http://"))


def get_model(name: str, catalogue: str | Path | None = None) -> list[ModelPackage]:
    """Downloads a model of a catalogue, or goes on where a download ended, and imports it.

    The file comes from the mirror, where the environment names one. Raises RequestError where it is not what the
    catalogue says, JobError where it cannot be had; what came so far stays for the next time, all of it where import
    fails.
    """
    entries = read_catalogue(catalogue)
    entry = next((one for one in entries if one.name == name), None)
    if entry is None:
        raise RequestError(
            f"the catalogue has no model '{name}'; it has: {', '.join(one.name for one in entries) or 'none'}"
        )
    source = entry.source
    if mirror := os.environ.get(MIRROR):
        source = f"{mirror.rstrip('/')}/{entry.file}" if _remote(mirror) else str(Path(mirror) / entry.file)
    folder = user_store() / ".downloads" / entry.sha256
    file = download(source, folder / entry.file, entry.size, entry.sha256)
    packages = import_packages(file, promised=name)
    file.unlink()
    folder.rmdir()
    return packages
