"""What a package's free-form `training` entry tells, with what is no number left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FEW = 10  # validation cases; figures of fewer say little


def stages(training: Mapping[str, Any]) -> list[int]:
    """The training cases, of the weights that it started from first."""
    start = training.get("start")
    found = (start.get("cases") if isinstance(start, Mapping) else None, training.get("cases"))
    return [cases for cases in found if isinstance(cases, int)]


def doubt(validation: Mapping[str, Any]) -> str:
    """What to think of figures measured on so few cases; empty where they are enough."""
    cases = validation.get("cases")
    if not isinstance(cases, int) or cases >= FEW:
        return ""
    return f"measured on only {cases} case{'s'[: cases != 1]}, too few to rely on; name {FEW} or more in dataset.json"
