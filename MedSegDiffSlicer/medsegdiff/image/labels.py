"""Reading label maps."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np

from ..errors import RequestError
from .image import Image
from .reading import read_image


def read_labels(path: str | os.PathLike[str]) -> Image:
    """A label map: one channel of whole numbers (int64). A mask in black and white (0 and 255 only) holds 0 and 1.

    Raises RequestError as read_image, and where the file has several channels or fractions.
    """
    image = read_image([path])
    if image.array.shape[0] != 1:
        raise RequestError(f"{path} has {image.array.shape[0]} channels; a label map has one")
    if image.array.dtype.kind == "f" and np.any(image.array != np.rint(image.array)):
        raise RequestError(f"{path} is no label map: it holds fractions; give the segmentation, not its probability")
    numbers = image.array.astype(np.int64)
    painted = numbers.max() == 255 and np.isin(numbers, (0, 255)).all()
    return replace(image, array=numbers // 255 if painted else numbers)
