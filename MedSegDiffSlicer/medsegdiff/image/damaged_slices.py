"""Slices that GDCM leaves out of their series without a word, as it cannot read them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_ENDINGS = (".dcm", ".ima")
_MAGIC, _PREAMBLE = b"DICM", 128  # bytes before the magic


def damaged_slices(series: Sequence[str], readable: set[str]) -> list[Path]:
    """Files beside those of a series that seem to be slices of it: by what they say of themselves or, where they no longer
    say it, by their names.

    Not so files of another series or another kind (structured reports, presentation states, DICOMDIR), hidden ones, and
    those that are no DICOM files by name and content.

    series: its files, in one folder.  readable: the names of all files there that GDCM reads.
    """
    others = [path for path in sorted(Path(series[0]).parent.iterdir()) if path.name not in readable]
    names = {_without_digits(Path(file).name) for file in series}
    seeming = [path for path in others if not path.name.startswith(".") and path.is_file() and _seems_dicom(path, names)]
    if not seeming:
        return []
    slice_ = _claims(Path(series[0]))
    return [path for path in seeming if all(told in (None, of) for told, of in zip(_claims(path), slice_))]


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
    """Kind (SOP class) and series that a DICOM file says it is of; None for what it does not say any more."""
    import pydicom

    tags = ["SOPClassUID", "SeriesInstanceUID"]
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
    except Exception:  # damage makes many kinds of errors
        return None, None
    kind = header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID")
    return kind or None, header.get("SeriesInstanceUID") or None
