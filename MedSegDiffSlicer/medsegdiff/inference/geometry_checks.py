"""Voxel size, field of view and sides of an image beside those of the training images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..image import Image
from .preprocessing import Prepared

SPACING = 1.5  # voxels may be so many times larger or smaller than any of the training images'
EXTENT = 1.5  # likewise the field of view
# likewise the voxels that the model looks at, where its package does not tell what the training images' were
WANTED = 4.0


def describe_geometry(image: Image, prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
    """Voxel size and field of view, (3,) mm each, along the axes that the model wants."""
    order = list(prepared.plan.order)
    spacing = np.array(image.spacing)[order]
    return spacing, spacing * np.array(image.shape)[order]


def check_sides(image: Image) -> list[str]:
    """What has to be said of an image whose file does not tell its place."""
    said = (
        "the file does not say clearly which side is left: left and right may be exchanged; check it, or convert the original"
    )
    return [] if image.placed else [f"{said} again"]


def check_geometry(known: Mapping | None, image: Image, prepared: Prepared) -> list[str]:
    """What is odd, as sentences. known: the distribution's `geometry`: `spacing` and `extent`, [least, most] of each
    axis in mm; null for axes along which it means nothing. None: only voxels far from those that the model looks at are
    odd."""
    if known is None:
        return _check_voxels(prepared)
    warnings: list[str] = []
    spacing, extent = describe_geometry(image, prepared)
    if _outside(spacing, known["spacing"], SPACING).any():
        warnings.append(
            f"the voxels measure {_text(spacing)} mm, those of the training images {_range(known['spacing'])} mm: "
            "the result will be less accurate than the model's figures say"
        )
    side = _outside(extent, known["extent"], EXTENT)
    if (side > 0).any():
        warnings.append(
            f"the image spans {_text(extent)} mm, the training images {_range(known['extent'])} mm: "
            "crop it around the structures"
        )
    elif (side < 0).any():
        warnings.append(
            f"the image spans {_text(extent)} mm only, the training images {_range(known['extent'])} mm: "
            "the structures may be cut; use an image that shows more"
        )
    return warnings


def _check_voxels(prepared: Prepared) -> list[str]:
    before, wanted = np.array(prepared.plan.before), np.array(prepared.plan.wanted)
    if not _outside(before, [[size, size] for size in wanted], WANTED).any():
        return []
    return [
        f"the voxels measure {_text(before)} mm, the model looks at some of {_text(wanted)} mm: the image may not show "
        "what it takes, or its header be wrong; check it"
    ]


def _outside(values: np.ndarray, ranges: Sequence, factor: float) -> np.ndarray:
    """(3,): 1 where a value is far above its range, -1 far below, else 0."""
    return np.array(
        [0 if r is None else int(v > factor * r[1]) - int(v < r[0] / factor) for v, r in zip(values, ranges)]
    )


def _text(values: np.ndarray) -> str:
    return " x ".join(f"{value:.3g}" for value in values)


def _range(ranges: Sequence) -> str:
    parts = ("any" if r is None else f"{r[0]:.3g}" if r[0] == r[1] else f"{r[0]:.3g}-{r[1]:.3g}" for r in ranges)
    return " x ".join(parts)
