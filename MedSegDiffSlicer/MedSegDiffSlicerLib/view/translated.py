"""Messages of the backend, which knows no languages, in the application's."""

from __future__ import annotations

import re
from functools import lru_cache

from slicer.i18n import getContext, translate

from . import backend_texts

_OPEN = re.compile(r"\{\d+\}")
_BRACED = re.compile(r"\{+[^{}]*\}+")


def translated(message: str) -> str:
    """A message of the backend in the application's language, what is filled into it, too, where it is a message or
    several; any other text as it is."""
    known = _known(message)
    if known is None:
        return ", ".join(map(translated, message.split(", "))) if ", " in message else message
    text, parts = known
    told = translate(getContext(backend_texts.__file__), text)
    if sorted(_BRACED.findall(told)) != sorted(_BRACED.findall(text)):  # a mistake of the translation's
        return message
    try:
        return told.format(*map(translated, parts))
    except ValueError:  # likewise
        return message


@lru_cache(maxsize=1000)
def _known(message: str) -> tuple[str, tuple[str, ...]] | None:
    """The text that a message was made of, of several the one that leaves least open, and what was filled in."""
    for text, words in _words():
        if all(word in message for word in words):
            found = re.fullmatch("(.+?)".join(map(re.escape, words)), message, re.DOTALL)
            if found:
                return text, found.groups()
    return None


@lru_cache(maxsize=1)
def _words() -> list[tuple[str, list[str]]]:
    """The texts of the backend and what stands between their open parts, those with the most words first."""
    plain = ((text, text.replace("{{", "{").replace("}}", "}")) for text in backend_texts.TEXTS)
    return sorted(((text, _OPEN.split(each)) for text, each in plain), key=lambda known: -sum(map(len, known[1])))
