"""File names of images."""

from __future__ import annotations

from pathlib import Path

from .reading import PICTURES, VOLUMES, suffix

FILES = (".seg.nrrd", *VOLUMES, *PICTURES)


def is_image_file(path: Path) -> bool:
    """Whether the name is that of a volume or picture (DICOM files, which come in folders, are not counted)."""
    return not path.name.startswith(".") and path.is_file() and suffix(path, FILES) is not None


def case_name(path: Path) -> str:
    """The file name without its image ending: case.nii.gz and case.seg.nrrd give case."""
    return path.name[: len(path.name) - len(suffix(path, FILES) or "")]
