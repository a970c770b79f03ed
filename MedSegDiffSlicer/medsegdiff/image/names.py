"""File names of images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Sequence

from ..errors import RequestError

WRITTEN = (".nii", ".nii.gz", ".nrrd", ".mha")  # volumes in one file
VOLUMES = (*WRITTEN, ".nhdr", ".mhd")
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
DICOM = (".dcm", ".ima", "")  # as of a slice
FILES = (".seg.nrrd", *VOLUMES, *PICTURES)


def suffix(path: Path, known: Sequence[str]) -> str | None:
    """The longest of `known` that the file's name ends with (in any case), or None."""
    name = path.name.lower()
    fits = [ending for ending in known if ending and name.endswith(ending)]
    if fits:
        return max(fits, key=len)
    return "" if "" in known and not path.suffix else None


def ending(path: Path) -> str:
    """The ending that tells what a file is, in lower case: .nii.gz, .seg.nrrd, .json."""
    return suffix(path, FILES) or path.suffix.lower()


def check_name(path: str | os.PathLike[str]) -> None:
    """Raises RequestError where the name is none that image libraries can take: they end the process then."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        raise RequestError(f"{path}: the name is no valid text (UTF-8); rename the file or folder") from None


def is_image_file(path: Path) -> bool:
    """Whether it is a volume or picture by its name (DICOM files, which come in folders, are not counted). So is a link
    to a file that is not there, which whoever reads it will say."""
    known = not path.name.startswith(".") and suffix(path, FILES) is not None
    return known and (path.is_file() or is_broken_link(path))


def is_broken_link(path: Path) -> bool:
    """Whether it is a link to a file that is not there."""
    return path.is_symlink() and not path.exists()


def case_name(path: Path) -> str:
    """The file name without its image ending: case.nii.gz and case.seg.nrrd give case."""
    return path.name[: len(path.name) - len(suffix(path, FILES) or "")]
