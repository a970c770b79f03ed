"""Errors, and what was asked, in words."""

from __future__ import annotations

import errno
from typing import Any

from ..errors import MedSegDiffError, RequestError
from ..models.config_checks import CONTROL


def is_unusable(error: BaseException) -> bool:
    """Whether it is about the request, and not about what was done."""
    return isinstance(error, RequestError) or (isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG)


def one_line(error: BaseException) -> str:
    """The error in one line, without what would do anything to a terminal: what is wrong and what to do."""
    if isinstance(error, MedSegDiffError):
        text = str(error)
    elif isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        remedy = "give a shorter name" if is_unusable(error) else "free space or repair the access, then run this again"
        text = f"{place}{error.strerror or error}; {remedy}"
    elif isinstance(error, MemoryError):
        text = "out of memory; close other programs, or ask for fewer samples at once"
    elif isinstance(error, ModuleNotFoundError):
        text = f"the Python package '{error.name}' is missing; install it with pip"
    else:
        text = f"unexpected {type(error).__name__}: {error}; run again with --debug to see where"
    return CONTROL.sub("?", " ".join(text.split()))


def warnings_of(report: dict[str, Any]) -> list[str]:
    """A line for each warning of a run's report."""
    return [warning(sentence) for sentence in report["warnings"]]


def warning(sentence: str) -> str:
    """The line of a warning."""
    return f"warning: {sentence}"


def opinions_given(report: dict[str, Any]) -> str:
    """How many opinions each model gave, and whether that was enough; report: of a run."""
    parts = []
    for told in report["models"]:
        early = f" of {told['samples_asked']} (settled)" if told["samples"] < told["samples_asked"] else ""
        parts.append(f"{told['name']} {told['samples']}{early}")
    return "opinions: " + ", ".join(parts)
