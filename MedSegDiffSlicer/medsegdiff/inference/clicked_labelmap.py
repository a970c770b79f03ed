"""What clicks make of a label map, at once: worked out near the clicks alone, without the numbers that go with it."""

from __future__ import annotations

import numpy as np

from ..uncertainty.click_weights import EXTENT, Opinions, under_clicks
from ..uncertainty.fusion import decide, fused_labelmap
from ..uncertainty.packing import pack_box, pack_labelmap, unpack_box, unpack_labelmap
from .clicks import Clicks, VoxelClick, voxel_clicks
from .result import SegmentResult

NEAR = 2 * EXTENT  # mm to every side of the clicks; what is farther neither changes nor says what does
Box = tuple[slice, slice, slice]


def clicked_labelmap(result: SegmentResult, clicks: Clicks, fusion: str, threshold: float | None) -> np.ndarray:
    """(I, J, K) uint8: the label map of `result.with_clicks(clicks).refuse(fusion, threshold)`, which takes far longer
    on large images.

    For arguments and errors raised see there.
    """
    shape = result.labelmap.shape
    asked = voxel_clicks(clicks, result.affine, shape, result.labels)
    packed = result.packed_samples
    if not asked:
        return result.labelmap_by(fusion, threshold)
    box = _around(asked, shape, result.affine)
    heard = _heard(result, clicks, box)
    if fusion == "mean" or len(packed) == 1:
        out = result.labelmap_by(fusion, threshold)
        out[box] = decide(heard.probability, threshold)
        return out
    packed, there = packed.copy(), [side.stop - side.start for side in box]
    pack_box(packed, np.stack([unpack_labelmap(bits, there) for bits in heard.packed]), box, shape)
    # of the probability, the size alone
    return fused_labelmap(fusion, threshold, result.probability, packed, heard.weights)


def _around(clicks: list[VoxelClick], shape: tuple[int, int, int], affine: np.ndarray) -> Box:
    indices = np.array([index for index, _label in clicks])
    reach = np.ceil(NEAR / np.linalg.norm(affine[:3, :3], axis=0)).astype(int)
    low, high = np.maximum(indices.min(0) - reach, 0), np.minimum(indices.max(0) + reach + 1, shape)
    return tuple(map(slice, low.tolist(), high.tolist()))


def _heard(result: SegmentResult, clicks: Clicks, box: Box) -> Opinions:
    """The opinions on the box under these clicks and those that the result knows already."""
    shape, low = result.labelmap.shape, [side.start for side in box]
    known = [(*click["position"], click["label"]) for click in result.report.get("clicks", [])]
    heeded = [
        (tuple(np.subtract(index, low).tolist()), label)
        for index, label in voxel_clicks((*known, *clicks), result.affine, shape, result.labels)
        if all(side.start <= i < side.stop for i, side in zip(index, box))
    ]
    said = unpack_box(result.packed_samples, box, shape)
    packed = np.stack([pack_labelmap(sample, len(result.labels) + 1) for sample in said])
    there = Opinions(packed, result.weights, result.probability[(slice(None), *box)])
    return under_clicks(there, result.labelmap[box], heeded, result.affine)
