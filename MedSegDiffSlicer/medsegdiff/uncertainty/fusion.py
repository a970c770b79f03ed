"""From several opinions to one label map."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from .all_labels import Probability, labels_of
from .measures import parts
from .packing import disputed, unpack_labelmap
from .rules import check_fusion, check_threshold
from .staple import Likely, multilabel_staple, staple

ROUNDING = 1e-6  # of float32 sums: 1 of 10 votes are at least 0.1


def fused_labelmap(
    fusion: str, threshold: float | None, mean: Probability, packed: np.ndarray,
    weights: np.ndarray | None = None, judged: dict[str, Likely] | None = None,
) -> np.ndarray:  # fmt: skip
    """(I, J, K) uint8: decide(the label probabilities by the chosen rule, threshold), worked out where the samples
    differ only.

    fusion: "mean" of the members' probabilities, "majority" (share of the weighted votes), "staple" (a label at a time)
      or "multilabel-staple", see uncertainty.staple; all but the mean are sure where the samples agree.
    mean: (L, I, J, K), weighted already.  packed: (S, planes, bytes) samples, see pack_labelmap.
    weights: (S,) how much each sample counts; None for all the same.
    judged: a rule's judgement of these samples and weights, by its name: what is in it is not worked out again, what is
      not is put in. Another threshold is then a matter of milliseconds.
    Raises RequestError for other rules.
    """
    check_fusion(fusion)
    if fusion == "mean" or len(packed) == 1:
        return decide(mean, threshold)
    out = unpack_labelmap(packed[0], mean.shape[1:])
    judged = {} if judged is None else judged
    for indices, probability in judge_disputed(fusion, len(mean), mean.shape[1:], packed, weights, judged):
        out.reshape(-1)[indices] = decide(probability, threshold)
    return out


def decide(probability: Probability, threshold: float | None) -> np.ndarray:
    """(...) uint8 labels of (L, ...) probabilities that sum to 1.

    threshold: None takes the most probable label (the first one where several are); otherwise a voxel is foreground
      where the foreground labels' probabilities add up to at least the threshold (up to ROUNDING), and gets the most
      probable of them.
    Raises RequestError for a threshold outside (0, 1).
    """
    check_threshold(threshold)
    background = probability[0]
    # Nothing else is looked at: no label can be likelier than a background above one half, but for rounding.
    at = np.flatnonzero(background <= (0.51 if threshold is None else 1 - threshold + min(ROUNDING, threshold / 2)))
    out = np.zeros(background.shape, np.uint8)
    there = labels_of(probability).take(at)
    out.reshape(-1)[at] = there.argmax() if threshold is None else there.foreground()
    return out


def judge_disputed(
    fusion: str, labels: int, shape: tuple[int, int, int], packed: np.ndarray, weights: np.ndarray | None,
    judged: dict[str, Likely],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:  # fmt: skip
    """Flat indices (n,) of the voxels where samples differ, and label probabilities (L, n) float32 there; in parts.

    fusion: but "mean".  labels: with background.  shape: (I, J, K).  packed, weights, judged: see fused_labelmap.
    """
    indices, votes = disputed(packed)
    if not len(indices):
        return
    if fusion not in judged:
        shares = (
            np.full(len(packed), 1 / len(packed)) if weights is None else np.asarray(weights, float) / np.sum(weights)
        )
        judged[fusion] = _JUDGES[fusion](votes, packed, labels, shape, shares)
    for part in parts(len(indices), labels):
        yield indices[part], judged[fusion](votes[:, part])


def _majority(
    _votes: np.ndarray, _packed: np.ndarray, labels: int, _shape: tuple[int, int, int], shares: np.ndarray
) -> Likely:  # fmt: skip
    """Shares of the votes; arguments as for staple."""
    return partial(_counted, labels=labels, shares=shares.astype(np.float32))


def _counted(votes: np.ndarray, labels: int, shares: np.ndarray) -> np.ndarray:
    """(L, n) float32, the share of the votes (S, n) for each label."""
    return np.stack([shares @ (votes == value).astype(np.float32) for value in range(labels)])


_JUDGES = {"majority": _majority, "staple": staple, "multilabel-staple": multilabel_staple}
