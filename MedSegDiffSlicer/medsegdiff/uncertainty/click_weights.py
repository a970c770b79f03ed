"""Opinions under the condition of clicks: those that agree with a click speak for the part that it is about.

Where samples differ about a clicked voxel, the part is the connected one around the click where those that agree with
it mostly say its label and the others mostly do not: a missed structure, or a bulge of the outline. There the samples
that disagree take over what the others say. Where no sample agrees, the label gains around the click as much as it
takes to win there, and less the farther away, so that the outline moves to where the label is about as likely as at the
click.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .all_labels import Probability, labels_of
from .packing import pack_box, unpack_box

DISAGREEING = 0.5  # what a sample that disagrees with a click counts elsewhere
DIVIDED = 0.5  # excess of the share of the agreeing samples over that of the others
EXTENT = 30.0  # mm to every side, how far a part may reach
SPREAD, NARROWEST = 4.0, 2.0  # mm, deviation of the bell in which a label gains; half the way to an earlier click
BEYOND, MARGIN = 1.15, 0.05  # times what a label lacks in a clicked place, and more than that (logarithms)
REACH = 4.0  # deviations to which the bell reaches
CERTAIN = 1e-4  # probabilities are kept this far from 0, so that their logarithms are finite

Box = tuple[slice, slice, slice]


class Opinions(NamedTuple):
    """packed: (S, planes, bytes) samples, see pack_labelmap.  weights: (S,), summing to 1.  probability: (L, I, J, K).
    """

    packed: np.ndarray
    weights: np.ndarray
    probability: Probability


def under_clicks(
    opinions: Opinions, labelmap: np.ndarray, clicks: Sequence[tuple[tuple[int, int, int], int]], affine: np.ndarray
) -> Opinions:
    """The opinions as they are to be heard after clicks (index and label of voxels): copies, which have the clicked
    label in the clicked voxels.

    labelmap: (I, J, K) that the clicks correct.  affine: (4, 4) voxel index to RAS mm.
    """
    packed, weights, probability = (x.copy() for x in opinions)
    widths = bell_widths([affine[:3, :3] @ index for index, _ in clicks])
    for (index, label), width in zip(clicks, widths):
        agree = unpack_box(packed, _box(index, 0, affine, labelmap.shape), labelmap.shape).reshape(-1) == label
        divided = agree.any() and not agree.all()
        wrong = labelmap[index] != label
        if not divided and (not wrong or probability[(slice(None), *index)].argmax() == label):
            continue  # nothing to change, or what came before, such as the last point of a stroke, has changed it
        box = _box(index, EXTENT, affine, labelmap.shape)
        said, at = unpack_box(packed, box, labelmap.shape), tuple(i - side.start for i, side in zip(index, box))
        likely = labels_of(probability)[(slice(None), *box)].dense()
        if divided:
            free = np.ones(said.shape[1:], bool)
            for other, said_there in clicks:
                if said_there != label:
                    free &= _nearer(index, other, box, affine)
            weights = np.where(agree, weights, DISAGREEING * weights)
            weights /= weights.sum()
            _take_over(said, likely, weights, agree, label, at, free)
        if wrong and likely[(slice(None), *at)].argmax() != label:
            _spread(said, likely, label, at, _away(index, box, affine), width)
        pack_box(packed, said, box, labelmap.shape)
        probability[(slice(None), *box)] = likely
    for index, label in clicks:
        pack_box(packed, np.full((len(packed), 1, 1, 1), label), _box(index, 0, affine, labelmap.shape), labelmap.shape)
        probability[(slice(None), *index)] = np.arange(len(probability)) == label
    return Opinions(packed, weights, probability)


def bell_widths(places: Sequence[np.ndarray]) -> list[float]:
    """Deviation in mm of the bell of each click: the more clicks a place has had, the finer is what the next one means.
    places: (3,) mm, in the order of the clicks."""
    nearest = [min((float(np.linalg.norm(x - y)) for y in places[:n]), default=np.inf) for n, x in enumerate(places)]
    return [min(SPREAD, max(NARROWEST, 0.5 * distance)) for distance in nearest]


def _take_over(
    said: np.ndarray, likely: np.ndarray, weights: np.ndarray, agree: np.ndarray, label: int, at: tuple[int, ...],
    free: np.ndarray,
) -> None:  # fmt: skip
    """In place: (S, i, j, k) labels and (L, i, j, k) probabilities. The probability changes as the shares of votes do.
    free: (i, j, k) bool, what is nearer to this click than to those with other labels."""
    from scipy.ndimage import label as connected

    votes = said == label
    excess = votes[agree].mean(0) - votes[~agree].mean(0)
    parts, _ = connected((excess >= DIVIDED) & free)
    part = parts == parts[at]
    there, shares = said[:, part], weights / weights.sum()
    knowing = np.flatnonzero(agree)
    heard = there.copy()
    heard[~agree] = there[np.resize(knowing, np.count_nonzero(~agree))]
    change = np.stack([shares @ (heard == value) - shares @ (there == value) for value in range(len(likely))])
    changed = np.clip(likely[:, part] + change, 0, 1)
    likely[:, part] = changed / changed.sum(0)
    said[:, part] = heard


def _spread(
    said: np.ndarray, likely: np.ndarray, label: int, at: tuple[int, ...], away: np.ndarray, sigma: float
) -> None:  # fmt: skip
    """In place, as _take_over: the label gains in a bell around a place where hardly any sample has it.

    away: (i, j, k) from it, mm.  sigma: deviation of the bell, mm.
    """
    from scipy.ndimage import label as connected

    box = tuple(slice(place.min(), place.max() + 1) for place in np.nonzero(away <= REACH * sigma))
    likely, logarithm = likely[(slice(None), *box)], np.log(np.maximum(likely[(slice(None), *box)], CERTAIN))
    at = tuple(i - side.start for i, side in zip(at, box))
    there = logarithm[(slice(None), *at)]
    lacking = np.delete(there, label).max() - there[label]
    logarithm[label] += (BEYOND * lacking + MARGIN) * np.exp(-0.5 * (away[box] / sigma) ** 2)
    raised = np.exp(logarithm)
    likely[...] = raised / raised.sum(0)
    parts, _ = connected(likely.argmax(0) == label)
    said[(slice(None), *box)][:, parts == parts[at]] = label


def _away(index: tuple[int, int, int], box: Box, affine: np.ndarray) -> np.ndarray:
    """(i, j, k) float32, the distance in mm of a box's voxels from a voxel."""
    axes = [np.arange(side.start, side.stop, dtype=np.float32) - i for i, side in zip(index, box)]
    total = np.zeros([len(axis) for axis in axes], np.float32)
    for row in affine[:3, :3].astype(np.float32):
        i, j, k = (axis * x for axis, x in zip(axes, row))
        total += (i[:, None, None] + j[:, None] + k) ** 2
    return np.sqrt(total, out=total)


def _nearer(index: tuple[int, int, int], other: tuple[int, int, int], box: Box, affine: np.ndarray) -> np.ndarray:
    """(i, j, k) bool, the voxels of a box that are no farther from one voxel than from another."""
    metric = affine[:3, :3].T @ affine[:3, :3]
    towards = metric @ np.subtract(other, index)
    middle = towards @ np.add(other, index) / 2
    i, j, k = (np.arange(side.start, side.stop) * x for side, x in zip(box, towards))
    return i[:, None, None] + (j[:, None] + (k - middle)) <= 0


def _box(index: tuple[int, int, int], extent: float, affine: np.ndarray, shape: tuple[int, int, int]) -> Box:
    """What lies within `extent` mm of a voxel, along the axes of the image."""
    reach = np.ceil(extent / np.linalg.norm(affine[:3, :3], axis=0)).astype(int)
    return tuple(slice(max(0, i - r), min(n, i + r + 1)) for i, r, n in zip(index, reach.tolist(), shape))
