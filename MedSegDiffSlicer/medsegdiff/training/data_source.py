"""What is known of a model's origin: the dataset it learned from, and the weights that it started from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..evaluation.dataset import LARGEST
from ..models.json_file import read_json
from ..models.package import ModelPackage

_LONGEST = 300  # characters of an entry


def attribution_of(dataset: str | Path, cases: int, origin: ModelPackage | None) -> str:
    """A model's attribution: so many cases of the dataset, with the name, licence and source that its dataset.json
    tells, and the attribution of the model whose weights it started from."""
    folder = Path(dataset).resolve()
    info = read_json(folder / "dataset.json", LARGEST, "a dataset's description", "write it as nnU-Net has it")
    name, licence = _entry(info, "name") or folder.name, _entry(info, "licence", "license")
    source = _entry(info, "reference", "source")
    text = f"Trained on {cases} case{'s'[: cases != 1]} of {name}; licence of the data: {licence or 'not stated'}."
    text += f" Source: {source.rstrip('.')}." if source else ""
    if origin is not None:
        text += f" It started from the weights of {origin.name}. {origin.attribution}".rstrip()
    return text


def _entry(info: Mapping[str, Any], *names: str) -> str:
    """The first that is a text, on one line."""
    texts = (" ".join(info[name].split()) for name in names if isinstance(info.get(name), str))
    return next(filter(None, texts), "")[:_LONGEST]
