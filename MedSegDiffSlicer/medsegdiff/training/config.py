"""The training configuration: data in a JSON file, every option once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import RequestError


# What is said of one model, and of no other whose configuration starts from this one.
_OWN = ("description", "licence", "attribution")
_TEXT, _OBJECT, _LIST = (str, "a text"), (dict, "an object"), ((list, tuple), "a list")
_KINDS = {
    "name": _TEXT, "description": _TEXT, "licence": _TEXT, "attribution": _TEXT, "network": _OBJECT, "channels": _LIST,
    "labels": _LIST, "preprocessing": _OBJECT, "sampling": _OBJECT, "clicks": _OBJECT, "patch": _LIST,
    "dice": (bool, "true or false"),
}  # fmt: skip
_COUNTS = {
    "batch": 1, "steps": 1, "warmup": 0, "noise_draws": 1, "most_clicks": 1, "threads": 0, "workers": 0,
    "checkpoint_every": 1, "seed": 0,
}  # fmt: skip
_SHARES: dict[str, tuple[Callable[[float], bool], str]] = {
    "learning_rate": (lambda x: 0 < x <= 10, "above 0, 10 at most"),
    "weight_decay": (lambda x: 0 <= x <= 10, "from 0 to 10"),
    "decay": (lambda x: 0 <= x <= 1, "from 0 to 1"),
    "ema": (lambda x: 0 <= x < 1, "0 or more, and below 1"),
    "modality_dropout": (lambda x: 0 <= x < 1, "0 or more, and below 1"),
    "click_share": (lambda x: 0 <= x <= 1, "from 0 to 1"),
    "new_share": (lambda x: 0 < x <= 1, "above 0, 1 at most"),
}


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained and what its package says.

    name, description, licence, attribution, channels, labels, network, preprocessing, sampling: as in the model
      package; labels hold name, color, terminology for each value of the dataset, background first. Where it has no
      description, the structures are named; no attribution: what the dataset tells of itself.
    patch: voxels (i, j, k) of a training crop, divisible as the preprocessing says; k is 1 for 2D networks, which learn
      from slices across the third axis.  batch: crops a step.
    steps: optimiser steps; the learning rate rises over `warmup` steps, stays, and falls to zero over the last `decay`
      share.
    ema: decay of the exponential moving average of the weights, which is what the package gets.
    noise_draws: noisy masks a crop (diffusion models).  precision: fp32, bf16, or auto, see run.precision_of.
    modality_dropout: probability, 0 or more and below 1, with which a crop lacks a channel that is "optional".
    dice: whether Dice joins the cross-entropy in the loss of masks; leave it out to learn how several raters differ.
    clicks: as in the model package; what follows is of use with it.  click_share: of the crops that get clicks, 0 - 1.
    most_clicks: turns of clicks on a crop, see simulated_clicks.
    new_share: in fine-tuning, the share of the trained weights in those of the package, above 0 - 1; the rest are those
      it started from, which keeps more of what the model could (Wortsman et al., 2022, arXiv:2109.01903).
    threads: torch's threads.  workers: processes that augment.  checkpoint_every: steps.
    """

    name: str
    description: str
    network: dict
    channels: list
    labels: list
    preprocessing: dict
    patch: tuple[int, int, int]
    sampling: dict = field(default_factory=dict)
    licence: str = ""
    attribution: str = ""
    batch: int = 4
    steps: int = 8000
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warmup: int = 200
    decay: float = 0.3
    ema: float = 0.999
    noise_draws: int = 2
    modality_dropout: float = 0.25
    dice: bool = True
    precision: str = "auto"
    clicks: dict = field(default_factory=dict)
    click_share: float = 0.5
    most_clicks: int = 5
    new_share: float = 1.0
    threads: int = 0
    workers: int = 1
    checkpoint_every: int = 500
    seed: int = 0

    def to_dict(self) -> dict:
        """The configuration as plain data (JSON)."""
        return asdict(self)


def read_config(path: str | Path) -> TrainingConfig:
    """Reads a configuration. Its entry "base" may name another one, from where it lies, whose entries hold where it has
    none of its own, but for those of _OWN. Raises RequestError where one is missing, no JSON, or has wrong entries."""
    data = {"description": "", **_entries(Path(path), ())}
    unknown = sorted(set(data) - {f.name for f in fields(TrainingConfig)})
    if unknown:
        raise RequestError(f"configuration {path}: unknown entry {', '.join(unknown)}")
    try:
        config = TrainingConfig(**data)
    except TypeError as error:
        raise RequestError(f"configuration {path}: {error}") from None
    if wrong := next(_wrong_entries(config), None):
        raise RequestError(f"configuration {path}: {wrong}")
    return config


def _wrong_entries(config: TrainingConfig) -> Iterator[str]:
    """What is wrong with entries; what a package asks of them is found out when it is made."""
    for name, (kinds, what) in _KINDS.items():
        if not isinstance(getattr(config, name), kinds):
            yield f"{name} must be {what}"
    for name in ("channels", "labels"):
        if not all(isinstance(entry, dict) for entry in getattr(config, name)):
            yield f"{name} must be a list of objects"
    if not all(isinstance(label.get("color", []), list) for label in config.labels):
        yield "labels: a color must be a list of three numbers"
    if len(config.patch) != 3 or not all(_is_number(size, whole=True) and size >= 1 for size in config.patch):
        yield "patch must be three whole numbers, 1 or more: voxels (i, j, k)"
    if config.precision not in ("auto", "fp32", "bf16"):
        yield "precision must be auto, fp32 or bf16"
    for name, least in _COUNTS.items():
        if not _is_number(value := getattr(config, name), whole=True) or not least <= value < 1 << 31:
            yield f"{name} must be a whole number, {least} or more, below 2^31"
    for name, (fits, range_) in _SHARES.items():
        if not _is_number(value := getattr(config, name)) or not fits(value):
            yield f"{name} must be {range_}"


def _is_number(value: Any, whole: bool = False) -> bool:
    return isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)


def _entries(path: Path, above: tuple[Path, ...]) -> dict:
    """A configuration's entries, over those of its base. above: the configurations whose base it is."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"configuration {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise RequestError(f"configuration {path} is not valid JSON: {error}") from None
    if not isinstance(data, dict):
        raise RequestError(f"configuration {path}: a JSON object is expected")
    if "base" not in data:
        return data
    base = data.pop("base")
    if not isinstance(base, str) or path.resolve() in above:
        raise RequestError(f"configuration {path}: base must be the path of another configuration")
    inherited = _entries(path.parent / base, (*above, path.resolve()))
    return {**{name: entry for name, entry in inherited.items() if name not in _OWN}, **data}
