"""Are a result's structures like those of the training cases: their volume, and how much of them the image cuts?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..models.package import Label, ModelPackage
from ..uncertainty.statistics import withheld

BORDER = 0.02  # share of a structure's voxels on the image's faces from which it is taken for cut, at least
VOLUME = 1.25  # a volume may be so many times outside the range of the training cases
# why what was fitted does not hold for a structure
SIZE, CUT = "its volume is outside the range of the training cases", "the image may cut it"
UNCALIBRATED = "the model is not calibrated for it"


def strictest(packages: Sequence[ModelPackage], labels: Sequence[Label]) -> dict[str, dict]:
    """Label value -> `volume`, [least, most] in mm^3, and `border`, the largest share on the image's faces: what is
    inside these is inside those of all packages' `distribution`. Labels that no package knows are left out."""
    out = {}
    for key in (str(label.value) for label in labels):
        known = [entries[key] for p in packages if key in (entries := p.distribution.get("structures", {}))]
        if known:
            lows, highs = zip(*(entry["volume"] for entry in known))
            out[key] = {"volume": [max(lows), min(highs)], "border": min(entry["border"] for entry in known)}
    return out


def oddities(entry: Mapping, volume: float, share: float) -> list[str]:
    """Which of SIZE and CUT hold.  entry: of a structure, as in strictest.  volume: mm^3.  share: see border_share."""
    low, high = entry["volume"]
    odd = [] if low / VOLUME <= volume <= high * VOLUME else [SIZE]
    return [*odd, CUT] if share > max(BORDER, entry["border"]) else odd


def judged(
    segments: Sequence[dict], before: Mapping[int, str | None], calibration: Mapping, labelmap: np.ndarray, voxel: float
) -> list[dict]:
    """The statistics of the structures, without the expected Dice where there is a reason (see statistics.withheld).

    before: by label value, the reasons known before; SIZE and CUT are judged anew where the structure's range is known,
    others stay.  calibration: with the ranges as `structures`, see strictest.  labelmap: (I, J, K).  voxel: mm^3.
    """
    ranges, fitted = calibration.get("structures", {}), calibration.get("expected_dice", {})
    edge, out = faces(labelmap), []
    for segment in segments:
        value, volume = segment["label"], segment["volume_mm3"]
        why = before.get(value)
        if str(value) not in fitted:
            why = UNCALIBRATED if why in (None, SIZE, CUT) else why
        elif str(value) in ranges and why in (None, SIZE, CUT):
            share = np.count_nonzero(edge == value) / round(volume / voxel) if volume else 0.0
            why = next(reversed(oddities(ranges[str(value)], volume, share)), None)
        out.append(withheld(segment, why))
    return out


def border_share(mask: np.ndarray) -> float:
    """Share in [0, 1] of a mask's voxels that lie on the image's faces; axes of one voxel have none. 0 where it is
    empty."""
    count = np.count_nonzero(mask)
    return np.count_nonzero(faces(mask)) / count if count else 0.0


def faces(array: np.ndarray) -> np.ndarray:
    """The values, in a row, of the voxels on an image's faces, each once; axes of one voxel have none."""
    found, inner = [array[:0].ravel()], array
    for axis, count in enumerate(array.shape):
        if count > 1:
            found += [inner[(slice(None),) * axis + (end,)].ravel() for end in (0, -1)]
            inner = inner[(slice(None),) * axis + (slice(1, -1),)]
    return np.concatenate(found)
