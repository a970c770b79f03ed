"""How messages begin."""

from __future__ import annotations


def sentences(text: object) -> str:
    """An error, or lines of text, each beginning with a capital."""
    return "\n".join(line[:1].upper() + line[1:] for line in str(text).split("\n"))
