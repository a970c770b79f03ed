"""Uncertainty beyond what is usual at that distance from a boundary.

Every boundary is doubtful, so that its shell outweighs all else in a map. Here each voxel's uncertainty is lowered by
the median of the voxels of the same label at the same distance from the boundary, in the same case; what remains stands
out. (Ours.)
"""

from __future__ import annotations

import numpy as np

from .aggregation import bounding_box

REACH = 10  # voxels from the boundary beyond which nothing is usual outside; inside, all deeper ones are taken together
FEWEST = 64  # voxels of which one can say what is usual; the deepest are taken together to be as many


def excess(uncertainty: np.ndarray, labelmap: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """(I, J, K) float32, in the unit of the uncertainty and between 0 and its value.

    uncertainty: (I, J, K), at least 0.  labelmap: (I, J, K) uint8 or bool.  affine: (4, 4) voxel index to RAS mm.
    """
    from scipy import ndimage

    out = uncertainty.astype(np.float32)
    box = bounding_box(labelmap > 0, REACH + 1)
    shell = shell_numbers(labelmap[box], np.linalg.norm(affine[:3, :3], axis=0))
    if not shell.size:
        return out
    counted = shell > 0
    numbers = np.unique(shell[counted])
    usual = np.zeros(int(shell.max()) + 1, np.float32)
    usual[numbers] = ndimage.median(out[box][counted], shell[counted], numbers)
    out[box] -= usual[shell]
    return np.maximum(out, 0, out=out)


def shell_numbers(labelmap: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """(i, j, k) uint16: the same number for voxels of one label at the same distance from another one, in steps of the
    smallest spacing; 0 for background beyond REACH.  spacing: (3,) mm."""
    from scipy import ndimage

    out = np.zeros(labelmap.shape, np.uint16)
    for position, value in enumerate(np.unique(labelmap)):
        box = bounding_box(labelmap == value, 1)
        mask = labelmap[box] == value
        step = ndimage.distance_transform_edt(mask, spacing)[mask] / spacing.min()
        number = np.minimum(np.ceil(step), REACH + 1).astype(np.uint16)
        if value == 0:
            number[number > REACH] = 0
        deeper = np.cumsum(np.bincount(number)[::-1])[::-1]  # how many are at least that deep
        number = np.minimum(number, max(1, np.flatnonzero(deeper >= FEWEST).max(initial=1)))
        out[box][mask] = np.where(number > 0, position * (REACH + 1) + number, 0)
    return out
