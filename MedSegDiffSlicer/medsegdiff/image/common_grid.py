"""Channels of one case that lie on different grids, brought to the first one's by their place in the patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from ..errors import RequestError
from .image import Image

TOLERANCE = 0.05  # of the smallest voxel side: how far voxels of one grid may lie apart
LEAST = 0.5  # share of the first channel's voxels that every other one has to show


def joined(images: Sequence[Image], names: Sequence[str]) -> Image:
    """The channels of all images on the grid of the first, a name each for messages.

    Those of another grid are interpolated linearly, along axes of smaller voxels blurred to the size of the first's
    before; where they show nothing they have their least value. The image's `notes` tell which ones.
    Raises RequestError where a grid differs and an image does not say where it lies, or hardly meets the first.
    """
    first, parts, notes = images[0], [images[0].array], list(images[0].notes)
    for name, image in zip(names[1:], images[1:]):
        notes += image.notes
        if same_grid(first, image):
            parts.append(image.array)
            continue
        if not (first.placed and image.placed):
            raise RequestError(
                f"{name} and {names[0]} differ in their grids ({_size(image)} and {_size(first)} voxels) and do not "
                "say where they lie; resample the channels of a case to one grid"
            )
        array, share = _on_grid(image, first)
        if share < LEAST:
            raise RequestError(
                f"{name} shows {100 * share:.0f} % of what {names[0]} shows: do they belong together? Give the "
                "channels of one case, of one place"
            )
        parts.append(array)
        partly = "" if share > 0.995 else f", of which it shows {100 * share:.0f} %"
        notes.append(f"{name} was resampled to the grid of {names[0]}{partly}")
    known = sum((image.channel_names for image in images), ())
    told = sum((image.modalities or ("",) * len(image.array) for image in images), ())
    array = parts[0] if len(parts) == 1 else np.concatenate(parts)
    names = known if len(known) == len(array) else ()
    return replace(first, array=array, channel_names=names, modalities=told if any(told) else (), notes=tuple(notes))


def same_grid(one: Image, other: Image) -> bool:
    """Whether their voxels lie at the same places."""
    if one.shape != other.shape:
        return False
    corners = np.array([(*corner, 1) for corner in product(*((0, n - 1) for n in one.shape))], dtype=float).T
    apart = np.linalg.norm(((other.affine - one.affine) @ corners)[:3], axis=0).max()
    return bool(apart <= TOLERANCE * min(one.spacing))


def _on_grid(image: Image, reference: Image) -> tuple[np.ndarray, float]:
    """(C, I, J, K) float32 on the reference's grid, and the share of its voxels that the image shows."""
    import SimpleITK as sitk

    from .itk import to_itk

    steps = np.abs(np.linalg.inv(image.affine[:3, :3]) @ reference.affine[:3, :3]).max(1)  # in voxels of the image
    grid = to_itk(np.empty(reference.shape, np.uint8), reference.affine)
    result, share = np.empty((len(image.array), *reference.shape), np.float32), 1.0
    for source, target in zip(image.array, result):
        moving = to_itk(blurred(source.astype(np.float32), steps), image.affine)
        target[...] = sitk.GetArrayFromImage(
            sitk.Resample(moving, grid, sitk.Transform(), sitk.sitkLinear, float("nan"))
        ).T
        outside = np.isnan(target)
        target[outside] = source.min()
        share = 1 - np.count_nonzero(outside) / outside.size
    return result, share


def blurred(array: np.ndarray, factors: Sequence[float]) -> np.ndarray:
    """(I, J, K) as seen by voxels that are so many times larger; factors up to 1 change nothing. Gaussians of equal
    width at half maximum (Cardoso et al., "Scale factor point spread function matching", MICCAI 2015)."""
    from scipy.ndimage import gaussian_filter1d

    for axis, factor in enumerate(factors):
        if factor > 1:
            sigma = np.sqrt((factor**2 - 1) / (8 * np.log(2)))
            array = gaussian_filter1d(array, sigma, axis=axis, mode="nearest", truncate=3.0)
    return array


def _size(image: Image) -> str:
    return "x".join(map(str, image.shape))
