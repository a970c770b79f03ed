"""Reading a case: one file or DICOM folder a channel, or files that hold several channels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Sequence, Union

import SimpleITK as sitk

from ..errors import RequestError
from .common_grid import joined, same_grid
from .dicom import read_series
from .image import Image
from .itk import from_itk, quiet, reason
from .metaimage import is_damaged, is_metaimage
from .names import DICOM, PICTURES, VOLUMES, check_name, is_broken_link, suffix
from .nifti import doubts, is_mirrored, is_nifti, is_second_version, problem
from .pictures import BLACK_AND_WHITE, GREY_WITH_ALPHA, kind_of_picture

PathLike = Union[str, "os.PathLike[str]"]

_COLOURS = ("red", "green", "blue")
_SHEARED = "only supports orthonormal direction"  # ITK's words
_END_OF_JPEG, _TAIL = b"\xff\xd9", 1024  # some programs write a little behind the end


def read_image(paths: PathLike | Sequence[PathLike]) -> Image:
    """Read one case.

    paths: NIfTI, NRRD, MetaImage, PNG, JPEG or TIFF (2D, alpha of colours dropped), a DICOM folder or one file of a
        DICOM series; several are the channels of one case, in that order; those on other grids than the first are
        resampled to it, see common_grid. Components (RGB, vector images) are channels.
    Returns the image with the voxel type of the files and the geometry of the first. Pictures get ITK's geometry, as in
    Slicer: first pixel at the origin, rows to the left, columns to the back, their own pixel size or 1 mm.
    Raises RequestError where a file is missing, unreadable, incomplete, empty, 4D or not finite, or channels do not
    belong together.
    """
    paths = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not paths or "" in map(os.fspath, paths):
        raise RequestError("no input image; give at least one file or DICOM folder")
    paths = [Path(path) for path in paths]
    images = [_read_one(path) for path in paths]
    if len(images) == 1:
        return images[0]
    for path, image in zip(paths[1:], images[1:]):
        pictures = any(suffix(one, PICTURES) is not None for one in (paths[0], path))
        if pictures and not same_grid(images[0], image):
            raise RequestError(
                f"{path} and {paths[0]} are pictures of different sizes; give the channels of one picture"
            )
    return joined(images, [str(path) for path in paths])


def _read_one(path: Path) -> Image:
    check_name(path)
    if is_broken_link(path):
        raise RequestError(f"{path}: a link to {os.readlink(path)}, which is not there; fetch or copy that file")
    if not os.path.exists(path):
        raise RequestError(f"{path}: no such file or folder; check the path")
    if not (path.is_file() or path.is_dir()):
        raise RequestError(f"{path}: a device or a pipe; give a file or a DICOM folder")
    if path.is_dir() or suffix(path, DICOM) is not None:
        image, placed, modality, notes = read_series(path)
    else:
        image = _read_file(path)
        placed, modality, notes = _placed(path, image), "", ()
        if is_nifti(path) and image.GetDimension() == 3:
            notes = doubts(path, image)
    array, affine = from_itk(image)
    picture = suffix(path, PICTURES) is not None
    if picture and array.shape[0] == 4:
        array = array[:3]  # without alpha
    ending = suffix(path, VOLUMES + PICTURES + DICOM) or ""
    name = path.name[: len(path.name) - len(ending)] or path.resolve().name
    if array.shape[0] == 1:
        names: tuple[str, ...] = (name,)
    else:
        parts = _COLOURS if picture else range(1, array.shape[0] + 1)
        names = tuple(f"{name} {part}" for part in parts)
    try:
        return Image(array, affine, names, placed, notes, modalities=(modality,) * len(array) if modality else ())
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from error


def _placed(path: Path, image: sitk.Image) -> bool:
    """Whether the file tells where the axes point: not so NIfTI files without qform and sform, or where one is the
    mirror image of the other, and NRRD files without space."""
    if suffix(path, (".nrrd", ".nhdr")) is not None:
        return _tells_space(path)
    known = set(image.GetMetaDataKeys())
    if codes := known & {"qform_code", "sform_code"}:
        told = [image.GetMetaData(code).strip() not in ("", "0") for code in codes]
        return any(told) and not (all(told) and is_mirrored(path, image))
    return True


def _tells_space(path: Path) -> bool:
    """Of an NRRD file, whose header is text up to an empty line; ITK does not tell."""
    with open(path, "rb") as stream:
        for line in stream:
            if not line.strip():
                return False
            if line.lower().startswith(b"space:"):
                return True
    return False


def _read_file(path: Path) -> sitk.Image:
    """A volume or picture; RequestError unless it is one whole 2D or 3D image."""
    ending = suffix(path, VOLUMES + PICTURES)
    if ending is None:
        known = " ".join(VOLUMES + PICTURES)
        raise RequestError(f"{path}: not a known image type; give {known}, or a DICOM folder")
    if not os.access(path, os.R_OK):
        raise RequestError(f"{path}: no permission to read it; change its access rights")
    if path.stat().st_size == 0:
        raise RequestError(f"{path}: the file is empty (0 bytes); copy or export it again")
    kind = kind_of_picture(path) if ending in PICTURES else ""
    if kind == GREY_WITH_ALPHA:
        raise RequestError(f"{path}: a grey picture with transparency; save it without transparency")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quiet():
            reader.ReadImageInformation()
            _check_header(path, ending, reader)
            image = reader.Execute()
    except RuntimeError as error:
        remedy = "resample it to axes at right angles" if _SHEARED in str(error) else "copy or export it again"
        if is_nifti(path) and is_second_version(path):
            remedy = "it is NIfTI-2; convert it to NIfTI-1 or NRRD"
        if not path.name.endswith(ending):
            remedy = f"rename it, so that it ends in {ending}; where that does not help, {remedy}"
        raise RequestError(f"{path}: cannot be read as {ending} ({reason(error)}); {remedy}") from error
    if kind == BLACK_AND_WHITE and image.GetNumberOfComponentsPerPixel() > 1:
        return sitk.VectorIndexSelectionCast(image, 0)
    return image[:, :, :, 0] if image.GetDimension() == 4 else image


def _check_header(path: Path, ending: str, header: sitk.ImageFileReader) -> None:
    size = header.GetSize()
    if 0 in size:
        raise RequestError(f"{path}: the image is empty (size {'x'.join(map(str, size))}); choose another one")
    if len(size) > 4 or (len(size) == 4 and size[3] > 1):
        raise RequestError(
            f"{path}: a 4D series of {size[3]} volumes (size {'x'.join(map(str, size))}); split it and give one 3D "
            "volume, or one file for each channel"
        )
    if ending in PICTURES and len(size) > 2 and size[2] > 1:
        raise RequestError(f"{path}: a picture of {size[2]} pages; give one page, or convert it to NIfTI or NRRD")
    if ending in (".jpg", ".jpeg") and _END_OF_JPEG not in path.read_bytes()[-_TAIL:]:
        raise RequestError(f"{path}: the file is truncated; copy or export it again")  # ITK would fill it up with grey
    if is_nifti(path) and (wrong := problem(path)):
        raise RequestError(f"{path}: {wrong}")
    if is_metaimage(path) and is_damaged(path):
        raise RequestError(f"{path}: the file is damaged; copy or export it again")
