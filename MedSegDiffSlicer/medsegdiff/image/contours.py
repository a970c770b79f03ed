"""Masks and their outlines at a picture's resolution."""

from __future__ import annotations

import numpy as np
from PIL import Image as Picture
from PIL import ImageFilter


def smooth_mask(mask: np.ndarray, size: tuple[int, int]) -> Picture.Image:
    """A mask at the picture's resolution, its outline smooth through the voxels' edges."""
    plane = Picture.fromarray((mask * 255).astype(np.uint8)).resize(size, Picture.Resampling.BICUBIC)
    return plane.point(lambda v: 255 * (v > 127))


def outline(mask: Picture.Image, width: int) -> Picture.Image:
    """The pixels of the mask that are at most `width` from its edge."""
    inner = np.asarray(mask.filter(ImageFilter.BoxBlur(width))) == 255
    return Picture.fromarray(np.where(inner, 0, np.asarray(mask)))
