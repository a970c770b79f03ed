"""Clicks: places in the patient whose label somebody knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import RequestError
from ..models.package import Label

Clicks = tuple[tuple[float, float, float, int], ...]  # RAS mm and label value, as in a SegmentRequest


class VoxelClick(NamedTuple):
    """index: (i, j, k) of the voxel.  label: its value, 0 for the background."""

    index: tuple[int, int, int]
    label: int


def voxel_clicks(
    clicks: Clicks, affine: np.ndarray, shape: tuple[int, int, int], labels: Sequence[Label]
) -> list[VoxelClick]:
    """The clicked voxels of an image, in order; of several clicks into one voxel the last one counts.

    affine: (4, 4) voxel index to RAS mm.  shape: (I, J, K).  labels: with or without the background, which is 0.
    Raises RequestError where a click lies outside the image or names a label that there is not.
    """
    known = {0, *(label.value for label in labels)}
    to_index, found = np.linalg.inv(affine), {}
    for number, (*place, label) in enumerate(clicks, start=1):
        told = f"click {number} at ({', '.join(f'{x:g}' for x in place)})"
        if label not in known:
            raise RequestError(f"{told} has the label {label}; the model knows 0 (background) to {max(known)}")
        index = np.floor(to_index[:3, :3] @ place + to_index[:3, 3] + 0.5)
        if (index < 0).any() or (index >= shape).any():
            low, high = _extent(affine, shape)
            raise RequestError(
                f"{told} lies outside the image, which reaches from {low} to {high}; give R, A, S in mm"
            )
        index = tuple(int(n) for n in index)
        found.pop(index, None)
        found[index] = VoxelClick(index, label)
    return list(found.values())


def describe_clicks(clicks: Clicks, labels: Sequence[Label]) -> list[dict]:
    """The clicks as the report tells them: `position` (RAS mm), `label` and `name`."""
    names = {0: "background", **{label.value: label.name for label in labels}}
    return [{"position": list(place), "label": label, "name": names[label]} for *place, label in clicks]


def _extent(affine: np.ndarray, shape: tuple[int, int, int]) -> tuple[str, str]:
    """The lowest and highest RAS coordinates of the image's corners, in words."""
    ends = [(-0.5, count - 0.5) for count in shape]
    corners = np.stack(np.meshgrid(*ends), -1).reshape(-1, 3) @ affine[:3, :3].T + affine[:3, 3]
    return tuple(f"({', '.join(f'{x:.1f}' for x in end)})" for end in (corners.min(0), corners.max(0)))
