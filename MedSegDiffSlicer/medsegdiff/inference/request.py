"""What is asked of the engine: every option once, checked, serialisable."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from operator import index
from typing import Any

from ..errors import RequestError
from ..uncertainty.rules import FUSIONS, check_threshold

SAMPLERS = ("ddpm", "ddim", "dpm++")
PLANES = ("axial", "coronal", "sagittal")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
_RANGES = {"samples": (1, 1000), "steps": (1, 1000), "tile": (32, 1024), "sample_batch": (1, 1000), "seed": (0, 2**63 - 1)}


@dataclass(frozen=True)
class SegmentRequest:
    """One segmentation to be made. None stands for the model's own default.

    model: name in the model store, or a package's folder.
    samples: opinions drawn, 1 - 1000.  steps: denoiser evaluations a sample, 1 - 1000.  sampler: see SAMPLERS.
    eta: fresh noise in DDIM, 0 (none) - 1 (as much as DDPM).
    truncation: share in (0, 1] of the diffusion that is walked, from a noised first guess; 1 starts from pure noise.
    guess: model whose first opinion is that guess; None for the diffusion model's own.
    plane: of the slices that a 2D model looks at, see PLANES; None for the model's own, or that of an image of one slice.
    seed: 0 - 2**63 - 1; the same seed gives the same segmentation.
    fusion: see FUSIONS.  threshold: foreground probability in (0, 1); None takes the most probable label.
    tta: also look at a mirrored copy of the image (test-time augmentation).
    device: auto, cpu, cuda, cuda:<i> or mps.  precision: see PRECISIONS.
    overlap: share of a tile that its neighbour covers too, 0 - 0.9.  tile: edge of a tile in voxels, 32 - 1024; images that
      fit into one tile are not cut; 2D models take whole slices, as many as hold that many voxels.
    sample_batch: samples computed at once.
    Raises RequestError where a value is out of its range.
    """

    model: str
    samples: int | None = None
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

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            object.__setattr__(self, name, _whole_number(name, getattr(self, name), low, high))
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
        if self.guess is not None and self.truncation == 1:
            raise RequestError("a guess is of use with a truncation below 1 only; give one, e.g. 0.5")
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", str(self.device)):
            raise RequestError(f"device '{self.device}' is unknown; use auto, cpu, cuda, cuda:<number> or mps")

    def to_dict(self) -> dict:
        """The request as plain data (JSON)."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict) -> SegmentRequest:
        """The request from plain data. Raises RequestError for options it does not know."""
        unknown = sorted(set(data) - {f.name for f in fields(cls)})
        if unknown:
            raise RequestError(f"unknown option {', '.join(unknown)}; known: {', '.join(f.name for f in fields(cls))}")
        return cls(**data)


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
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not fits(value):
        raise RequestError(f"{name} {value!r} is outside {usual}")
