"""What is asked of the engine: every option once, checked, serialisable."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from math import isfinite
from operator import index
from typing import Any

from ..errors import RequestError
from ..uncertainty.rules import FUSIONS, check_threshold

SAMPLERS = ("ddpm", "ddim", "dpm++")
PLANES = ("axial", "coronal", "sagittal")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
VARIANTS = ("mirror", "rotation", "intensity")
QUALITY = "quality"
MOST_SAMPLES = 1000
WEIGHTS = (1e-9, 1e9)  # from, to; what counts less beside another is lost in float32
_RANGES = {"steps": (1, 1000), "tile": (32, 1024), "sample_batch": (1, 1000), "seed": (0, 2**63 - 1)}


@dataclass(frozen=True)
class SegmentRequest:
    """One segmentation to be made. None stands for the model's own default.

    model: name in the model store, or a package's folder.  others: further models that are asked too.
    ensemble: name or folder of the ensemble that these models are, whose calibration holds for them together; see
      ensemble_request.
    samples: opinions drawn of each model, 1 - 1000; one number, or one a model.  steps: denoiser evaluations a sample,
      1 - 1000.  sampler: see SAMPLERS.
    weights: how much each model counts, whatever the number of its opinions: one number a model, see WEIGHTS; "quality"
      (by the Dice that was measured on its validation cases); or None, all the same.
    eta: fresh noise in DDIM, 0 (none) - 1 (as much as DDPM).
    truncation: share in (0, 1] of the diffusion that is walked, from a noised first guess; 1 starts from pure noise.
    guess: model whose first opinion is that guess; None for the diffusion model's own.
    plane: of the slices that a 2D model looks at, see PLANES; None for the model's own, or that of a single slice.
    seed: 0 - 2**63 - 1; the same seed gives the same segmentation.
    fusion: see FUSIONS.  threshold: foreground probability in (0, 1); None takes the most probable label.
    variants: changed copies of the image to look at, too (test-time augmentation), see VARIANTS and inference.variants.
    tta: True is short for variants = ("mirror",), False for none.
    dropout: opinions of networks that have dropout layers come from thinned copies of them (Monte-Carlo dropout).
    settle: bound in (0, 1); a model is asked no more once its mask has changed less than that, see inference.settling.
    clicks: places whose label is known, (R, A, S, label): mm, and the label's value, 0 for the background; see
      inference.clicks and guidance.
    device: auto, cpu, cuda, cuda:<i> or mps.  precision: see PRECISIONS.
    overlap: share of a tile that its neighbour covers too, 0 - 0.9.  tile: edge of a tile in voxels, 32 - 1024; images
      that fit into one tile are not cut; 2D models take whole slices, as many as hold that many voxels.
    sample_batch: samples computed at once (with dropout, and of networks that draw at random within, always one).
    missing: names of the first model's channels that there is no image of, see missing_channels.
    Raises RequestError where a value is out of its range.
    """

    model: str
    samples: int | tuple[int, ...] | None = None
    steps: int | None = None
    sampler: str | None = None
    eta: float = 0.0
    truncation: float = 1.0
    guess: str | None = None
    seed: int = 0
    fusion: str = "mean"
    threshold: float | None = None
    tta: bool | None = None
    device: str = "auto"
    precision: str = "auto"
    overlap: float = 0.125
    tile: int | None = None
    sample_batch: int | None = None
    plane: str | None = None
    others: tuple[str, ...] = ()
    ensemble: str | None = None
    weights: str | tuple[float, ...] | None = None
    variants: tuple[str, ...] | None = None
    dropout: bool = False
    settle: float | None = None
    clicks: tuple[tuple[float, float, float, int], ...] = ()
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for each in fields(self):
            object.__setattr__(self, each.name, _plain(getattr(self, each.name)))
        for name, (low, high) in _RANGES.items():
            object.__setattr__(self, name, _whole_number(name, getattr(self, name), low, high))
        self._check_models()
        _check_choice("sampler", self.sampler, SAMPLERS)
        _check_choice("plane", self.plane, PLANES)
        _check_choice("fusion", self.fusion, FUSIONS)
        _check_choice("precision", self.precision, PRECISIONS)
        if self.fusion is None or self.precision is None or self.seed is None:
            raise RequestError("fusion, precision and seed need a value")
        check_threshold(self.threshold)
        _check_share("overlap", self.overlap, lambda x: 0 <= x <= 0.9, "0 - 0.9; 0.125 is usual")
        _check_share("eta", self.eta, lambda x: 0 <= x <= 1, "0 - 1; 0 is usual")
        _check_share("truncation", self.truncation, lambda x: 0 < x <= 1, "0 - 1, without 0; 1 is usual")
        if self.settle is not None:
            _check_share("settle", self.settle, lambda x: 0 < x < 1, "0 - 1, without both; 0.01 is usual")
        self._check_variants()
        if not isinstance(self.missing, tuple) or not all(isinstance(name, str) for name in self.missing):
            raise RequestError(f"missing {self.missing!r} must be a list of channels' names")
        object.__setattr__(self, "clicks", check_clicks(self.clicks))
        if self.guess is not None and self.truncation == 1:
            raise RequestError("a guess is of use with a truncation below 1 only; give one, e.g. 0.5")
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", str(self.device)):
            raise RequestError(f"device '{self.device}' is unknown; use auto, cpu, cuda, cuda:<number> or mps")

    @property
    def models(self) -> tuple[str, ...]:
        """All models that are asked, the first one first."""
        return (self.model, *self.others)

    def samples_of(self, position: int) -> int | None:
        """The samples asked of the model at a position of `models`; None for its own default."""
        return self.samples[position] if isinstance(self.samples, tuple) else self.samples

    def to_dict(self) -> dict:
        """The request as plain data (JSON)."""
        data = {name: list(x) if isinstance(x, tuple) else x for name, x in asdict(self).items()}
        return {**data, "clicks": [list(click) for click in self.clicks]}

    @classmethod
    def from_dict(cls, data: dict) -> SegmentRequest:
        """The request from plain data. Raises RequestError for options it does not know."""
        unknown = sorted(set(data) - {f.name for f in fields(cls)})
        if unknown:
            raise RequestError(f"unknown option {', '.join(unknown)}; known: {', '.join(f.name for f in fields(cls))}")
        return cls(**data)

    def _check_models(self) -> None:
        if not isinstance(self.others, tuple) or not all(isinstance(name, str) for name in self.others):
            raise RequestError(f"others {self.others!r} must be a list of models' names")
        several = isinstance(self.samples, tuple)
        numbers = self.samples if several else (self.samples,)
        numbers = tuple(_whole_number("samples", n, 1, MOST_SAMPLES) for n in numbers)
        if several and (None in numbers or len(numbers) not in (1, len(self.models))):
            count = len(self.models)
            raise RequestError(f"samples {list(numbers)}: give one number, or one for each of {count} model(s)")
        object.__setattr__(self, "samples", numbers[0] if len(numbers) == 1 else numbers)
        if self.weights is None or self.weights == QUALITY:
            return
        low, high = WEIGHTS
        if not isinstance(self.weights, tuple) or not all(_is_number(x) and low <= x <= high for x in self.weights):
            numbers = f"numbers from {low:g} to {high:g}, one a model"
            raise RequestError(f"weights {self.weights!r} must be '{QUALITY}', or {numbers}")
        if len(self.weights) != len(self.models):
            raise RequestError(f"{len(self.weights)} weights for {len(self.models)} model(s); give one each")

    def _check_variants(self) -> None:
        if not isinstance(self.dropout, bool):
            raise RequestError(f"dropout {self.dropout!r} must be true or false")
        if self.variants is None:
            return
        names = isinstance(self.variants, tuple) and all(isinstance(name, str) for name in self.variants)
        if not names or len(set(self.variants)) != len(self.variants):
            raise RequestError(f"variants {self.variants!r} must be a list of {', '.join(VARIANTS)}, each once")
        for name in self.variants:
            _check_choice("variant", name, VARIANTS)
        if self.tta is not None:
            raise RequestError("tta is short for variants: give one of them")


def check_clicks(clicks: Any) -> tuple[tuple[float, float, float, int], ...]:
    """The clicks as plain numbers. Raises RequestError unless each is R, A, S in mm and a label number."""
    if isinstance(clicks, str) or not isinstance(clicks, Iterable):
        raise RequestError(f"clicks {clicks!r} must be a list of (R, A, S, label)")
    return tuple(_click(number, click) for number, click in enumerate(clicks, start=1))


def _click(number: int, click: Any) -> tuple[float, float, float, int]:
    try:
        r, a, s, label = click
        place, label = tuple(map(float, (r, a, s))), index(label)
    except (TypeError, ValueError):
        raise RequestError(f"click {number}, {click!r}, must be R, A, S in mm and a label number") from None
    if not all(map(isfinite, place)) or isinstance(click[3], bool) or not 0 <= label <= 254:
        raise RequestError(f"click {number}, {click!r}, must be finite R, A, S in mm and a label number from 0 to 254")
    return (*place, label)


def _whole_number(name: str, value: Any, low: int, high: int) -> int | None:
    """The value as a plain int (numpy's integers too), None where it is None."""
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__") or not low <= value <= high:
        raise RequestError(f"{name} must be a whole number from {low} to {high}, got {value!r}")
    return index(value)


def _check_choice(name: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise RequestError(f"{name} '{value}' is unknown; choose one of {', '.join(known)}")


def _check_share(name: str, value: Any, fits: Callable[[float], bool], usual: str) -> None:
    if not _is_number(value) or not fits(value):
        raise RequestError(f"{name} {value!r} is outside {usual}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy as Python's own, lists as tuples."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(map(_plain, value))
    return value
