"""Alternatives and doubtful regions: as plain data for the report, and in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..image.volume_text import in_ml

if TYPE_CHECKING:
    from ..inference.result import SegmentResult
    from ..uncertainty.alternatives import Alternative


def alternatives_entry(alternatives: Sequence[Alternative], result: SegmentResult) -> list[dict[str, Any]]:
    """For each alternative its probability, its members (numbers of samples, from 0) and the structures' volumes in
    mm^3."""
    import numpy as np

    voxel = float(abs(np.linalg.det(result.affine[:3, :3])))
    entries = []
    for one in alternatives:
        voxels = {label.name: np.count_nonzero(one.labelmap == label.value) for label in result.labels}
        volumes = {name: float(count * voxel) for name, count in voxels.items()}
        entries.append({"probability": one.probability, "members": list(one.members), "volumes_mm3": volumes})
    return entries


def regions_entry(result: SegmentResult) -> list[dict[str, Any]]:
    """The places to look at, the first one first: see uncertainty.regions.Region."""
    return [region.to_dict() for region in result.regions()]


def in_words(report: dict[str, Any]) -> list[str]:
    """Lines for the terminal: the alternatives where there are several, and the first place to look at; what correcting
    it may gain only where the model knows its Dice."""
    lines = []
    if len(report["alternatives"]) > 1:
        lines.append("alternatives: " + "; ".join(_alternative(one) for one in report["alternatives"]))
    if report["regions"]:
        first = report["regions"][0]
        place, voxel = (", ".join(str(round(part)) for part in first[name]) for name in ("position", "index"))
        line = f"look first at: {first['structure']}, RAS {place} mm (voxel {voxel}, counted from 0)"
        (segment,) = (one for one in report["segments"] if one["label"] == first["label"])
        if segment["expected_dice_withheld"] is None:
            line += f", where its Dice may rise by {first['dice_change']:.3f}"
        lines.append(line)
    return lines


def _alternative(entry: dict[str, Any]) -> str:
    volumes = ", ".join(f"{name} {in_ml(volume)} ml" for name, volume in entry["volumes_mm3"].items())
    return f"{entry['probability']:.0%} {volumes}"
