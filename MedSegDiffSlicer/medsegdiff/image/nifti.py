"""Whether a NIfTI file is whole: ITK reads and writes truncated ones without an error."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import SimpleITK as sitk

_CHUNK = 1 << 22


def is_nifti(path: Path) -> bool:
    """By its name."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def is_complete(path: Path) -> bool:
    """Whether a NIfTI file holds as many bytes as its header promises, and its gzip checksum is right.

    Raises RuntimeError where ITK cannot read the header.
    """
    header = sitk.ImageFileReader()
    header.SetFileName(str(path))
    header.ReadImageInformation()
    expected = float(header.GetMetaData("vox_offset"))
    voxels = 1
    for axis in range(1, int(header.GetMetaData("dim[0]")) + 1):
        voxels *= max(1, int(header.GetMetaData(f"dim[{axis}]")))
    expected += voxels * int(header.GetMetaData("bitpix")) / 8
    if not path.name.lower().endswith(".gz"):
        return path.stat().st_size >= expected
    found = 0
    try:
        with gzip.open(path) as stream:
            while chunk := stream.read(_CHUNK):
                found += len(chunk)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return False
    return found >= expected
