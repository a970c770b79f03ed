"""DICOM series, ordered by slice position."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import RequestError
from .damaged_slices import damaged_slices
from .itk import quiet, reason
from .names import check_name

_POSITION = "0020|0032"
_MODALITY = "0008|0060"
_DESCRIPTION = "0008|103e"
_THICKNESS = "0018|0050"
_BETWEEN = "0018|0088"
_TOLERANCE = 0.1  # of the slice distance: what rounded positions may be off


def read_series(path: Path) -> sitk.Image:
    """The one series in a folder (or its subfolders), or the series that a DICOM file belongs to.

    Raises RequestError where there is no series, several, one whose slices do not form a regular grid, or one beside
    which lies a damaged slice.
    """
    reader = sitk.ImageSeriesReader()
    reader.MetaDataDictionaryArrayUpdateOn()
    try:
        with quiet():
            files = _series_of(path) if path.is_file() else _only_series(path)
            reader.SetFileNames(files)
            image = sitk.ReadImage(files[0]) if len(files) == 1 else reader.Execute()
    except RuntimeError as error:
        raise RequestError(f"{path}: the DICOM series cannot be read ({reason(error)}); export it again") from error
    if len(files) > 1:
        _check_positions(path, image, reader, len(files))
    elif image.GetSize()[2:] == (1,) and image.HasMetaDataKey(_THICKNESS) and not image.HasMetaDataKey(_BETWEEN):
        thickness = _numbers(image.GetMetaData(_THICKNESS), 1)
        if thickness and thickness[0] > 0:
            image.SetSpacing((*image.GetSpacing()[:2], thickness[0]))  # ITK would say 1 mm
    return image


def modality_of(path: Path) -> str | None:
    """What the one series in a folder, or a DICOM file, tells of its modality ("MR", "CT", ...); None where it tells
    none, or "OT", another one. Raises RequestError where there is no series in the folder, or several."""
    modality = _told([str(path)] if path.is_file() else _only_series(path), _MODALITY)
    return modality if modality not in (None, "", "OT") else None


def _only_series(folder: Path) -> list[str]:
    """Files, by position, of the only series in or below a folder."""
    found = _find_series(folder)
    if not found:
        for parent, _, names in sorted(os.walk(folder)):
            if names and Path(parent) != folder:
                found += _find_series(Path(parent))
    if not found:
        raise RequestError(f"{folder}: no DICOM series found; give a folder of DICOM slices or an image file")
    if len(found) > 1:
        listing = "; ".join(f"{_describe(files)}, {len(files)} slices: {files[0]}" for files in found)
        raise RequestError(
            f"{folder}: holds {len(found)} DICOM series; give the folder or one file of the wanted one: {listing}"
        )
    return _whole(found[0], found)


def _whole(files: list[str], found: list[list[str]]) -> list[str]:
    """The files of a series; refuses one of which slices cannot be read: at its ends, no gap would tell of them.

    found: the files of all series in the folder.
    """
    if damaged := damaged_slices(files, {Path(file).name for series in found for file in series}):
        more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
        raise RequestError(
            f"{damaged[0]}{more}: cannot be read, but seems to be a slice of the DICOM series beside it; export the "
            "series again, or move what is no slice of it elsewhere"
        )
    return files


def _find_series(folder: Path) -> list[list[str]]:
    """Files, by position, of each series that lies directly in a folder."""
    for name in os.listdir(folder):
        check_name(folder / name)
    ids = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    return [list(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), one)) for one in ids]


def _series_of(file: Path) -> list[str]:
    """Files, by position, of the series in the file's folder that holds the file."""
    found = _find_series(file.parent)
    for files in found:
        if any(os.path.samefile(file, other) for other in files):
            return _whole(files, found)
    raise RequestError(f"{file}: not a readable DICOM image; export it again or give another file")


def _describe(files: list[str]) -> str:
    text = _told(files, _DESCRIPTION)
    return "unreadable" if text is None else text or "without description"


def _told(files: list[str], key: str) -> str | None:
    """A text of the first file's header, maybe empty; None where it cannot be read."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(files[0])
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError:
        return None
    return reader.GetMetaData(key).strip() if reader.HasMetaDataKey(key) else ""


def _numbers(text: str, count: int) -> list[float] | None:
    """The numbers of a DICOM value; None unless they are as many as `count`, well-formed and finite."""
    try:
        numbers = [float(part) for part in text.split("\\")]
    except ValueError:
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def _position(reader: sitk.ImageSeriesReader, index: int) -> list[float] | None:
    return _numbers(reader.GetMetaData(index, _POSITION), 3) if reader.HasMetaDataKey(index, _POSITION) else None


def _check_positions(path: Path, image: sitk.Image, reader: sitk.ImageSeriesReader, count: int) -> None:
    """Refuse slices that are missing, doubled, tilted or without a position: their volume would have a wrong shape."""
    found = [_position(reader, index) for index in range(count)]
    if None in found:
        raise RequestError(f"{path}: DICOM slices lack a valid position; give another series or convert it to NIfTI")
    positions = np.array(found)
    expected = np.array([image.TransformIndexToPhysicalPoint((0, 0, index)) for index in range(count)])
    across = np.reshape(image.GetDirection(), (3, 3))[:, 2]
    gaps = np.diff(np.sort(positions @ across))
    if gaps.min() <= 1e-3:
        raise RequestError(
            f"{path}: several slices lie at one position, as in a time series or a set of echoes; keep one volume of it"
        )
    error = np.linalg.norm(positions - expected, axis=1).max()
    if error > _TOLERANCE * np.median(gaps):
        raise RequestError(
            f"{path}: the slices form no regular grid (distances {gaps.min():.3g} to {gaps.max():.3g} mm, up to "
            f"{error:.3g} mm off): slices are missing, mixed or tilted; export the whole series or convert it to NIfTI"
        )
