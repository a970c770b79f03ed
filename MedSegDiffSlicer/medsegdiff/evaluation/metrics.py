"""How well one segmentation agrees with its reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..image import Image
from ..uncertainty.aggregation import bounding_box

TOLERANCE = 1.0  # mm, of the surface Dice
METRICS = ("dice", "iou", "hd95_mm", "surface_dice", "volume_error_mm3", "volume_error_percent")


def compare(
    predicted: np.ndarray, reference: np.ndarray, grid: Image, values: Sequence[int], tolerance: float = TOLERANCE
) -> list[dict[str, float | int | None]]:
    """Compares two label maps, structure by structure.

    predicted, reference: (I, J, K) whole numbers; of a 2D image, one of them is 1.  grid: an image whose voxels they
    share (distances are reckoned with its spacing, as if its axes were orthogonal).  values: labels to compare.
    tolerance: of the surface Dice, in mm.
    Each entry holds `label`, METRICS, `volume_mm3` and `reference_volume_mm3`. IoU, 95th percentile of the Hausdorff
    distance and surface Dice are MONAI's, on voxel surfaces. A structure absent from both agrees fully (1,
    and 0 mm); absent from one: 0, and the distance is None. Volume error: predicted less reference; in percent None
    without reference.
    """
    return [
        {"label": int(value), **_compare_masks(predicted == value, reference == value, grid, tolerance)}
        for value in values
    ]


def agree_on_absence(values: Sequence[int]) -> list[dict[str, float | int | None]]:
    """What `compare` gives for labels that neither label map has."""
    nothing = Image(np.zeros((1, 1, 1, 1), np.uint8), np.eye(4))
    return compare(nothing.array[0], nothing.array[0], nothing, values)


def mean_dice(predicted: np.ndarray, reference: np.ndarray, values: Sequence[int]) -> float:
    """Dice of two label maps (I, J, K), mean over the labels in `values`; 1 for one that neither has."""
    return float(np.mean([_dice(predicted == value, reference == value) for value in values]))


def _dice(predicted: np.ndarray, reference: np.ndarray) -> float:
    size = np.count_nonzero(predicted) + np.count_nonzero(reference)
    return 2 * np.count_nonzero(predicted & reference) / size if size else 1.0


def _compare_masks(
    predicted: np.ndarray, reference: np.ndarray, grid: Image, tolerance: float
) -> dict[str, float | None]:
    flat = next((axis for axis in (2, 1, 0) if predicted.shape[axis] == 1), None)
    volume, expected = predicted.sum() * grid.voxel_volume, reference.sum() * grid.voxel_volume
    dice = _dice(predicted, reference)
    if volume and expected:
        box = bounding_box(predicted | reference, 0)
        iou, distance, surface = _monai(predicted[box], reference[box], grid.spacing, tolerance, flat)
    else:
        iou = surface = dice
        distance = 0.0 if volume == expected else None
    return {
        "dice": dice,
        "iou": iou,
        "hd95_mm": distance,
        "surface_dice": surface,
        "volume_mm3": float(volume),
        "reference_volume_mm3": float(expected),
        "volume_error_mm3": float(volume - expected),
        "volume_error_percent": float(100 * (volume - expected) / expected) if expected else None,
    }


def _monai(
    predicted: np.ndarray, reference: np.ndarray, spacing: Sequence[float], tolerance: float, flat: int | None
) -> tuple[float, float, float]:
    """IoU, HD95 (the larger of both directions' percentiles) in mm, surface Dice.  flat: the axis that a 2D image
    lacks: its structures have no surface there, as those that lie in one slice of a volume have."""
    import torch
    from monai.metrics import compute_hausdorff_distance, compute_iou, compute_surface_dice

    plane = [axis for axis in range(3) if axis != flat]
    y_pred, y = (
        torch.from_numpy(np.ascontiguousarray(mask if flat is None else mask.squeeze(flat)))[None, None].float()
        for mask in (predicted, reference)
    )
    pair = {"y_pred": y_pred, "y": y, "include_background": True}
    spacing = [spacing[axis] for axis in plane]
    results = (
        compute_iou(**pair),
        compute_hausdorff_distance(**pair, percentile=95, spacing=spacing),
        compute_surface_dice(**pair, class_thresholds=[tolerance], spacing=spacing),
    )
    return tuple(float(result) for result in results)
