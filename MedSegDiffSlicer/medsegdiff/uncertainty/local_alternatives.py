"""What the samples say at one place: the few distinct labellings of its voxels, and how likely each is.

Elsewhere the samples may agree or not; here only the voxels of the place count. Samples are clustered by the share of
voxels that they label differently (average linkage) into at most MOST groups, each of which has the say of its
majority.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .packing import labels_at

MOST = 3  # at a boundary, say: as it is, more, less


@dataclass(frozen=True)
class LocalAlternative:
    """probability: in (0, 1], of all alternatives together 1.  labels: (N,) uint8, one a voxel of the place."""

    probability: float
    labels: np.ndarray


def local_alternatives(packed: np.ndarray, weights: np.ndarray, indices: np.ndarray) -> list[LocalAlternative]:
    """The distinct labellings of the voxels, the likeliest first; a single one where all samples agree there.

    packed: (S, planes, bytes) samples, see pack_labelmap.  weights: (S,), summing to 1.  indices: (N,) flat, N > 0.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist

    labels = labels_at(packed, indices)
    group = np.ones(len(labels), int)
    if len(labels) > 1:
        group = fcluster(linkage(pdist(labels, "hamming"), "average"), MOST, "maxclust")
    found: dict[bytes, float] = {}
    for number in np.unique(group):
        own = group == number
        say = _majority(labels[own], weights[own]).tobytes()
        found[say] = found.get(say, 0.0) + float(weights[own].sum())
    ranked = sorted(found.items(), key=lambda one: -one[1])
    return [LocalAlternative(probability, np.frombuffer(say, np.uint8)) for say, probability in ranked]


def _majority(labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,) uint8; where votes are even, the sample decides that agrees most with the others.  labels: (S, N)."""
    votes = np.stack([weights @ (labels == value) for value in range(int(labels.max()) + 1)])
    agreement = np.take_along_axis(votes, labels.astype(np.int64), 0).sum(1)
    central = labels[agreement.argmax()]
    best = votes.max(0)
    return np.where(np.isclose(votes[central, np.arange(len(central))], best), central, votes.argmax(0)).astype(
        np.uint8
    )
