"""Which voxel axis points where in the patient."""

from __future__ import annotations

from itertools import permutations

import numpy as np

AXES = {"L": (0, -1), "R": (0, 1), "P": (1, -1), "A": (1, 1), "I": (2, -1), "S": (2, 1)}  # letter: RAS axis, sign


def nearest_axes(affine: np.ndarray, orientation: str = "RAS") -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """The voxel axis nearest to each wanted direction, and whether it points the other way.

    affine: (4, 4), voxel index to RAS mm.  orientation: three letters of AXES, one a pair.
    The assignment has the largest sum of cosines, so oblique images get their nearest orientation.
    """
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    wanted = [AXES[letter] for letter in orientation]
    order = max(
        permutations(range(3)),
        key=lambda axes: sum(abs(cosines[world, axis]) for (world, _), axis in zip(wanted, axes)),
    )
    return order, tuple(bool(cosines[world, axis] * sign < 0) for (world, sign), axis in zip(wanted, order))
