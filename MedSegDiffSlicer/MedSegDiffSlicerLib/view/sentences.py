"""How messages are told."""

from __future__ import annotations

from .translated import translated


def sentences(text: object) -> str:
    """An error, or lines of text, in the application's language, each beginning with a capital."""
    lines = map(translated, str(text).split("\n"))
    return "\n".join(line[:1].upper() + line[1:] for line in lines)
