"""Clicks as a network sees them: a map a label, on the grid of the prepared image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .clicks import VoxelClick
from .preprocessing import Prepared

REACH = 4.0  # deviations beyond which a bell is taken for 0


def click_maps(
    places: Sequence[tuple[Sequence[float], int]], shape: Sequence[int], spacing: Sequence[float], labels: int,
    sigma_mm: float,
) -> np.ndarray:  # fmt: skip
    """(L, i, j, k) float32 in [0, 1]: for each label the height of Gaussian bells around its clicks (the highest where
    several meet), 1 on a click.

    places: (i, j, k), which may lie between voxels, and label of each click.  spacing: of voxels of (i, j, k), mm.
    labels: their number, with the background.  sigma_mm: deviation of the bells.
    """
    maps = np.zeros((labels, *shape), np.float32)
    for place, label in places:
        reach = [REACH * sigma_mm / size for size in spacing]
        starts = [max(0, int(np.ceil(x - r))) for x, r in zip(place, reach)]
        stops = [min(n, int(np.floor(x + r)) + 1) for x, r, n in zip(place, reach, shape)]
        away = [
            (np.arange(start, max(start, stop), dtype=np.float32) - x) * size / sigma_mm
            for start, stop, x, size in zip(starts, stops, place, spacing)
        ]
        i, j, k = (np.exp(-0.5 * distance**2) for distance in away)
        part = maps[(label, *(slice(start, start + len(d)) for start, d in zip(starts, away)))]
        np.maximum(part, i[:, None, None] * j[:, None] * k, out=part)
    return maps


def prepared_click_maps(clicks: Sequence[VoxelClick], prepared: Prepared, labels: int, sigma_mm: float) -> np.ndarray:
    """(L, i, j, k) float32, see click_maps, of clicks on the image's own grid."""
    places = [(prepared.place(click.index), click.label) for click in clicks]
    return click_maps(places, prepared.array.shape[1:], prepared.spacing, labels, sigma_mm)
