"""What a Slicer segmentation's header tells of its segments."""

from __future__ import annotations

import re
from pathlib import Path

import SimpleITK as sitk

from .itk import quiet
from .names import check_name


def names_in(path: Path) -> dict[int, str]:
    """Label value -> name, of a .seg.nrrd whose segments are in one layer; empty for other files, and where the header
    tells none."""
    told, names = _header(path), {}
    for key, value in told.items():
        found = re.fullmatch(r"(Segment\d+_)LabelValue", key)
        if found and value.isdecimal() and told.get(f"{found[1]}Layer", "0") == "0" and told.get(f"{found[1]}Name"):
            names[int(value)] = told[f"{found[1]}Name"]
    return names


def layers_in(path: Path) -> int:
    """How many layers the segments of a .seg.nrrd lie in, each of which numbers its segments anew; 1 for other
    files."""
    layers = {value for key, value in _header(path).items() if re.fullmatch(r"Segment\d+_Layer", key)}
    return max(1, len(layers))


def _header(path: Path) -> dict[str, str]:
    if not path.name.lower().endswith(".seg.nrrd"):
        return {}
    check_name(path)
    header = sitk.ImageFileReader()
    header.SetFileName(str(path))
    try:
        with quiet():
            header.ReadImageInformation()
    except RuntimeError:
        return {}  # whoever reads the voxels says it
    return {key: header.GetMetaData(key) for key in header.GetMetaDataKeys()}
