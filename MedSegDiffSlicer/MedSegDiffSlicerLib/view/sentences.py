"""How messages are told."""

from __future__ import annotations

import re

from .translated import translated

_NAME = re.compile(r"\w+[-_.]\w")


def sentences(text: object) -> str:
    """An error, or lines of text, in the application's language, each beginning with a capital, unless with a name as
    models have it."""
    lines = map(translated, str(text).split("\n"))
    return "\n".join(line if _NAME.match(line) else line[:1].upper() + line[1:] for line in lines)
