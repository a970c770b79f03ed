"""--click: places whose label is known."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import RequestError
from ..uncertainty.rules import label_value

if TYPE_CHECKING:
    from ..models.package import Label

BACKGROUND = ("background", "0")


def add_click_option(parser: argparse.ArgumentParser) -> None:
    """--click, any number of times."""
    parser.add_argument("--click", nargs=4, action="append", default=[], metavar=("R", "A", "S", "LABEL"),
                        help="a place whose label is known: mm, and name or number of the structure, or 'background'; "
                             "can be given several times")  # fmt: skip


def clicks_from(given: Sequence[Sequence[str]], labels: Sequence[Label]) -> list[tuple[float, float, float, int]]:
    """The clicks of a SegmentRequest. labels: the model's structures. Raises RequestError where one cannot be read."""
    clicks = []
    for *place, label in given:
        try:
            r, a, s = map(float, place)
        except ValueError:
            raise RequestError(f"--click {' '.join(place)} {label}: give R, A, S in mm, then the label") from None
        clicks.append((r, a, s, 0 if label.casefold() in BACKGROUND else label_value(labels, label)))
    return clicks
