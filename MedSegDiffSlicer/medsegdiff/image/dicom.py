"""DICOM series, ordered by slice position."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import SimpleITK as sitk

from ..errors import RequestError
from .damaged_slices import damaged_slices
from .itk import quiet, reason
from .names import check_name, is_broken_link
from .slice_places import ORIENTATION, POSITION, SPACING, check_places, numbers, place_in_header, places_of_frames

_MODALITY = "0008|0060"
_DESCRIPTION = "0008|103e"
_THICKNESS = "0018|0050"
_BETWEEN = "0018|0088"
_OF_SLICES = (POSITION, ORIENTATION, SPACING)
_VALUES = ("0028|0100", "0028|0103", "0028|1052", "0028|1053")  # bits, sign, rescale intercept and slope


class Series(NamedTuple):
    """placed, notes: see Image.  modality: "MR", "CT", ...; empty where it is not told, or "OT", another one."""

    image: sitk.Image
    placed: bool
    modality: str
    notes: tuple[str, ...]


def read_series(path: Path) -> Series:
    """The one series in a folder (or its subfolders), or the series that a DICOM file belongs to.

    Raises RequestError where there is no series, several, one whose slices or frames do not form a regular grid, or one
    beside which lies a damaged slice.
    """
    reader = sitk.ImageSeriesReader()
    reader.MetaDataDictionaryArrayUpdateOn()
    try:
        with quiet():
            files = _series_of(path) if path.is_file() else _only_series(path)
            reader.SetFileNames(files)
            image = sitk.ReadImage(files[0]) if len(files) == 1 else _read_slices(reader, len(files))
    except RuntimeError as error:
        raise RequestError(f"{path}: the DICOM series cannot be read ({reason(error)}); export it again") from error
    headers = [_header(reader, index) for index in range(len(files))] if len(files) > 1 else [_header(image)]
    places, count = [place_in_header(header) for header in headers], image.GetDepth()
    told = True  # where the slices lie
    if len(files) == 1 and (count > 1 or places[0].position is None):
        frames = places_of_frames(files[0], count)
        told, places = frames is not None or count == 1, frames or places
    if count > 1 and told:
        check_places(path, image, places)
    elif image.HasMetaDataKey(_THICKNESS) and not image.HasMetaDataKey(_BETWEEN):
        thickness = numbers(image.GetMetaData(_THICKNESS), 1)
        if thickness and thickness[0] > 0:
            image.SetSpacing((*image.GetSpacing()[:2], thickness[0]))  # ITK would say 1 mm
    position, orientation, spacing = places[0]
    unsized = image.GetSpacing()[:2] == (1, 1) and not (spacing and min(spacing) > 0)
    notes = (f"{path} does not tell the size of its pixels: 1 mm is taken, else all volumes are wrong",) * unsized
    modality = headers[0].get(_MODALITY, "")
    placed = not told or None not in (position, orientation)
    return Series(image, placed, modality if modality != "OT" else "", notes)


def _read_slices(reader: sitk.ImageSeriesReader, count: int) -> sitk.Image:
    """The volume; of 32-bit floats where slices differ in what their numbers mean, as ITK takes the first one's type
    for all."""
    image = reader.Execute()
    told = [_header(reader, index) for index in range(count)]
    if len({tuple(header.get(key) for key in _VALUES) for header in told}) == 1:
        return image
    one = image.GetNumberOfComponentsPerPixel() == 1
    reader.SetOutputPixelType(sitk.sitkFloat32 if one else sitk.sitkVectorFloat32)
    return reader.Execute()


def _header(reader: sitk.Image | sitk.ImageSeriesReader, *index: int) -> dict[str, str]:
    """Those of a slice's values that are looked at; index: which slice, of a series."""
    known = [key for key in (*_OF_SLICES, *_VALUES, _MODALITY) if reader.HasMetaDataKey(*index, key)]
    return {key: reader.GetMetaData(*index, key).strip() for key in known}


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
    """Files, by position, of each series that lies directly in a folder. Refuses links to what is not there, as GDCM
    would leave out other files for them."""
    for path in sorted(folder.iterdir()):
        check_name(path)
        if is_broken_link(path) and not path.name.startswith("."):  # as editors leave them
            raise RequestError(
                f"{path}: a link to {os.readlink(path)}, which is not there; fetch or copy that file, or remove it"
            )
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
    reader = sitk.ImageFileReader()
    reader.SetFileName(files[0])
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError:
        return "unreadable"
    told = reader.GetMetaData(_DESCRIPTION).strip() if reader.HasMetaDataKey(_DESCRIPTION) else ""
    return told or "without description"
