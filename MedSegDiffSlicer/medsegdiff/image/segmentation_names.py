"""The names of the segments in a Slicer segmentation's header."""

from __future__ import annotations

import re
from pathlib import Path

import SimpleITK as sitk

from .itk import quiet
from .names import check_name


def names_in(path: Path) -> dict[int, str]:
    """Label value -> name, of a .seg.nrrd whose segments are in one layer; empty for other files, and where the header
    tells none."""
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
    told = {key: header.GetMetaData(key) for key in header.GetMetaDataKeys()}
    names = {}
    for key, value in told.items():
        found = re.fullmatch(r"(Segment\d+_)LabelValue", key)
        if found and value.isdecimal() and told.get(f"{found[1]}Layer", "0") == "0" and told.get(f"{found[1]}Name"):
            names[int(value)] = told[f"{found[1]}Name"]
    return names
