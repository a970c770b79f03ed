"""The page in a model package, or an ensemble's folder, that tells what it is and how far it can be trusted."""

from __future__ import annotations

from typing import Any

from ..evaluation.calibration_error import Calibration
from ..models.ensembles import Ensemble
from ..models.package import PAGE, ModelPackage
from ..models.provenance import doubt
from .reliability_diagram import draw_reliability

PICTURE = "reliability.png"
_MEANING = {
    "ece": "expected calibration error (ECE) near the structures (15 bins, within 10 voxels, all cases together)",
    "expected_dice_spearman": "rank correlation of expected and true Dice (all structures together)",
    "expected_dice_error": "mean absolute error of the expected Dice",
    "coverage": "share of cases whose volume lies in the 95 % interval",
}


def write_page(package: ModelPackage | Ensemble, measured: Calibration) -> None:
    """Writes docs/README.md and docs/reliability.png. measured: over the validation cases, with the fitted
    calibration."""
    page = package.folder / PAGE
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(_text(package, measured), encoding="utf-8")
    draw_reliability(measured.reliability, package.name).save(page.parent / PICTURE)


def _text(package: ModelPackage | Ensemble, measured: Calibration) -> str:
    validation = package.training.get("validation", {})
    few = doubt(validation)
    lines = [
        f"# {package.name}", "", package.description, "",
        f"Structures: {', '.join(label.name for label in package.foreground)}. Channels: {_channels(package)}. "
        f"{'It knows of clicks. ' if package.clicks else ''}"
        f"Licence: {package.licence or 'not stated'}.", "", package.attribution, "",
        "## How far it can be trusted", "",
        f"Measured on {validation.get('cases', 0)} validation cases with its default options. The calibration was "
        "fitted on the same cases; figures called cross-validated are of cases that the fit had not seen.", "",
        *([f"**All of this was {few}.**", ""] if few else []),
        "| | |", "| --- | ---: |",
    ]  # fmt: skip
    lines += [f"| mean Dice, {name} | {value:.4f} |" for name, value in validation.get("dice", {}).items()]
    lines += [
        f"| {_MEANING[name]}, cross-validated | {value:.4f} |"
        for name, value in validation.get("cross_validated", {}).items()
    ]
    lines += [
        f"| {what} near the structures, all cases together, on the cases of the fit | {measured.scores()[name]:.4f} |"
        for name, what in (("ece", "ECE"), ("brier", "Brier score"), ("nll", "negative log-likelihood"))
    ]
    lines += ["", f"![How often the likeliest label is right, against its probability]({PICTURE})", ""]
    lines += ["The nearer the dots are to the diagonal, the more a probability means what it says.", ""]
    return "\n".join(
        [*lines, *(_members(package) if isinstance(package, Ensemble) else _distribution(package.distribution))]
    )


def _members(ensemble: Ensemble) -> list[str]:
    total = sum(member.weight for member in ensemble.members)
    lines = [
        f"- {one.model}: {one.samples} sample{'s'[: one.samples > 1]}, counting {one.weight:.3g} of {total:.3g}"
        for one in ensemble.members
    ]
    return ["## What it asks together", "", *lines, "", "What these were trained on, their own pages tell.", ""]


def _channels(package: ModelPackage | Ensemble) -> str:
    return ", ".join(f"{c['name']} ({c['modality']})" if c.get("modality") else c["name"] for c in package.channels)


def _distribution(entry: dict[str, Any]) -> list[str]:
    """What the images should be like."""
    if "geometry" not in entry:
        return []
    said = f"Of {entry['cases']} training cases, along the axes that the model wants:"
    lines = ["## What it was trained on", "", said, ""]
    for name, what in (("spacing", "voxel size"), ("extent", "field of view")):
        ranges = ["any" if r is None else f"{r[0]:.3g} to {r[1]:.3g}" for r in entry["geometry"][name]]
        lines.append(f"- {what}, mm: {', '.join(ranges)}")
    return [*lines, "", "Images unlike these get a warning, and a score above 1 (`input_score` in the report).", ""]
