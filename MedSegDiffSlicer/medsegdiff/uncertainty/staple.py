"""STAPLE: each sample's performance by SimpleITK, then the probability of each label where samples differ.

Performance is estimated in the box around all that any sample calls foreground; where the box is large, from voxels
picked such that each pattern of votes is as frequent as in the box; multi-label STAPLE depends a little on which.
Weights are ours: each sample's log-likelihood is multiplied by its weight, 1 on average.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from .aggregation import bounding_box
from .packing import plane_of

LOOKED_AT = 2**14  # voxels from which performance is estimated
_ITERATIONS = 100

# likely(votes (S, n) uint8 of any of the disputed voxels) -> (L, n) float32 label probabilities.
Likely = Callable[[np.ndarray], np.ndarray]


def staple(
    votes: np.ndarray, packed: np.ndarray, labels: int, shape: tuple[int, int, int], shares: np.ndarray
) -> Likely:  # fmt: skip
    """Label probabilities by STAPLE, a label at a time (Warfield et al., 2004).

    votes: (S, N) uint8, the samples' labels at all voxels where they differ.  packed: (S, planes, bytes) samples.
    labels: their number with background.  shape: (I, J, K).  shares: (S,) weights, summing to 1.
    """
    import SimpleITK as sitk

    judged = {}
    for value in range(1, labels):
        masks = (votes == value).astype(np.uint8)
        differ = (masks != masks[0]).any(0)
        if not differ.any():
            continue
        masks = masks[:, differ]
        seen = _even_share(masks, _agreed([plane_of(packed, value)], shape, masks.shape[1]))
        judge = sitk.STAPLEImageFilter()
        judge.SetMaximumIterations(_ITERATIONS)
        judge.Execute(_images(seen))
        p, q = np.array(judge.GetSensitivity()), np.array(judge.GetSpecificity())
        judged[value] = _frequency(seen, 2), np.moveaxis(np.array([[q, 1 - p], [1 - q, p]]), 2, 0)

    def likely(votes: np.ndarray) -> np.ndarray:
        out = np.zeros((labels, votes.shape[1]), np.float32)
        for value in range(1, labels):
            masks = (votes == value).astype(np.uint8)
            out[value] = masks[0]
            differ = (masks != masks[0]).any(0)
            if differ.any():
                out[value, differ] = _posterior(masks[:, differ], *judged[value], shares)[1]
        out[1:] /= np.maximum(out[1:].sum(0), 1)
        out[0] = 1 - out[1:].sum(0)
        return out

    return likely


def multilabel_staple(
    votes: np.ndarray, packed: np.ndarray, labels: int, shape: tuple[int, int, int], shares: np.ndarray
) -> Likely:  # fmt: skip
    """Label probabilities by multi-label STAPLE (Rohlfing et al., 2004); arguments as for staple."""
    import SimpleITK as sitk

    masks = (plane_of(packed, value) for value in range(1, labels))
    seen = _even_share(votes, _agreed(masks, shape, votes.shape[1]))
    judge = sitk.MultiLabelSTAPLEImageFilter()
    judge.SetMaximumNumberOfIterations(_ITERATIONS)
    judge.Execute(_images(seen))
    known = int(seen.max()) + 1
    confusion = np.zeros((len(votes), labels, labels))
    for sample, matrix in enumerate(confusion):
        matrix[:known, :known] = np.reshape(judge.GetConfusionMatrix(sample), (-1, known))[:known]
    rare = np.setdiff1d(np.arange(labels), seen)  # of labels on no picked voxel nothing is known: they are trusted
    confusion[:, rare, rare] = 1
    return partial(_posterior, frequency=_frequency(seen, labels), confusion=confusion, shares=shares)


def _frequency(votes: np.ndarray, labels: int) -> np.ndarray:
    """(L,) share of the votes (S, n) for each label."""
    return np.bincount(votes.reshape(-1), minlength=labels) / votes.size


def _posterior(votes: np.ndarray, frequency: np.ndarray, confusion: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(L, N) float32.  frequency: (L,) of the labels.
    confusion: (S, L, L), a sample's probability of saying the row's label where the column's is true."""
    log = np.zeros((len(frequency), votes.shape[1]), np.float32)
    log += np.log(np.maximum(frequency, 1e-9))[:, None]
    for vote, matrix, share in zip(votes, np.log(np.clip(confusion, 1e-9, 1)), shares):
        log += np.take((len(votes) * share * matrix.T).astype(np.float32), vote, 1)  # faster than [:, vote]
    out = np.exp(log - log.max(0))
    return out / out.sum(0)


def _agreed(masks: Iterable[np.ndarray], shape: tuple[int, int, int], disputed: int) -> list[int]:
    """How many voxels of the box all samples give each of the labels.  masks: (S, bytes) of each.
    disputed: how many they do not."""
    some, every = np.zeros(-(-int(np.prod(shape)) // 8), np.uint8), []
    for mask in masks:
        some |= np.bitwise_or.reduce(mask, axis=0)
        every.append(int(np.unpackbits(np.bitwise_and.reduce(mask, axis=0)).sum(dtype=np.int64)))
    box = bounding_box(np.unpackbits(some, count=int(np.prod(shape))).reshape(shape).view(bool), 0)
    voxels = int(np.prod([s.stop - s.start for s in box]))
    return [voxels - disputed - sum(every), *every]


def _even_share(votes: np.ndarray, agreed: list[int]) -> np.ndarray:
    """(S, n) votes, n <= LOOKED_AT, with each pattern as frequent as in (S, N) votes and the agreed ones together.
    agreed: how many votes for each label."""
    pattern = np.zeros(votes.shape[1], np.int64)
    for vote in votes[: int(62 / np.log2(len(agreed)))]:  # as many as fit into 63 bits
        pattern = pattern * len(agreed) + vote
    counts = np.array([votes.shape[1], *agreed])
    at = np.linspace(0, counts.sum() - 1, min(counts.sum(), LOOKED_AT)).round().astype(np.int64)
    part = np.searchsorted(np.cumsum(counts), at, side="right")
    out = np.tile(np.maximum(part - 1, 0).astype(np.uint8), (len(votes), 1))
    out[:, part == 0] = votes[:, np.argsort(pattern, kind="stable")[at[part == 0]]]
    return out


def _images(votes: np.ndarray) -> list:
    import SimpleITK as sitk

    return [sitk.GetImageFromArray(vote[None]) for vote in votes]
