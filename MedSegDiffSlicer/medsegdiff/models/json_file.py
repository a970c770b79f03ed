"""Reading and writing the JSON files of models, of which nobody knows who wrote them."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from ..errors import JobError, RequestError


def read_json(path: Path, largest: int, what: str, mend: str, unique: bool = False) -> dict[str, Any]:
    """The object in a JSON file.

    largest: bytes.  what: the file is ("a model's configuration"), and what to do about a wrong one: mend.  unique:
    whether nothing may be named twice. Raises RequestError where it cannot be read, is no file (a pipe or a device may
    go on without end), is larger, or holds anything else.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise RequestError(f"{path} is no file; {mend}")
        with open(path, "rb") as stream:
            content = stream.read(largest + 1)
        if len(content) > largest:
            raise RequestError(f"{path} is larger than {largest >> 20} MB, too large for {what}; {mend}")
        data = json.loads(content.decode("utf-8"), object_pairs_hook=_unique if unique else None)
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror or error}; repair the access, or {mend}") from None
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{path} is not valid JSON ({error}); {mend}") from None
    if not isinstance(data, dict):
        raise RequestError(f"{path} is no JSON object; {mend}")
    return data


def _unique(pairs: list[tuple[str, Any]]) -> dict:
    """A JSON object. Raises ValueError where it names something twice: other readers may take the other one."""
    entries = dict(pairs)
    if len(entries) < len(pairs):
        raise ValueError("an entry stands twice")
    return entries


def write_json(path: Path, data: dict) -> None:
    """Writes a configuration; the earlier one stays where that fails. Raises JobError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise JobError(f"{path}: cannot be written ({error.strerror}); make room, and try again") from error
    finally:
        part.unlink(missing_ok=True)
