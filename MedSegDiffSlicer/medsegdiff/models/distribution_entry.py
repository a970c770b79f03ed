"""The schema of a package's `distribution`: what the checks of images read without further looking."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Check = Callable[[bool, str], None]


def check_distribution(entry: dict, check: Check) -> None:
    """Calls check(good, what is wrong) for each rule. entry: see training.describe_training; all parts may be
    missing."""
    known = {"cases", "geometry", "image", "opinions", "structures"}
    check(set(entry) <= known, f"'distribution' has unknown entries beside {', '.join(sorted(known))}")
    if "geometry" in entry:
        geometry = entry["geometry"]
        good = isinstance(geometry, dict) and set(geometry) == {"spacing", "extent"}
        good = good and all(map(_ranges, geometry.values()))
        check(good, "'distribution' geometry must hold spacing and extent, [least, most] or null for three axes")
    for name in ("image", "opinions"):
        if name in entry:
            part = entry[name]
            asked = isinstance(part, dict) and isinstance(part.get("asked", {} if name == "image" else None), dict)
            check(
                asked and _gaussian(part),
                f"'distribution' {name} must hold names, mean, deviation, correlation and limit that fit together",
            )
    structures = entry.get("structures", {})
    check(isinstance(structures, dict) and all(map(_structure, structures.values())),
          "'distribution' structures must hold volume, [least, most], and border")  # fmt: skip


def _ranges(values: Any) -> bool:
    return isinstance(values, list) and len(values) == 3 and all(v is None or _numbers(v, 2) for v in values)


def _gaussian(part: Any) -> bool:
    names = part.get("names") if isinstance(part, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return False
    count = len(names)
    sizes = {"mean": count, "deviation": count, "correlation": count * (count - 1) // 2}
    good = all(_numbers(part.get(name), size) for name, size in sizes.items()) and _numbers([part.get("limit")], 1)
    return good and min(part["deviation"]) > 0 and part["limit"] > 0


def _structure(entry: Any) -> bool:
    return isinstance(entry, dict) and _numbers(entry.get("volume"), 2) and _numbers([entry.get("border")], 1)


def _numbers(values: Any, count: int) -> bool:
    good = isinstance(values, list) and len(values) == count
    return good and all(type(v) in (int, float) and abs(v) < 1e9 for v in values)
