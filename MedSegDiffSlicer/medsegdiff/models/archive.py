"""Model packages in .zip files: what is wanted is taken out, and nothing that could do harm."""

from __future__ import annotations

import errno
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..errors import RequestError

try:
    from lzma import LZMAError
except ImportError:  # a Python without it, where zipfile says that it cannot read such files
    LZMAError = zlib.error

LARGEST = 64 << 30  # bytes of all files together
MOST = 10_000  # files
RATIO = 100  # of a file's size to its compressed one; weights hardly shrink
SMALL = 1 << 20  # bytes; text may shrink by more
TEXTS = 64 << 20  # bytes of all files together, likewise
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # names of devices on Windows


def extract(path: Path, folder: Path, wanted: Sequence[str]) -> None:
    """Takes the files that match one of the patterns (see Path.match) out of a .zip into a folder.

    All entries are looked at first: RequestError where one leads elsewhere (an absolute path, "..", a drive, a link),
    is named twice, is encrypted, or where together they are far larger than the .zip or than any model; or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if trouble := _trouble(entries, path.stat().st_size):
                raise RequestError(f"{path}: {trouble}; this is no model package, do not use it")
            for entry in entries:
                name = PurePosixPath(entry.filename)
                if entry.is_dir() or not any(name.match(pattern) for pattern in wanted):
                    continue
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, open(target, "xb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)  # never more than the size that the entry tells
    # What zipfile raises of damaged files, of other compressions (NotImplementedError), of passwords (RuntimeError).
    except (
        zipfile.BadZipFile, zlib.error, LZMAError, EOFError, NotImplementedError, RuntimeError, ValueError
    ) as error:  # fmt: skip
        raise RequestError(f"{path} is damaged or of an unusual kind ({error}); give an intact, plain .zip") from None
    except OSError as error:
        if error.errno in (None, errno.EINVAL):  # of bzip2's own, and a place beyond the file
            raise RequestError(f"{path} is damaged; give an intact, plain .zip") from None
        raise RequestError(
            f"{path} cannot be unpacked ({error.strerror or error}); make room, or give another .zip"
        ) from None


def _trouble(entries: Sequence[zipfile.ZipInfo], size: int) -> str | None:
    """What is wrong with the entries of a .zip of `size` bytes; None where nothing is."""
    if len(entries) > MOST:
        return f"it holds {len(entries)} files"
    names = [entry.filename.casefold().rstrip("/") for entry in entries]
    if len(set(names)) < len(names):
        return f"it holds {ascii(next(name for name in names if names.count(name) > 1))} twice"
    for entry in entries:
        shown = ascii(entry.filename)[:100]
        if not plain(entry.filename):
            return f"its file {shown} leads out of the package"
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            return f"its file {shown} is a link or a device"
        if entry.flag_bits & 1:
            return f"its file {shown} is encrypted"
        if entry.file_size > max(SMALL, RATIO * entry.compress_size):
            return f"its file {shown} would grow to {entry.file_size} bytes, {RATIO} times its compressed size or more"
    total = sum(entry.file_size for entry in entries)
    if total > min(LARGEST, max(TEXTS, RATIO * size)):
        return f"its files are {total} bytes together"
    return None


def plain(name: str) -> bool:
    """Whether a file's name stays below the folder that it is unpacked to, on any system."""
    parts = name.rstrip("/").split("/")
    harmless = all(part not in ("", ".", "..") and part == part.rstrip(". ") for part in parts)
    return (
        harmless and name.isprintable() and not set('\\:*?"<>|') & set(name) and not any(map(RESERVED.fullmatch, parts))
    )
