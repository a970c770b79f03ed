"""Regions that overlap, as labels that do not: how they are painted, and what is left of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import RequestError
from .package import Label


def labels_of(names: Sequence[str], paint: Sequence[str], path: Path) -> tuple[tuple[Label, ...], dict[str, Any]]:
    """A package's labels, background first, and what its network's entry says of regions ("regions", see
    networks.region_outputs; empty for structures that do not overlap).

    names: of the structures, in the order of the network's outputs.  paint: nothing, or, where they are regions that
    may overlap, the same names in the order of painting, the innermost last: what others may be painted over is called
    the rest of its region.  path: of the model, for messages.
    Raises RequestError where the names are not the same.
    """
    if not paint:
        return (Label(0, "background"), *(Label(value, name) for value, name in enumerate(names, 1))), {}
    if sorted(paint) != sorted(names) or len(set(names)) < len(names):
        raise RequestError(
            f"{path}: --paint must name each region once, the innermost last; they are {', '.join(names)}"
        )
    rests = [name if name == paint[-1] else f"rest of {name}" for name in names]
    return labels_of(rests, (), path)[0], {"regions": [[names.index(name), names.index(name) + 1] for name in paint]}
