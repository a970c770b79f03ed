"""What ITK hides about NIfTI files: it fills truncated ones up, and turns NaN and infinite voxels into zeros."""

from __future__ import annotations

import gzip
import sys
import zlib
from pathlib import Path
from typing import IO

import numpy as np
import SimpleITK as sitk

_CHUNK = 1 << 22  # bytes, a multiple of every voxel size
_FLOATS = {16: "f4", 64: "f8"}  # NIfTI's codes
_HEADER, _PIXDIM = 348, 76  # bytes of the header, and where pixdim begins in it
_ALIKE = 0.05  # of a voxel's size: what rounded axes may differ by


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
        with _opened(path) as stream:
            order = _byte_order(stream.read(max(_HEADER, int(float(header.GetMetaData("vox_offset"))))))
            while chunk := stream.read(min(_CHUNK, expected - found)):
                found += len(chunk)
                if kind:
                    values = np.frombuffer(chunk, order + kind, count=len(chunk) // int(kind[1]))
                    bad += values.size - np.count_nonzero(np.isfinite(values))
            while stream.read(_CHUNK):  # to the end, where gzip's checksum is
                pass
    except (EOFError, gzip.BadGzipFile, zlib.error, ValueError, OverflowError):
        return "the file is truncated or damaged; copy or export it again"
    if found < expected:
        return "the file is truncated; copy or export it again"
    return f"{bad} voxels are NaN or infinite; replace them (for example by 0) and try again" if bad else None


def is_mirrored(path: Path, image: sitk.Image) -> bool:
    """Whether qform and sform of a NIfTI file that has both take another side for the left.

    The qform's axes are left-handed where the first of its pixdim is -1 (nifti1.h, method 2), which ITK does not tell.
    """
    left_handed = _pixdim(path)[0] < 0
    rows = [image.GetMetaData(f"srow_{axis}").split()[:3] for axis in "xyz"]
    return left_handed != (np.linalg.det(np.array(rows, float)) < 0)


def doubts(path: Path, image: sitk.Image) -> tuple[str, ...]:
    """What whoever sees a result has to know of where a 3D image's header leaves its voxels open."""
    size, told = np.array(image.GetSpacing()), int(image.GetMetaData("sform_code") or 0) > 0
    rows = [[float(x) for x in image.GetMetaData(f"srow_{axis}").split()[:3]] for axis in "xyz"]
    axes = np.diag([-1.0, -1.0, 1.0]) @ np.reshape(image.GetDirection(), (3, 3)) * size  # from LPS
    if told and not np.allclose(axes, rows, rtol=0, atol=_ALIKE * size.min()):
        return (f"{path} tells its axes twice and differently (qform and sform): check where the result lies",)
    if not told and not all(0 < each < np.inf for each in _pixdim(path)[1:4]):
        return (f"{path} does not tell the size of its voxels: 1 mm is taken, else all volumes are wrong",)
    return ()


def is_second_version(path: Path) -> bool:
    """Whether it is NIfTI-2, which ITK does not read."""
    try:
        with _opened(path) as stream:
            return stream.read(8)[4:] == b"n+2\0"
    except (OSError, EOFError, zlib.error):
        return False


def _pixdim(path: Path) -> np.ndarray:
    """The 8 numbers as they are in the header; ITK tells 1 in place of those that are none."""
    with _opened(path) as stream:
        header = stream.read(_PIXDIM + 32)
    return np.frombuffer(header, _byte_order(header) + "f4", count=8, offset=_PIXDIM)


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.name.lower().endswith(".gz") else open(path, "rb")


def _byte_order(header: bytes) -> str:
    """Numpy's sign of a NIfTI header's byte order, in which the number of axes is one (nifti1.h)."""
    native = 1 <= int.from_bytes(header[40:42], sys.byteorder) <= 7
    return "=" if native else {"little": ">", "big": "<"}[sys.byteorder]
