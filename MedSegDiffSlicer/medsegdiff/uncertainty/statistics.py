"""Numbers of a structure: volume with its interval, agreement of the opinions, expected Dice."""

from __future__ import annotations

import numpy as np

_BITS = np.array([bin(v).count("1") for v in range(256)], np.uint8)


def structure_statistics(
    value: int,
    labelmap: np.ndarray,
    probability: np.ndarray,
    uncertainty: np.ndarray,
    packed: np.ndarray,
    voxel_volume: float,
    calibration: dict,
) -> dict:
    """Statistics of one label, as plain numbers.

    value: the label.  labelmap: (I, J, K).  probability: (I, J, K) of this label.  uncertainty: (I, J, K) entropy in nats.
    packed: (S, bytes) this label's bits of each sample.  voxel_volume: mm^3.  calibration: the model package's.
    Returns volume_mm3, volume_interval_mm3 ([low, high], 95 %), mean_uncertainty (nats, over the structure), sample_agreement
    (mean pairwise Dice in [0, 1]) and expected_dice (in [0, 1]); None where a number does not exist.
    """
    mask = labelmap == value
    voxels = int(mask.sum())
    volume = voxels * voxel_volume
    volumes = _BITS[packed].sum(1, dtype=np.int64) * voxel_volume
    return {
        "volume_mm3": volume,
        "volume_interval_mm3": volume_interval(volume, volumes, relative_error(calibration, value)),
        "mean_uncertainty": float(uncertainty[mask].mean()) if voxels else None,
        "sample_agreement": pairwise_dice(packed),
        "expected_dice": calibrated_dice(soft_dice(mask, probability), calibration, value),
    }


def volume_interval(volume: float, volumes: np.ndarray, relative: float) -> list[float]:
    """95 % prediction interval [low, high] in mm^3 around the fused volume.

    volumes: the samples' volumes; their spread enters with Student's t for a new draw (factor sqrt(1 + 1/n)).
    relative: 95 % bound of the model's own relative volume error on validation cases, added in quadrature.
    """
    from scipy.special import stdtrit

    n = len(volumes)
    spread = 0.0
    if n > 1:
        spread = float(stdtrit(n - 1, 0.975) * volumes.std(ddof=1) * np.sqrt(1 + 1 / n))
    half = float(np.hypot(spread, relative * volume))
    return [max(0.0, volume - half), volume + half]


def soft_dice(mask: np.ndarray, probability: np.ndarray) -> float | None:
    """Dice of a mask with a truth drawn from the probabilities, in expectation of its parts; None where both are empty."""
    total = float(mask.sum() + probability.sum(dtype=np.float64))
    return 2 * float(probability[mask].sum(dtype=np.float64)) / total if total > 0.5 else None


def calibrated_dice(soft: float | None, calibration: dict, value: int) -> float | None:
    """Expected Dice from soft_dice by the line fitted on validation cases (identity where the model has none)."""
    if soft is None:
        return None
    offset, slope = calibration.get("expected_dice", {}).get(str(value), (0.0, 1.0))
    return float(np.clip(offset + slope * soft, 0, 1))


def relative_error(calibration: dict, value: int) -> float:
    """95 % bound of the relative volume error on validation cases beyond the samples' spread, 0 where the model has none."""
    return float(calibration.get("relative_volume_error", {}).get(str(value), 0.0))


def pairwise_dice(packed: np.ndarray) -> float | None:
    """Mean Dice of all pairs of samples (S, bytes); two empty ones agree. None for a single sample."""
    n = len(packed)
    if n < 2:
        return None
    sizes = _BITS[packed].sum(1, dtype=np.int64)
    values = []
    for a in range(n):
        for b in range(a):
            total = int(sizes[a] + sizes[b])
            common = int(_BITS[packed[a] & packed[b]].sum(dtype=np.int64))
            values.append(2 * common / total if total else 1.0)
    return float(np.mean(values))
