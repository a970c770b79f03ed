"""One row of the benchmark: what is run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ...image import Image


class Case(NamedTuple):
    """A scan, and the labels (I, J, K) that a segmentation of it is compared with, or None."""

    name: str
    image: Image
    reference: np.ndarray | None


@dataclass(frozen=True)
class Setting:
    """A model with options.

    part: of the table, see parts.  what: said of it in the table.  model: name or folder.
    options: of the SegmentRequest, always with `steps` and `samples` for a diffusion model.
    case: the one scan it is run on; None: all of them in turn.
    amount: of what the part varies (voxels, samples, labels), None elsewhere.
    scored: whether its segmentations are compared with the reference.  memory: whether its peak memory is measured.
    """

    part: str
    what: str
    model: str
    options: dict[str, Any] = field(default_factory=dict)
    case: Case | None = None
    amount: int | None = None
    scored: bool = False
    memory: bool = False
