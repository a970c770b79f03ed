"""Distinct alternatives among the samples: which samples mean the same, and how likely each meaning is.

Samples are clustered by 1 - Dice (average linkage). The number of clusters is the one with the best mean silhouette
(Rousseeuw, 1987) among those whose clusters are apart: all distances within are below all distances between. Where
there is none, or clusters differ by less than DISTINCT, the samples are scatter around one meaning.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .measures import parts
from .packing import SINGLE, disputed, highest_label, overlaps, somewhere, unpack_labelmap

MOST = 5  # alternatives
SILHOUETTE = 0.5  # of 1; less is no reasonable structure (Kaufman & Rousseeuw, 1990)
DISTINCT = 0.05  # Dice by which samples of two alternatives differ more than samples of one


@dataclass(frozen=True)
class Alternative:
    """probability: in (0, 1], of all alternatives together 1.  labelmap: (I, J, K) uint8, the majority of its samples.
    members: their numbers, from 0."""

    probability: float
    labelmap: np.ndarray = field(repr=False)
    members: tuple[int, ...]


def find_alternatives(packed: np.ndarray, shape: tuple[int, int, int], weights: np.ndarray) -> list[Alternative]:
    """The distinct alternatives, the most likely one first.

    packed: (S, planes, bytes) samples, see pack_labelmap.  shape: (I, J, K).  weights: (S,) of them, summing to 1.
    """
    distance = sample_distances(packed)
    group = cluster(distance)
    found = []
    for number in np.unique(group):
        members = np.flatnonzero(group == number)
        central = int(distance[np.ix_(members, members)].sum(0).argmin())
        labelmap = _majority(packed[members], shape, weights[members], central)
        found.append(Alternative(float(weights[members].sum()), labelmap, tuple(members.tolist())))
    return sorted(found, key=lambda one: -one.probability)


def sample_distances(packed: np.ndarray) -> np.ndarray:
    """(S, S) 1 - Dice of all foreground labels together; 0 where both samples are empty.  packed: (S, planes,
    bytes)."""
    single = packed.shape[1] <= SINGLE
    common = sum(overlaps(packed[:, index]) for index in range(packed.shape[1])) if single else _agreeing(packed)
    size = np.diagonal(common)
    total = size[:, None] + size
    return np.where(total > 0, 1 - 2 * common / np.maximum(total, 1), 0.0)


def _agreeing(packed: np.ndarray) -> np.ndarray:
    """(S, S) voxels to which two samples give the same structure.  packed: (S, planes, bytes)."""
    indices, votes = disputed(packed)
    undisputed = int(np.unpackbits(somewhere(packed[:1])).sum(dtype=np.int64)) - np.count_nonzero(votes[0])
    return np.array([[undisputed + np.count_nonzero((a == b) & (a > 0)) for b in votes] for a in votes], float)


def cluster(distance: np.ndarray) -> np.ndarray:
    """(S,) number of each sample's cluster; all the same where nothing sets them apart.  distance: (S, S)."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    best, chosen = SILHOUETTE, np.zeros(len(distance), int)
    if len(distance) < 3:  # of two samples nobody can tell
        return chosen
    tree = linkage(squareform(distance, checks=False), "average")
    for count in range(2, min(MOST, len(distance) - 1) + 1):
        group = fcluster(tree, count, "maxclust")
        worth = silhouette(distance, group)
        if worth >= best and _apart(distance, group):
            best, chosen = worth, group
    return chosen


def silhouette(distance: np.ndarray, group: np.ndarray) -> float:
    """Mean silhouette in [-1, 1]; a sample alone in its cluster has 0.  distance: (S, S).  group: (S,)."""
    numbers = np.unique(group)
    if len(numbers) < 2:
        return -1.0
    sizes = np.array([np.count_nonzero(group == number) for number in numbers])
    sums = np.stack([distance[:, group == number].sum(1) for number in numbers], 1)
    own = np.searchsorted(numbers, group)
    at = np.arange(len(group))
    within = sums[at, own] / np.maximum(sizes[own] - 1, 1)
    others = sums / sizes
    others[at, own] = np.inf
    between = others.min(1)
    worth = (between - within) / np.maximum(np.maximum(between, within), 1e-12)
    return float(np.where(sizes[own] > 1, worth, 0).mean())


def _apart(distance: np.ndarray, group: np.ndarray) -> bool:
    same = group[:, None] == group
    within = distance[same & ~np.eye(len(group), dtype=bool)]
    between = distance[~same]
    return between.min() > within.max(initial=0) and between.mean() - (within.mean() if within.size else 0) >= DISTINCT


def _majority(packed: np.ndarray, shape: tuple[int, int, int], weights: np.ndarray, central: int) -> np.ndarray:
    """(I, J, K) uint8; where votes are even, the central sample decides."""
    out = unpack_labelmap(packed[central], shape)
    indices, votes = disputed(packed)
    weights = weights.astype(np.float64)
    weights[central] *= 1 + 1e-6
    for part in parts(len(indices), highest_label(packed) + 1):
        some = votes[:, part]
        counted = np.stack([weights @ (some == value) for value in range(int(some.max()) + 1)])
        out.reshape(-1)[indices[part]] = counted.argmax(0)
    return out
