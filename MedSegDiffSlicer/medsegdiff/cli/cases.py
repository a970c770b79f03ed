"""Finding the cases of a folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import RequestError
from ..image.names import DICOM, case_name, check_name, is_broken_link, is_image_file, suffix

_CHANNEL = re.compile(r"(.+)_(\d{4})")


@dataclass(frozen=True)
class Case:
    """A case: its name, and a file or DICOM folder a channel.  numbers: of the channels, where the files' names tell
    them."""

    name: str
    inputs: tuple[Path, ...]
    numbers: tuple[int, ...] = ()


def find_cases(folder: Path, leave_out: Path | None = None) -> list[Case]:
    """The cases of a folder, by name: each image file or DICOM folder is one.

    Files CASE_0000, CASE_0001, ... are the channels of one case, as in nnU-Net. leave_out: a folder that is no case.
    Raises RequestError where the folder is missing, cannot be read, holds no case, or holds two of one name.
    """
    if not folder.is_dir():
        what = (
            "is a file; give a folder, or use medsegdiff segment"
            if folder.is_file()
            else "does not exist; check the path"
        )
        raise RequestError(f"the input folder {folder} {what}")
    try:
        entries = [path for path in sorted(folder.iterdir()) if path.resolve() != leave_out and _is_image(path)]
    except PermissionError as error:
        raise RequestError(f"no permission to read {error.filename}; change its access rights, or give a folder "
                           "without it") from error  # fmt: skip
    firsts = {m.group(1) for m in map(_channel, entries) if m and m.group(2) == "0000"}
    cases: dict[str, dict[int | None, Path]] = {}  # files by their channels' numbers, None where the name tells none
    for path in entries:
        match = _channel(path)
        is_channel = match is not None and match.group(1) in firsts
        check_name(path)
        name, number = (match.group(1), int(match.group(2))) if is_channel else (case_name(path), None)
        files = cases.setdefault(name, {})
        if files and (number is None or None in files or number in files):
            other = files.get(number, next(iter(files.values())))
            raise RequestError(f"{other} and {path} are two cases of one name; rename one")
        files[number] = path
    if not cases:
        raise RequestError(f"{folder} holds no images; give a folder of image files or DICOM folders")
    return [
        Case(name, tuple(files.values()), tuple(number for number in files if number is not None))
        for name, files in sorted(cases.items())
    ]


def folders_without_images(folder: Path, leave_out: Path | None = None) -> list[str]:
    """Names of the folders in it that are no case, as no slice lies directly in them."""
    folders = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    return [path.name for path in folders if path.resolve() != leave_out and not _is_image(path)]


def _channel(path: Path) -> re.Match[str] | None:
    return None if path.is_dir() else _CHANNEL.fullmatch(case_name(path))


def _is_image(path: Path) -> bool:
    if path.is_dir():
        return not path.name.startswith(".") and any(map(_is_slice, path.iterdir()))
    return is_image_file(path)


def _is_slice(path: Path) -> bool:
    """Whether a file is one of DICOM, or may be: some have neither ending nor mark. Hidden ones are a system's own."""
    if path.name.startswith("."):
        return False
    if suffix(path, DICOM) is not None:
        return path.is_file() or is_broken_link(path)
    if not path.is_file():
        return False
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return True  # whoever reads it is told why not
