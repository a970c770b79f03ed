"""Slices that GDCM leaves out of their series without a word, as it cannot read them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_ENDINGS = (".dcm", ".ima")
_MAGIC, _PREAMBLE = b"DICM", 128  # bytes before the magic


def damaged_slices(series: Sequence[str], readable: set[str]) -> list[Path]:
    """Files beside those of a series that seem to be slices of it: by what they say of themselves or, where they no
    longer say anything, by names that only those of a series of several files have.

    Not so files of another series or another kind (structured reports, presentation states, DICOMDIR), hidden ones, and
    those that are no DICOM files by name and content.

    series: its files, in one folder.  readable: the names of all files there that GDCM reads.
    """
    others = [path for path in sorted(Path(series[0]).parent.iterdir()) if path.name not in readable]
    own = {Path(file).name for file in series}
    names = {_without_digits(name) for name in own}
    foreign = {_without_digits(name) for name in readable - own}
    seeming = [
        path for path in others if not path.name.startswith(".") and path.is_file() and _seems_dicom(path, names)
    ]
    if not seeming:
        return []
    slice_ = _claims(Path(series[0]))

    def is_slice(path: Path) -> bool:
        told = _claims(path)
        if told == (None, None):
            return len(own) > 1 and _without_digits(path.name) in names - foreign
        return all(each in (None, of) for each, of in zip(told, slice_))

    return [path for path in seeming if is_slice(path)]


def _seems_dicom(path: Path, names: set[str]) -> bool:
    """names: those of the series, without digits."""
    if path.name.lower().endswith(_ENDINGS) or _without_digits(path.name) in names:
        return True
    try:
        with open(path, "rb") as file:
            return file.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] == _MAGIC
    except OSError:
        return False


def _without_digits(name: str) -> str:
    return re.sub(r"\d+", "0", name)


def _claims(path: Path) -> tuple[str | None, str | None]:
    """Kind (SOP class) and series that a DICOM file says it is of; None for what it does not say any more: both where
    it says no kind, as whatever follows may be no DICOM at all."""
    import pydicom

    tags = ["SOPClassUID", "SeriesInstanceUID"]
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags, force=True)
        kind = header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID")
        return (kind, header.get("SeriesInstanceUID") or None) if kind else (None, None)
    except Exception:  # damage makes many kinds of errors
        return None, None
