"""Numbers of a structure: volume with its interval, surface, uncertainty, agreement of the opinions, expected Dice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .aggregation import Places, aggregate_sparse, bounding_box, places_of
from .calibration import dice_features, predict_dice
from .all_labels import AllLabels, Probability, labels_of
from .likeliest import LikeliestLabels
from .measures import binary_entropy, slabs

UNDOUBTED = 0.01  # what is at most this likely to be otherwise counts as sure


@dataclass(frozen=True)
class Doubt:
    """The voxels that are not sure.  probability: (L, N) of each label there."""

    places: Places
    probability: AllLabels | LikeliestLabels

    def of(self, value: int) -> tuple[Places, np.ndarray]:
        """Where a structure is in doubt, and the nats of "this label or not" there."""
        there, probability = self.probability.known(value)
        return Places(*(x[there] for x in self.places)), binary_entropy(probability)


def find_doubt(probability: Probability) -> Doubt:
    """The voxels of (L, I, J, K) label probabilities where no label has more than 1 - UNDOUBTED."""
    likely = labels_of(probability)
    some = np.zeros(likely.shape[1:], bool)
    for part in slabs(some.shape):
        there = likely[:, part]
        at = np.flatnonzero(there[0] <= 1 - UNDOUBTED)
        some[part].reshape(-1)[at] = there.take(at).max() <= 1 - UNDOUBTED
    at = np.flatnonzero(some)
    return Doubt(places_of(at, some.shape), likely.take(at))


def structure_statistics(
    value: int,
    labelmap: np.ndarray,
    probability: Probability,
    expected_entropy: np.ndarray,
    own_expected_entropy: np.ndarray | None,
    doubt: Doubt,
    common: np.ndarray,
    affine: np.ndarray,
    calibration: dict,
    weights: np.ndarray | None = None,
) -> dict:
    """Statistics of one label, as plain numbers.

    value: the label.  labelmap: (I, J, K).  probability: (L, I, J, K).  expected_entropy: (I, J, K), of the members;
    own_expected_entropy: of "this structure or not", None where it was not kept.  doubt: find_doubt(probability).
    common: (S, S) voxels of this label that two samples share, see packing.overlaps.  affine: (4, 4) voxel index to RAS
    mm.  calibration: the model package's.  weights: (S,) of the samples, summing to 1; None for all the same.
    Returns volume_mm3, volume_interval_mm3 ([low, high], 95 %, within the image; [0, 0] where neither segmentation nor any sample has the
    structure, which does not tell that there is none), surface_area_mm2, mean_uncertainty (entropy over all
    labels in nats, over the structure), mean_mutual_information (likewise; None of a single sample), uncertainty (see
    aggregation; entropy of "this structure or not" in nats), mutual_information (its epistemic part, in the same ways;
    None also where own_expected_entropy is), worst_uncertainty (one of the uncertainties), sample_agreement (mean pairwise Dice in
    [0, 1]) and expected_dice (in [0, 1]); None where a number does not exist.
    """
    whole, likely = labelmap == value, labels_of(probability)
    at = np.flatnonzero(whole)
    voxel, voxels, own = float(abs(np.linalg.det(affine[:3, :3]))), len(at), likely.take(at)
    (places, own_entropy), epistemic = doubt.of(value), None
    aggregates = aggregate_sparse(places, own_entropy, whole)
    several = len(common) > 1
    if own_expected_entropy is not None and several:
        disagreement = np.maximum(own_entropy - own_expected_entropy.reshape(-1).take(places.at), 0)
        epistemic = aggregate_sparse(places, disagreement, whole)
    volume = voxels * voxel
    total = own.entropy.mean() if voxels else 0
    soft = soft_dice(np.ones(voxels, bool), own[value], likely.total(value))
    volumes, agreement = np.diagonal(common) * voxel, mean_pairwise_dice(common, weights)
    low, high = volume_interval(volume, volumes, relative_error(calibration, value), weights)
    entry = calibration.get("expected_dice", {}).get(str(value))
    return {
        "volume_mm3": volume,
        "volume_interval_mm3": [low, min(high, labelmap.size * voxel)],
        "surface_area_mm2": surface_area(whole[bounding_box(whole, 0)], affine) if voxels else 0.0,
        "mean_uncertainty": float(total) if voxels else None,
        "mean_mutual_information": (
            max(0.0, float(total - expected_entropy.take(at).mean())) if voxels and several else None
        ),
        "worst_uncertainty": aggregates["worst"],
        "uncertainty": aggregates,
        "mutual_information": epistemic,
        "sample_agreement": agreement,
        "expected_dice": predict_dice(entry, dice_features(soft, agreement, volume)),
    }


def withheld(numbers: dict, why: str | None) -> dict:
    """Statistics of one label, without expected_dice where there is a reason, which expected_dice_withheld tells: the
    fit knows nothing of cases beyond those it was fitted on."""
    expected = numbers["expected_dice"] if why is None else None
    return {**numbers, "expected_dice": expected, "expected_dice_withheld": why}


def case_uncertainty(labelmap: np.ndarray, doubt: Doubt) -> dict[str, float | None]:
    """Aggregates (see aggregation) of the entropy over all labels in nats; the structure is all foreground.

    labelmap: (I, J, K).  doubt: find_doubt of the probabilities.
    """
    return aggregate_sparse(doubt.places, doubt.probability.entropy, labelmap > 0)


def surface_area(mask: np.ndarray, affine: np.ndarray) -> float:
    """Surface of a structure in mm^2 by Crofton's formula (Lehmann & Legland, 2012, Insight Journal; by SimpleITK):
    within a few per cent for round shapes of more than 5 voxels' radius, a tenth too small for boxes along the axes.

    mask: (I, J, K) bool; its faces at the array's edge count.  affine: (4, 4) voxel index to RAS mm, without shear.
    """
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.pad(mask, 1).astype(np.uint8))
    image.SetSpacing(np.linalg.norm(affine[:3, :3], axis=0)[::-1].tolist())  # ITK's first axis is the array's last
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.ComputePerimeterOn()
    shape.Execute(image)
    return float(shape.GetPerimeter(1))


def volume_interval(
    volume: float, volumes: np.ndarray, relative: float, weights: np.ndarray | None = None
) -> list[float]:
    """95 % prediction interval [low, high] in mm^3 around the fused volume.

    volumes: (S,) of the samples; their spread enters with Student's t for a new draw (factor sqrt(1 + 1/n)).
    relative: 95 % bound of the model's own relative volume error on validation cases, added in quadrature.
    weights: (S,) of the samples, summing to 1; None for all the same. The spread is then the unbiased weighted one, and
      n is Kish's effective number of samples, 1 / sum of squared weights, but no fewer than 2.
    """
    from scipy.special import stdtrit

    n = len(volumes)
    spread = 0.0
    if n > 1:
        deviation = volumes.std(ddof=1)
        if not _even(weights):
            squares = (weights * (volumes - weights @ volumes) ** 2).sum()
            n, deviation = max(2.0, 1 / (weights**2).sum()), np.sqrt(squares / (weights * (1 - weights)).sum())
        spread = float(stdtrit(n - 1, 0.975) * deviation * np.sqrt(1 + 1 / n))
    half = float(np.hypot(spread, relative * volume))
    return [max(0.0, volume - half), volume + half]


def soft_dice(mask: np.ndarray, probability: np.ndarray, total: float | None = None) -> float | None:
    """Dice of a mask with a truth drawn from the probabilities, in expectation of its parts; None where both are empty.
    (Soft Dice confidence, arXiv:2402.10665.)

    total: sum of the probabilities over the whole image where the arrays are a part of it that holds the mask.
    """
    both = float(np.count_nonzero(mask)) + (float(probability.sum()) if total is None else total)
    return 2 * float(probability[mask].sum(dtype=np.float64)) / both if both > 0.5 else None


def relative_error(calibration: dict, value: int) -> float:
    """95 % bound of the relative volume error on validation cases beyond the samples' spread, 0 where there is none."""
    return float(calibration.get("relative_volume_error", {}).get(str(value), 0.0))


def mean_pairwise_dice(common: np.ndarray, weights: np.ndarray | None = None) -> float | None:
    """Mean Dice of all pairs of samples, from packing.overlaps; two empty ones agree. None for a single sample.

    weights: (S,) of the samples; a pair counts as much as the product of its two. None for all the same.
    """
    if len(common) < 2:
        return None
    first, second = np.triu_indices(len(common), 1)
    pairs = None if _even(weights) else weights[first] * weights[second]
    return float(np.average(pairwise_dice(common)[first, second], weights=pairs))


def _even(weights: np.ndarray | None) -> bool:
    return weights is None or bool(np.allclose(weights, weights[0], rtol=1e-9, atol=0))


def pairwise_dice(common: np.ndarray) -> np.ndarray:
    """(S, S) Dice of each pair of samples; 1 where both are empty.  common: (S, S) voxels, see packing.overlaps."""
    total = np.add.outer(np.diagonal(common), np.diagonal(common))
    return np.where(total > 0, 2 * common / np.maximum(total, 1), 1.0)
