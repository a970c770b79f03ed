"""Between SimpleITK (LPS, arrays as KJI) and the backend's images (RAS, arrays as IJK)."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import Iterator

import numpy as np
import SimpleITK as sitk

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def from_itk(image: sitk.Image) -> tuple[np.ndarray, np.ndarray]:
    """Array (C, I, J, K) and affine (4, 4; voxel index to RAS mm) of a 2D or 3D image.

    A 2D image gets K = 1 and a thickness of 1 mm.
    """
    array = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() == 1:
        array = array[..., np.newaxis]
    size = image.GetDimension()
    if size == 2:
        array = array[np.newaxis]
    affine = np.eye(4)
    affine[:size, :size] = np.reshape(image.GetDirection(), (size, size)) * image.GetSpacing()
    affine[:size, 3] = image.GetOrigin()
    return array.transpose(3, 2, 1, 0), LPS_TO_RAS @ affine


def to_itk(array: np.ndarray, affine: np.ndarray) -> sitk.Image:
    """3D image of an array (I, J, K), or of (I, J, K, N) with N components; affine (4, 4), voxel index to RAS mm."""
    kji = array.transpose(2, 1, 0, *range(3, array.ndim))
    image = sitk.GetImageFromArray(np.ascontiguousarray(kji), isVector=array.ndim == 4)
    lps = LPS_TO_RAS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def reason(error: RuntimeError) -> str:
    """The telling line of SimpleITK's many-line message."""
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and not line.startswith("Reason:")]  # errno of some earlier call
    if not lines:
        return "no reason given"
    return re.sub(r"^(sitk::ERROR: |ITK ERROR: )?(\w+\(0x[0-9a-f]+\): )?", "", lines[-1]).rstrip(".")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep ITK and the C libraries below it from writing to the process's stderr: our one clear line says it.

    The file descriptor is redirected for the whole process, so keep the block short.
    """
    try:
        saved = os.dup(2)
    except OSError:  # a GUI program without stderr
        yield
        return
    devnull = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(devnull)
        os.close(saved)
