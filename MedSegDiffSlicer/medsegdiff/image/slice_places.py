"""Where the slices of a DICOM series lie, as their headers tell it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import SimpleITK as sitk

from ..errors import RequestError

if TYPE_CHECKING:
    import pydicom

POSITION, ORIENTATION, SPACING = "0020|0032", "0020|0037", "0028|0030"
_TOLERANCE = 0.1  # of the slice distance: what rounded positions may be off
_ALIKE = 0.01  # of a direction's length, and of a pixel's size: what rounded ones may differ by


class Place(NamedTuple):
    """position: x, y, z in mm (LPS).  orientation: directions of rows and columns, 6 numbers.  spacing: of rows and of
    columns in mm.  None for what is not told, or malformed."""

    position: list[float] | None
    orientation: list[float] | None
    spacing: list[float] | None


def place_in_header(header: dict[str, str]) -> Place:
    """header: DICOM values by ITK's keys."""
    return Place(*(numbers(header.get(key, ""), n) for key, n in ((POSITION, 3), (ORIENTATION, 6), (SPACING, 2))))


def places_of_frames(file: str, count: int) -> list[Place] | None:
    """Of each of so many frames of one file; None where it tells them otherwise (nuclear medicine, doses), as ITK
    knows. Raises RequestError where the header is damaged, and where the frames' numbers mean different things, as ITK
    takes those of one frame for all."""
    import pydicom

    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
        if len(_rescalings(header)) > 1:
            raise RequestError(f"{file}: the frames are scaled differently (rescale slopes); convert it to NIfTI")
        return _places_in(header, count)
    except RequestError:
        raise
    except Exception as error:  # pydicom raises whatever it stumbles over
        said = " ".join(str(error).split())[:100]
        raise RequestError(f"{file}: the DICOM header cannot be read ({said}); export it again") from None


def _places_in(header: pydicom.Dataset, count: int) -> list[Place] | None:
    import pydicom

    if "PerFrameFunctionalGroupsSequence" not in header:
        return None
    shared = header.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()]
    frames = [*header.get("PerFrameFunctionalGroupsSequence", ())][:count]
    told = [
        Place(
            _of_frame(frame, shared[0], "PlanePositionSequence", "ImagePositionPatient", 3),
            _of_frame(frame, shared[0], "PlaneOrientationSequence", "ImageOrientationPatient", 6),
            _of_frame(frame, shared[0], "PixelMeasuresSequence", "PixelSpacing", 2),
        )
        for frame in frames
    ]
    return told + [Place(None, None, None)] * (count - len(told))


def _rescalings(header: pydicom.Dataset) -> set[tuple[float, float]]:
    """Slopes and intercepts that the frames have of their own."""
    groups = [frame.get("PixelValueTransformationSequence")
              for frame in header.get("PerFrameFunctionalGroupsSequence", ())]  # fmt: skip
    return {(float(one[0].RescaleSlope), float(one[0].RescaleIntercept)) for one in groups if one}


def check_places(path: Path, image: sitk.Image, places: list[Place]) -> None:
    """Refuse slices that are missing, doubled, tilted, unlike each other or without a position: their volume would have
    a wrong shape.

    path: for messages.  places: of the image's slices.
    """
    if any(place.position is None for place in places):
        raise RequestError(f"{path}: DICOM slices lack a valid position; give another series or convert it to NIfTI")
    for what, told in (("directions", [place.orientation for place in places]),
                       ("pixel sizes", [place.spacing for place in places])):  # fmt: skip
        if not all(_alike(one, told[0]) for one in told):
            raise RequestError(
                f"{path}: the slices have different {what}, as where series are mixed; export each series by itself"
            )
    positions = np.array([place.position for place in places])
    expected = np.array([image.TransformIndexToPhysicalPoint((0, 0, index)) for index in range(len(places))])
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


def numbers(text: str, count: int) -> list[float] | None:
    """The numbers of a DICOM value; None unless they are as many as `count`, well-formed and finite."""
    try:
        found = [float(part) for part in text.split("\\")]
    except ValueError:
        return None
    return found if len(found) == count and all(map(math.isfinite, found)) else None


def _of_frame(
    frame: pydicom.Dataset, shared: pydicom.Dataset, sequence: str, name: str, count: int
) -> list[float] | None:
    """What a frame, or else all frames together, tell."""
    items = frame.get(sequence) or shared.get(sequence)
    try:
        return numbers("\\".join(map(str, items[0].get(name))), count) if items else None
    except (TypeError, ValueError):  # none, one alone, or malformed
        return None


def _alike(one: list[float] | None, other: list[float] | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.abs(np.subtract(one, other)).max() <= _ALIKE * np.abs(other).max())
