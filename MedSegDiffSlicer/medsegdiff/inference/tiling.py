"""Cutting an image into overlapping tiles and weighing what they say."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

Window = tuple[slice, ...]


def tiles(shape: tuple[int, int, int], tile: int, overlap: float, divisible: int) -> list[Window]:
    """Windows that cover an image of `shape` (each axis divisible by `divisible`); one window where it fits into a tile.

    tile: edge in voxels, rounded up to a multiple of `divisible`.  overlap: share in [0, 0.9] that neighbours have in common.
    """
    from monai.data.utils import dense_patch_slices

    edge = -(-tile // divisible) * divisible
    size = tuple(min(edge, n) for n in shape)
    step = tuple(max(divisible, int(n * (1 - overlap)) // divisible * divisible) for n in size)
    return [tuple(s) for s in dense_patch_slices(shape, size, step)]


def tile_weights(window: Window) -> Tensor:
    """Gaussian weight (i, j, k) float32 of a tile's voxels, its middle counting most (Isensee et al., 2021)."""
    from monai.data.utils import compute_importance_map

    size = tuple(s.stop - s.start for s in window)
    return compute_importance_map(size, mode="gaussian", sigma_scale=0.125).clamp(min=1e-3)


def window_start(window: Window) -> tuple[int, int, int]:
    """First voxel of a window."""
    return tuple(int(s.start) for s in window)


def window_size(window: Window) -> tuple[int, int, int]:
    """Voxels of a window along each axis."""
    return tuple(int(s.stop - s.start) for s in window)


def weight_total(shape: tuple[int, int, int], windows: list[Window]) -> np.ndarray:
    """(i, j, k) float32 sum of the weights of all tiles."""
    total = np.zeros(shape, np.float32)
    for window in windows:
        total[window] += tile_weights(window).numpy()
    return total
