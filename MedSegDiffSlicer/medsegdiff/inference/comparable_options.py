"""Are a run's options those that the model's calibration holds for?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..models.package import ModelPackage
from ..uncertainty.calibration import without_agreement

# options that the opinions, and what is made of them, depend on: of the report's `models`, and of the report itself
OF_MODEL = ("steps", "sampler", "eta", "truncation", "samples", "variants", "dropout")
RULE = ("fusion", "threshold")  # what is made of the opinions, which may change without asking again
OF_ALL = (*RULE, "missing")
# of packages that do not tell them
DEFAULTS = {"eta": 0.0, "truncation": 1.0, "fusion": "mean", "threshold": None, "missing": []}
ENOUGH = 3  # samples, from which on their number hardly changes what they say on average


def options_of(told: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    """The options OF_MODEL and OF_ALL of a run.

    told: a model's entry of the report's `models`.  report: the report, or another mapping with OF_ALL.
    """
    return {name: told[name] for name in OF_MODEL if name in told} | {
        name: report[name] for name in OF_ALL if name in report
    }


def differing(package: ModelPackage, options: Mapping[str, Any]) -> list[str]:
    """The options that are not as in the package's calibration, each as "steps 16 instead of 2".

    options: as from options_of. Options that the package does not tell are compared with DEFAULTS, or not at all.
    """
    known = DEFAULTS | package.distribution.get("opinions", {}).get("asked", {})
    return [
        f"{name} {_said(options[name])} instead of {_said(usual)}"
        for name, usual in known.items()
        if name in options and not comparable(name, options[name], usual)
    ]


def fitting_calibration(package: ModelPackage, options: Mapping[str, Any]) -> tuple[dict, list[str]]:
    """The package's calibration as far as it holds for these options, and what has to be said of that; of the RULE see
    fitting_rule.

    For other options than those it was made with, the expected Dice does without the agreement of the samples, which
    depends on them most.
    """
    calibration = package.calibration
    warnings = uncalibrated(calibration, f"{package.name} is")
    others = differing(package, {name: value for name, value in options.items() if name not in RULE})
    if not others or not told_by(calibration):
        return calibration, warnings
    return without_agreement(calibration), [*warnings, _unfitting(calibration, others)]


def uncalibrated(calibration: Mapping[str, Any], who: str) -> list[str]:
    """What has to be said where nothing, or no volume interval, was fitted to cases with a reference.  who: with the
    verb."""
    if calibration.get("relative_volume_error"):
        return []
    what, also = (" for volumes", "") if told_by(calibration) else ("", ", and the probabilities may be too sure")
    return [
        f"{who} not calibrated{what}: the volume intervals show only how far the opinions lie apart, not how far they "
        f"may be from the truth{also}; calibrate on cases with a reference (medsegdiff calibrate)"
    ]


def fitting_rule(calibration: dict, report: Mapping[str, Any]) -> tuple[dict, list[str]]:
    """Likewise of the RULE and the clicks that a report tells. All calibrations are made with the rule of DEFAULTS, and
    without clicks."""
    if not told_by(calibration):
        return calibration, []
    others = [
        f"{name} {_said(report[name])} instead of {_said(DEFAULTS[name])}"
        for name in RULE if name in report and report[name] != DEFAULTS[name]
    ]  # fmt: skip
    warnings = [_unfitting(calibration, others)] if others else []
    if report.get("clicks"):
        warnings.append(f"{told_by(calibration)} were not fitted for results with clicks: mistrust them")
    return without_agreement(calibration) if warnings else calibration, warnings


def comparable(name: str, value: Any, usual: Any) -> bool:
    """Whether opinions that were asked with this value of an option are like those that were asked with the usual
    one."""
    if name in ("eta", "truncation") and value is None:  # no diffusion model
        return True
    if name == "missing":
        return list(value) == list(usual)
    if name == "samples":
        return value == usual or (value >= ENOUGH and type(usual) is int and usual > 1)
    return value == usual


def told_by(calibration: Mapping[str, Any]) -> str:
    """What a calibration tells of how good results are, in words that ask for a plural; none where it tells nothing."""
    known = {"expected_dice": "expected Dice values", "relative_volume_error": "volume intervals"}
    return " and ".join(words for key, words in known.items() if calibration.get(key))


def _unfitting(calibration: Mapping[str, Any], others: Sequence[str]) -> str:
    return f"{told_by(calibration)} were fitted for other options ({', '.join(others)}): mistrust them"


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " + ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
