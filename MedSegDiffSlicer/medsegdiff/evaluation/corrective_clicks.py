"""The click that somebody who knows the truth would make next: in the middle of the largest error."""

from __future__ import annotations

import numpy as np

from ..inference.clicks import VoxelClick


def corrective_click(
    predicted: np.ndarray, reference: np.ndarray, structure: int | None = None, rng: np.random.Generator | None = None
) -> VoxelClick | None:
    """A click into the largest connected part of what is wrong and should be of one label; None where all is right.

    predicted, reference: (I, J, K) labels.  structure: only what is wrong about this label counts; None for all labels.
    rng: draws a voxel of that part, likelier the deeper it lies; None takes the deepest one (practice of interactive
    segmentation: Sofiiuk et al., 2021, arXiv:2102.06583; Diaz-Pinto et al., DeepEdit, 2023, arXiv:2305.10655).
    """
    from scipy.ndimage import distance_transform_edt, find_objects, label

    wrong = predicted != reference
    if structure is not None:
        wrong &= (predicted == structure) | (reference == structure)
    best: tuple[int, int, tuple[slice, ...], np.ndarray] | None = None
    for value in np.unique(reference[wrong]):
        parts, _ = label(wrong & (reference == value))
        sizes = np.bincount(parts.reshape(-1))
        sizes[0] = 0
        largest = int(sizes.argmax())
        if best is None or sizes[largest] > best[0]:
            box = find_objects(parts)[largest - 1]
            best = int(sizes[largest]), int(value), box, parts[box] == largest
    if best is None:
        return None
    _, value, box, part = best
    depth = distance_transform_edt(np.pad(part, 1))[(slice(1, -1),) * 3]
    at = int(depth.argmax()) if rng is None else int(rng.choice(depth.size, p=depth.reshape(-1) / depth.sum()))
    index = np.unravel_index(at, part.shape)
    return VoxelClick(tuple(int(i) + side.start for i, side in zip(index, box)), value)
