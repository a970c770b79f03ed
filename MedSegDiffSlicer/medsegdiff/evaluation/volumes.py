"""Files that hold several volumes: probabilities, samples, the masks of several raters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import RequestError
from ..image import Image, read_image
from ..image.itk import from_itk, quiet, reason
from ..image.labels import read_labels
from ..image.names import VOLUMES, check_name, suffix
from ..image.nifti import is_nifti, problem
from ..image.segmentation_names import layers_in


def read_volumes(path: Path) -> Image:
    """All volumes of a file, (N, I, J, K): the last axis of a 4D NIfTI, or the components of other formats.

    Raises RequestError where the file cannot be read.
    """
    if not is_nifti(path) or _count(path) == 1:
        return read_image(path)
    if wrong := problem(path):
        raise RequestError(f"{path}: {wrong}")
    with quiet():
        series = sitk.ReadImage(str(path))
    volumes = [from_itk(series[..., index]) for index in range(series.GetSize()[3])]
    return Image(np.concatenate([array for array, _ in volumes]), volumes[0][1])


def read_label_maps(path: Path) -> Image:
    """The label maps of a file, (N, I, J, K) whole numbers of the smallest type; a single one is read as
    image.labels.read_labels does.

    Raises RequestError where the file cannot be read or holds fractions.
    """
    if (layers := layers_in(path)) > 1:
        raise RequestError(f"the segments of {path} lie in {layers} layers, as they overlap or may; in Slicer, export "
                           "them to a label map")  # fmt: skip
    if suffix(path, VOLUMES) is None or _count(path) == 1:
        image = read_labels(path)
    else:
        image = read_volumes(path)
        if np.any(image.array != np.rint(image.array)):
            raise RequestError(f"{path} holds fractions, which are no labels; give label maps")
    extremes = int(image.array.min()), int(image.array.max())
    return replace(image, array=image.array.astype(np.result_type(*map(np.min_scalar_type, extremes))))


def _count(path: Path) -> int:
    """Volumes in a file, by its header; 1 where there is none, which whoever reads it will say."""
    if not path.is_file() or path.stat().st_size == 0:
        return 1
    check_name(path)
    header = sitk.ImageFileReader()
    header.SetFileName(str(path))
    try:
        with quiet():
            header.ReadImageInformation()
    except RuntimeError as error:
        raise RequestError(f"{path}: cannot be read ({reason(error)}); copy or export it again") from error
    series = header.GetSize()[3] if header.GetDimension() == 4 else 1
    return series * header.GetNumberOfComponents()
