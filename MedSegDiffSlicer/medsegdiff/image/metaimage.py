"""What ITK hides about MetaImage files: it does not look at the checksum of compressed voxels."""

from __future__ import annotations

import zlib
from pathlib import Path

_CHUNK = 1 << 22  # bytes
_LONGEST = 1 << 16  # bytes of a header
_ZLIB_OR_GZIP = 47  # zlib's window bits for either


def is_metaimage(path: Path) -> bool:
    """By its name."""
    return path.name.lower().endswith((".mha", ".mhd"))


def is_damaged(path: Path) -> bool:
    """Whether compressed voxels are not what was written; ITK finds files that are too short, and headers that are
    wrong."""
    header, data = _header(path)
    if header.get("compresseddata", "").lower() != "true" or header.get("elementdatafile") in (None, "LIST"):
        return False
    local = header["elementdatafile"].upper() == "LOCAL"
    file = path if local else path.with_name(header["elementdatafile"])
    if not file.is_file():
        return False
    inflated = zlib.decompressobj(_ZLIB_OR_GZIP)
    try:
        with open(file, "rb") as stream:
            stream.seek(data if local else 0)
            while (chunk := stream.read(_CHUNK)) and not inflated.eof:
                inflated.decompress(chunk)
    except zlib.error:
        return True
    return not inflated.eof


def _header(path: Path) -> tuple[dict[str, str], int]:
    """Its entries, names in small letters, and where the data begin."""
    entries, size = {}, 0
    with open(path, "rb") as stream:
        for line in stream:
            size += len(line)
            name, _, value = line.decode("latin-1").partition("=")
            entries[name.strip().lower()] = value.strip()
            if "elementdatafile" in entries or size > _LONGEST:
                break
    return entries, size
