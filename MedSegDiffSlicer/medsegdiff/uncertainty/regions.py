"""Where to look: connected doubtful regions, ranked by what correcting them is expected to change.

Doubtful is a voxel whose label is wrong with a probability of at least DOUBTFUL; where there are more than AT_MOST of
them, the most doubtful ones are looked at, so that time and memory have a bound. Since the boundary of a structure is
one connected shell of such voxels, regions are cut to pieces that reach about REACH from where doubt is densest.
What is expected follows from the probabilities, as far as these are calibrated: a voxel changes sides with the
probability that it is on the wrong one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any

import numpy as np

from .likeliest import sums_by_label
from .statistics import Doubt

DOUBTFUL = 0.2
REACH = 10.0  # mm
AT_MOST = 500_000  # voxels
_SMOOTHED, _BLOCK = 5, 4  # voxels


@dataclass(frozen=True)
class Region:
    """A place to look at.

    structure: name of the label that stands to change most there.  label: its value.
    voxels, volume_mm3: of the doubtful region.  slice: the k of the slice that shows most of it.
    position: RAS mm, in that slice and in the region, near its centre.  index: (i, j, k) of that voxel.
    added_mm3, removed_mm3: volume of the structure that correcting the region is expected to add and to take away.
    volume_change_mm3: the two together, with sign.  dice_change: what the structure's expected Dice gains.
    at: (voxels,) flat indices of the region's voxels in the label map, ascending.
    """

    structure: str
    label: int
    voxels: int
    volume_mm3: float
    position: tuple[float, float, float]
    index: tuple[int, int, int]
    slice: int
    added_mm3: float
    removed_mm3: float
    volume_change_mm3: float
    dice_change: float
    at: np.ndarray = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the voxels, as plain data."""
        return {name: value for name, value in asdict(self).items() if name != "at"}


def find_regions(
    labelmap: np.ndarray, doubt: Doubt, affine: np.ndarray, names: dict[int, str], most: int = 20, by: str = "dice"
) -> list[Region]:
    """At most `most` regions, the one to look at first at the front.

    labelmap: (I, J, K) uint8.  doubt: statistics.find_doubt(probability).  affine: (4, 4) voxel index to RAS mm.
    names: of the foreground labels, by value.  by: "dice" (gain of a structure's Dice) or "volume" (added + removed).
    """
    here = labelmap.reshape(-1)[doubt.places.at]
    wrong = 1 - doubt.probability.chosen(here)
    doubtful = np.flatnonzero(wrong >= DOUBTFUL)
    if len(doubtful) > AT_MOST:
        doubtful = np.sort(doubtful[np.argpartition(-wrong[doubtful], AT_MOST)[:AT_MOST]])
    if not len(doubtful):
        return []
    at = np.stack(np.unravel_index(doubt.places.at[doubtful], labelmap.shape), 1)
    piece = _pieces(at, wrong[doubtful], affine)
    order = np.argsort(piece, kind="stable")
    voxels = np.bincount(piece)
    ends = np.cumsum(voxels)
    added, removed, gain = _changes(labelmap, doubt, here, wrong, doubtful, piece, sorted(names))
    own = (added + removed).argmax(0)
    pieces = np.arange(len(voxels))
    size = float(abs(np.linalg.det(affine[:3, :3])))
    worth = gain[own, pieces] if by == "dice" else (added + removed)[own, pieces]
    found = []
    for number in np.argsort(-worth, kind="stable")[:most]:
        label = sorted(names)[own[number]]
        members = order[ends[number] - voxels[number] : ends[number]]
        place = _middle(at[members], wrong[doubtful[members]], affine)
        more, less = added[own[number], number] * size, removed[own[number], number] * size
        found.append(Region(
            structure=names[label], label=label, voxels=int(voxels[number]), volume_mm3=float(voxels[number] * size),
            position=tuple((affine[:3, :3] @ place + affine[:3, 3]).tolist()), index=tuple(place.tolist()),
            slice=int(place[2]), added_mm3=float(more), removed_mm3=float(less),
            volume_change_mm3=float(more - less), dice_change=float(gain[own[number], number]),
            at=doubt.places.at[doubtful[members]],
        ))  # fmt: skip
    return found


def _changes(
    labelmap: np.ndarray, doubt: Doubt, here: np.ndarray, wrong: np.ndarray, doubtful: np.ndarray, piece: np.ndarray,
    labels: list[int],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Voxels expected to be added and removed, and gain in Dice: each (labels, pieces)."""
    count = len(doubt.probability)
    gone = sums_by_label(here, wrong, count)
    come = doubt.probability.sums() - sums_by_label(here, 1 - wrong, count)
    likely, here, wrong = doubt.probability[:, doubtful], here[doubtful], wrong[doubtful]
    added, removed, gain = np.empty((3, len(labels), piece.max() + 1))
    for row, value in enumerate(labels):
        inside = here == value
        more = np.bincount(piece, np.where(inside, 0, likely[value]))
        less = np.bincount(piece, np.where(inside, wrong, 0))
        size = np.count_nonzero(labelmap == value)
        right = size - gone[value]
        truth = right + come[value]
        before = 2 * right / max(size + truth, 1e-9)
        after = 2 * (right + more) / np.maximum(size + more - less + truth, 1e-9)
        added[row], removed[row], gain[row] = more, less, after - before
    return added, removed, gain


def _pieces(at: np.ndarray, wrong: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """(N,) number of the connected piece of each doubtful voxel.  at: (N, 3) indices.  wrong: (N,) probability."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    low = at.min(0) - 1
    shape = tuple(at.max(0) - low + 2)
    flat = np.ravel_multi_index((at - low).T, shape)
    points = at @ affine[:3, :3].T
    centres = points[_centres(at, points, _density(flat, wrong, shape))]
    nearest = cKDTree(centres).query(points)[1]
    number = np.full(int(np.prod(shape)), -1, np.int32)
    number[flat] = np.arange(len(flat))
    pairs = []
    for step in product((-1, 0, 1), repeat=3):
        if step > (0, 0, 0):  # one of each two opposite neighbours
            other = number[flat + step[0] * shape[1] * shape[2] + step[1] * shape[2] + step[2]]
            touching = np.flatnonzero((other >= 0) & (nearest == nearest[other])).astype(np.int32)
            pairs.append(np.stack([touching, other[touching]]))
    rows, columns = np.concatenate(pairs, 1)
    graph = coo_matrix((np.ones(len(rows), bool), (rows, columns)), (len(flat), len(flat)))
    return connected_components(graph, directed=False)[1]


def _density(flat: np.ndarray, wrong: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    from scipy.ndimage import uniform_filter

    dense = np.zeros(int(np.prod(shape)), np.float32)
    dense[flat] = wrong
    return uniform_filter(dense.reshape(shape), _SMOOTHED, mode="constant").reshape(-1)[flat]


def _centres(at: np.ndarray, points: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Voxels of which each is the densest farther than REACH from those before, among the densest of each small
    block."""
    from scipy.spatial import cKDTree

    order = np.argsort(-density, kind="stable")
    _, first = np.unique(at[order] // _BLOCK @ (1 << np.array([42, 21, 0])), return_index=True)
    candidates = order[np.sort(first)]
    tree, free, centres = cKDTree(points[candidates]), np.ones(len(candidates), bool), []
    for number in range(len(candidates)):
        if free[number]:
            centres.append(number)
            free[tree.query_ball_point(points[candidates[number]], REACH)] = False
    return candidates[centres]


def _middle(at: np.ndarray, wrong: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The voxel nearest to the centre of gravity of a region, of those in the slices that show most of it."""
    points = at @ affine[:3, :3].T
    centre = np.average(points, 0, wrong)
    shows = np.bincount(at[:, 2])[at[:, 2]]
    shown = shows == shows.max()
    at, points = at[shown], points[shown]
    return at[np.linalg.norm(points - centre, axis=1).argmin()]
