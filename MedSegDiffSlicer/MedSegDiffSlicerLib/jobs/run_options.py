"""What the panel's advanced choices mean as options of a run (medsegdiff's SegmentRequest)."""

from __future__ import annotations

from medsegdiff.inference.request import PRECISIONS, SAMPLERS, VARIANTS
from medsegdiff.uncertainty.rules import FUSIONS, MEASURES

AUTO = "auto"  # the model's own, or what suits the machine
NONE = "none"  # of variants: only the scan as it is
CHOICES = {
    "sampler": (AUTO, *SAMPLERS),
    "fusion": tuple(FUSIONS),
    "device": (AUTO, "cpu", "cuda", "mps"),
    "precision": tuple(PRECISIONS),
}
__all__ = ["AUTO", "CHOICES", "MEASURES", "NONE", "VARIANTS", "options_from"]


def options_from(choices) -> dict:
    """The options that differ from what a run has without them; samples, steps and seed always.

    choices: anything with the attributes samples, steps, seed, sampler, fusion, threshold (0 - 1, 0: the most probable
    label), variants (AUTO, NONE, or names joined by "+"), settle (0: never), device, precision, tile (voxels, 0: auto)
    and otherModels (names joined by "|").
    """
    options = {"samples": choices.samples, "steps": choices.steps, "seed": choices.seed}
    if choices.sampler != AUTO:
        options["sampler"] = choices.sampler
    if choices.fusion != "mean":
        options["fusion"] = choices.fusion
    if choices.threshold > 0:
        options["threshold"] = round(choices.threshold, 3)
    if choices.variants != AUTO:
        options["variants"] = [] if choices.variants == NONE else choices.variants.split("+")
    if choices.settle > 0:
        options["settle"] = round(choices.settle, 4)
    for name in ("device", "precision"):
        if getattr(choices, name) != AUTO:
            options[name] = getattr(choices, name)
    if choices.tile > 0:
        options["tile"] = choices.tile
    return options


def models_from(choices) -> str | list[str]:
    """The model, or the list of all that are asked."""
    others = [name for name in choices.otherModels.split("|") if name and name != choices.model]
    return [choices.model, *others] if others else choices.model
