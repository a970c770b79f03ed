"""Kinds of pictures that ITK reads as something else."""

from __future__ import annotations

import warnings
from pathlib import Path

BLACK_AND_WHITE, GREY_WITH_ALPHA = "1", "LA"


def kind_of_picture(path: Path) -> str:
    """As Pillow names it ("L", "RGB", ...); empty where Pillow does not know the file."""
    from PIL import Image as Picture

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures
            with Picture.open(path) as picture:
                return picture.mode
    except (OSError, ValueError, Picture.DecompressionBombError):
        return ""
