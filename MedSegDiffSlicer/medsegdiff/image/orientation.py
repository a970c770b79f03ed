"""Which voxel axis points where in the patient."""

from __future__ import annotations

from itertools import permutations

import numpy as np

AXES = {"L": (0, -1), "R": (0, 1), "P": (1, -1), "A": (1, 1), "I": (2, -1), "S": (2, 1)}  # letter: RAS axis, sign
PLANES = {"axial": "RAS", "coronal": "RSA", "sagittal": "ASR"}  # the directions in the plane, then the one across it
_OPPOSITE = dict(zip("LRPAIS", "RLAPSI"))


def turned(orientation: str, plane: str) -> str:
    """The orientation in which 2D models see slices of another plane (of PLANES) as they see those of their own, which
    lie across the third axis: what goes right, up or across there goes right, up or across here."""
    own = next(letters for letters in PLANES.values() if orientation[2] in (letters[2], _OPPOSITE[letters[2]]))
    to = dict(zip(own, PLANES[plane]))
    return "".join(to[x] if x in to else _OPPOSITE[to[_OPPOSITE[x]]] for x in orientation)


def plane_of_slice(shape: tuple[int, int, int], affine: np.ndarray) -> str | None:
    """The plane that an image one voxel thick lies in (the nearest one); None for volumes."""
    thin = [axis for axis, count in enumerate(shape) if count == 1]
    if len(thin) != 1:
        return None
    order, _ = nearest_axes(affine)
    return ("sagittal", "coronal", "axial")[order.index(thin[0])]


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
