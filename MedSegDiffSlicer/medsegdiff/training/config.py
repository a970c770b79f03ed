"""The training configuration: data in a JSON file, every option once."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from ..errors import RequestError


# What is said of one model, and of no other whose configuration starts from this one.
_OWN = ("description", "licence", "attribution")


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
    if config.precision not in ("auto", "fp32", "bf16"):
        raise RequestError(f"configuration {path}: precision must be auto, fp32 or bf16")
    if not 0 <= config.click_share <= 1 or config.most_clicks < 1:
        raise RequestError(f"configuration {path}: click_share must be from 0 to 1, most_clicks 1 or more")
    if not 0 <= config.modality_dropout < 1:
        raise RequestError(f"configuration {path}: modality_dropout must be 0 or more, and below 1")
    if not 0 < config.new_share <= 1:
        raise RequestError(f"configuration {path}: new_share must be above 0, 1 at most")
    return config


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
