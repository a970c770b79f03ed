"""How sure opinions are, in a few numbers, to be compared with those of the training cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ..uncertainty.accumulator import Accumulator
from ..uncertainty.all_labels import Probability
from ..uncertainty.calibration import undone
from ..uncertainty.fusion import fused_labelmap
from ..uncertainty.packing import overlaps, plane_of
from ..uncertainty.scaling import Scaling
from ..uncertainty.statistics import case_uncertainty, find_doubt, mean_pairwise_dice
from .result import SegmentResult

SURENESS = ("mean", "boundary", "relative_sum", "patch")


def describe_opinions(result: SegmentResult) -> dict[str, float]:
    """How sure the opinions are, of all structures together: `soft_dice`, `agreement` of the samples (mean over the
    structures), `volume` (logarithm, mm^3), and SURENESS of the case's entropy (see uncertainty.aggregation). Empty
    where no structure was found; numbers that do not exist are left out."""
    agreements = [segment["sample_agreement"] for segment in result.statistics if segment["volume_mm3"]]
    case = result.report["uncertainty"]
    return _described(result.labelmap, result.probability[0], agreements, result.voxel_volume, case)


def describe_member(opinions: Accumulator, voxel: float, calibration: Mapping | None = None) -> dict[str, float]:
    """Likewise of one model's opinions among those of several, with the mean of them.

    voxel: mm^3.  calibration: of all together, whose scaling each opinion has undergone after that of its model, and
    which is undone. Empty, too, where it cannot be, as in images too large for the probabilities of all labels.
    """
    mean: Probability = opinions.mean()
    scaling = Scaling(undone(calibration or {}, opinions.labels), opinions.labels)
    if scaling.changes:
        if not isinstance(mean, np.ndarray):
            return {}
        mean = scaling(torch.from_numpy(mean)[None])[0].numpy()
    packed = np.stack(opinions.packed)
    labelmap = fused_labelmap("mean", None, mean, packed)
    found = [value for value in range(1, opinions.labels) if (labelmap == value).any()]
    agreements = [mean_pairwise_dice(overlaps(plane_of(packed, value)), opinions.shares) for value in found]
    return _described(labelmap, mean[0], agreements, voxel, case_uncertainty(labelmap, find_doubt(mean)))


def _described(
    labelmap: np.ndarray, background: np.ndarray, agreements: Sequence[float | None], voxel: float, case: Mapping
) -> dict[str, float]:
    """background: (I, J, K) probability.  agreements: of the structures found.  voxel: mm^3.  case: of
    case_uncertainty."""
    found = labelmap > 0
    count = np.count_nonzero(found)
    if not count:
        return {}
    inside = count - float(background[found].sum(dtype=np.float64))
    everywhere = background.size - float(background.sum(dtype=np.float64))
    known = [agreement for agreement in agreements if agreement is not None]
    out = {
        "soft_dice": 2 * inside / (count + everywhere),
        "agreement": float(np.mean(known)) if known else None,
        "volume": float(np.log(count * voxel)),
        **{name: case[name] for name in SURENESS},
    }
    return {name: value for name, value in out.items() if value is not None}
