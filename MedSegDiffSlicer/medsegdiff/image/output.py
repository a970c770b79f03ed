"""Output files: checked before the work, put in place whole or not at all."""

from __future__ import annotations

import os
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Sequence

from ..errors import JobError, RequestError
from .names import WRITTEN, check_name, ending


def check_output(path: str | os.PathLike[str], suffixes: Sequence[str] = WRITTEN) -> None:
    """Refuse, before any work is done, an output file that could not be written.

    suffixes: endings that the name may have (in any case); `.seg.nrrd` counts as `.nrrd`.
    Raises RequestError where the name has another ending, or its folder is missing or not writable.
    """
    path = Path(path)
    check_name(path)
    if not path.name.lower().endswith(tuple(suffixes)):
        raise RequestError(f"{path}: the output's name must end in {' or '.join(suffixes)}")
    if os.path.isdir(path):
        raise RequestError(f"{path}: is a folder; give a file name")
    if not os.path.isdir(path.parent):
        raise RequestError(f"{path}: there is no folder {path.parent}; create it or choose another one")
    try:
        path.exists()  # raises where the name is too long
    except OSError as error:
        raise RequestError(f"{path}: cannot be a file's name ({error.strerror}); choose another one") from error
    if path.exists() and not os.access(path, os.W_OK):
        raise RequestError(f"{path}: is write-protected; choose another name")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise RequestError(
            f"{path}: cannot write into the folder {path.parent} ({error.strerror}); choose another one"
        ) from error


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give the name of a temporary sibling to write to; it replaces `path` at the end, or is removed if anything fails.

    Raises JobError where the file system refuses (OSError), for example because the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}{ending(path)}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise JobError(
            f"{path}: cannot be written ({error.strerror or error}); free disk space or choose another folder"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
