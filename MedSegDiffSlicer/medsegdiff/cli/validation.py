"""What a fit's validation found, for the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..models.provenance import doubt

if TYPE_CHECKING:
    from ..models.ensembles import Ensemble
    from ..models.package import ModelPackage


def print_dice(package: ModelPackage | Ensemble) -> None:
    """The mean Dice of each structure; on stderr that the cases were too few, if they were."""
    validation = package.training["validation"]
    cases = validation["cases"]
    found = ", ".join(f"{value:.3f} {name}" for name, value in validation["dice"].items())
    print(f"mean Dice on {cases} validation case{'s'[: cases != 1]}: {found}")
    if few := doubt(validation):
        print(f"warning: {package.name}: Dice and calibration were {few}", file=sys.stderr)
