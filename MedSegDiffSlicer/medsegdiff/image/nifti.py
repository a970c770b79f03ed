"""What ITK hides about NIfTI files: it fills truncated ones up, and turns NaN and infinite voxels into zeros."""

from __future__ import annotations

import gzip
import sys
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

_CHUNK = 1 << 22  # bytes, a multiple of every voxel size
_FLOATS = {16: "f4", 64: "f8"}  # NIfTI's codes


def is_nifti(path: Path) -> bool:
    """By its name."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def problem(path: Path) -> str | None:
    """What is wrong with a NIfTI file's voxels and what to do, or None.

    Raises RuntimeError where ITK cannot read the header.
    """
    header = sitk.ImageFileReader()
    header.SetFileName(str(path))
    header.ReadImageInformation()
    voxels = 1
    for axis in range(1, int(header.GetMetaData("dim[0]")) + 1):
        voxels *= max(1, int(header.GetMetaData(f"dim[{axis}]")))
    expected = voxels * int(header.GetMetaData("bitpix")) // 8
    kind = _FLOATS.get(int(header.GetMetaData("datatype")))
    found = bad = 0
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else open(path, "rb") as stream:
            order = _byte_order(stream.read(int(float(header.GetMetaData("vox_offset")))))
            while chunk := stream.read(min(_CHUNK, expected - found)):
                found += len(chunk)
                if kind:
                    values = np.frombuffer(chunk, order + kind, count=len(chunk) // int(kind[1]))
                    bad += values.size - np.count_nonzero(np.isfinite(values))
            while stream.read(_CHUNK):  # to the end, where gzip's checksum is
                pass
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return "the file is truncated or damaged; copy or export it again"
    if found < expected:
        return "the file is truncated; copy or export it again"
    return f"{bad} voxels are NaN or infinite; replace them (for example by 0) and try again" if bad else None


def _byte_order(header: bytes) -> str:
    """Numpy's sign of a NIfTI header's byte order: the header begins with its own size."""
    native = int.from_bytes(header[:4], sys.byteorder) in (348, 540)
    return "=" if native else {"little": ">", "big": "<"}[sys.byteorder]
