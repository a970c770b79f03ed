"""A model's files, copied; never those that a link takes from elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from ..errors import RequestError

LARGEST_TEXT = 16 << 20  # bytes of a file beside the weights


def copy_files(folder: Path, patterns: Sequence[str], target: Path, largest: int | None = None) -> None:
    """Copies the files of a model's folder that match one of the patterns (see Path.glob). largest: bytes of each.

    Raises RequestError where one is larger, or a link that leads out of the folder.
    """
    for file in (file for pattern in patterns for file in folder.glob(pattern) if file.is_file()):
        if not file.resolve().is_relative_to(folder.resolve()):
            raise RequestError(f"{file} is a link that leads out of the package; put the file itself there")
        if largest is not None and file.stat().st_size > largest:
            raise RequestError(f"{file} is larger than {largest >> 20} MB, too large for a text; leave it out")
        destination = target / file.relative_to(folder)
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, destination)
