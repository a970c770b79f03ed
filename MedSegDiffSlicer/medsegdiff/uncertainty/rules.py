"""Names of fusion rules, measures, features and structures, and what a threshold may be; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from typing import TYPE_CHECKING

from ..errors import RequestError

if TYPE_CHECKING:
    from ..models.package import Label

FUSIONS = ("mean", "majority", "staple", "multilabel-staple")
MEASURES = ("entropy", "expected-entropy", "mutual-information", "variance")
DICE_FEATURES = ("soft_dice", "sample_agreement", "log_volume")  # what the expected Dice may depend on, see calibration


def check_fusion(fusion: str) -> None:
    """Raises RequestError unless it is one of FUSIONS."""
    if fusion not in FUSIONS:
        raise RequestError(f"fusion '{fusion}' is unknown; choose one of {', '.join(FUSIONS)}")


def check_threshold(threshold: float | None) -> None:
    """Raises RequestError unless the threshold is None or in (0, 1)."""
    if threshold is None:
        return
    if isinstance(threshold, bool) or not isinstance(threshold, Real) or not 0 < threshold < 1:
        raise RequestError(f"threshold {threshold!r} is not a number in (0, 1); 0.5 is usual")


def label_value(labels: Iterable[Label], label: int | str) -> int:
    """The value of a structure that is given by its name or value. Raises RequestError where there is none."""
    labels = list(labels)
    for known in labels:
        if label in (known.name, known.value, str(known.value)):
            return known.value
    names = ", ".join(f"'{known.name}' ({known.value})" for known in labels)
    raise RequestError(f"label {label!r} is unknown; choose one of {names}")
