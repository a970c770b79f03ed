"""What the transforms of a MONAI bundle say, in the words of a model package."""

from __future__ import annotations

import re
from math import prod
from typing import Any

from ..errors import RequestError

# They only read, convert, or look at less.
_NOTHING = {"LoadImaged", "EnsureChannelFirstd", "AddChanneld", "EnsureTyped", "ToTensord", "CastToTyped",
            "SelectItemsd",
            "ToDeviced", "CropForegroundd"}  # fmt: skip
# What is read of transforms here.
READ = {"transforms", "_target_", "_disabled_", "axcodes", "pixdim", "a_min", "a_max", "b_min", "b_max", "clip",
        "subtrahend",
        "divisor", "nonzero", "channel_wise", "minv", "maxv"}  # fmt: skip
_FAR = 1e8  # beyond all intensities
_OF_ALL = ("zscore", "minmax")  # by statistics of all voxels, the same before and after any line a + b x
_DIVISIBLE = 32  # of networks that tell no strides


def preprocessing_of(steps: Any, inferer: Any, network: dict, given: dict, path: str) -> dict[str, Any]:
    """A package's preprocessing.

    steps: {"transforms": [...]}.  inferer: the bundle's, or None.  network: its arguments.  given: entries of the user,
    which come first. Raises RequestError for transforms that have no counterpart here, unless spacing and normalization
    are given.
    """
    transforms = steps.get("transforms", []) if isinstance(steps, dict) else []
    dims = network.get("spatial_dims", 3)
    found: dict[str, Any] = {"orientation": [0, 1, 2], "spacing": None, "normalization": "none"}
    unknown, cropped = [], False
    for step in transforms:
        if isinstance(step, dict) and str(step.get("_disabled_", False)).strip().lower() == "true":
            continue
        told = str(step.get("_target_", "")) if isinstance(step, dict) else str(step)
        named = re.fullmatch(r"(?:monai\.transforms\.(?:\w+\.)*)?(\w+)", told)  # no class of the bundle's own
        name = named[1] if named else told
        try:
            entry = {} if name in _NOTHING else _KNOWN[name](step, int(network.get("in_channels", 1)))
        except (LookupError, TypeError, ValueError):
            unknown.append(name or "one without a name")
            continue
        unknown += _out_of_order(name, entry, found, cropped)
        cropped |= name == "CropForegroundd"
        found |= entry
    if (unknown or not transforms) and not {"spacing", "normalization"} <= set(given):
        what = f"its transforms {', '.join(unknown)} have no counterpart here" if unknown else "it tells no transforms"
        raise RequestError(
            f"{path}: {what}; give what its images need with --spacing and --normalization (and --orientation)"
        )
    if found["spacing"]:  # of fewer sizes than axes MONAI repeats the last one
        found["spacing"] = [*(found["spacing"] + found["spacing"][-1:] * 3)[:dims], None][:3]
    window = _window(inferer, dims)
    divisible = 1 if window else prod(_strides(network) or [_DIVISIBLE])
    whole = {"window": window, "divisible": divisible if dims == 3 or window else [divisible, divisible, 1]}
    return {**found, **whole, **given}


def _out_of_order(name: str, entry: dict, found: dict, cropped: bool) -> list[str]:
    """What a transform does that a package cannot say, because of those before it.

    entry: what it says in a package's words.  found: what those before it say.  cropped: whether one of them crops.
    """
    before, after, out = found["normalization"], entry.get("normalization", "none"), []
    if "orientation" in entry and len(set(found["spacing"] or [None])) > 1:  # along the axes before
        out.append("Spacingd before Orientationd")
    if any(entry.get("spacing", ())) and before in (*_OF_ALL, "zscore-nonzero"):  # statistics of other voxels
        out.append("Spacingd after the intensities")
    if cropped and after in _OF_ALL:
        out.append(f"{name} after CropForegroundd")
    line = before in _OF_ALL or (isinstance(before, dict) and before["low"] == -_FAR)
    if "none" not in (before, after) and not (line and after in _OF_ALL):
        out.append(f"{name} after another of intensities")
    return out


def _orientation(step: dict, channels: int) -> dict:
    return {"orientation": "".join(step["axcodes"])}


def _spacing(step: dict, channels: int) -> dict:
    sizes = step["pixdim"] if isinstance(step["pixdim"], list) else [step["pixdim"]] * 3
    sizes = [float(size) if float(size) > 0 else None for size in sizes]
    return {"spacing": sizes[:3]}


def _range(step: dict, channels: int) -> dict:
    low, high = float(step["a_min"]), float(step["a_max"])
    told = step.get("b_min"), step.get("b_max")
    to_low, to_high = (0.0, 1.0) if told == (None, None) else map(float, told)
    if not (low < high and to_low < to_high):
        raise ValueError("no range, or one from bright to dark")
    deviation = (high - low) / (to_high - to_low)
    ends = (low, high) if step.get("clip", False) else (-_FAR, _FAR)
    return {
        "normalization": {"low": ends[0], "high": ends[1], "mean": low - to_low * deviation, "deviation": deviation}
    }


def _z_score(step: dict, channels: int) -> dict:
    if channels > 1 and not step.get("channel_wise", False):
        raise ValueError("all channels are one distribution")
    if {step.get("subtrahend"), step.get("divisor")} != {None}:
        if step.get("nonzero", False):
            raise ValueError("zeros stay")
        mean, deviation = float(step["subtrahend"]), float(step["divisor"])
        return {"normalization": {"low": -_FAR, "high": _FAR, "mean": mean, "deviation": deviation}}
    return {"normalization": "zscore-nonzero" if step.get("nonzero", False) else "zscore"}


def _unit(step: dict, channels: int) -> dict:
    if (step.get("minv", 0.0), step.get("maxv", 1.0)) != (0.0, 1.0) or (
        channels > 1 and not step.get("channel_wise", False)
    ):
        raise ValueError("another range")
    return {"normalization": "minmax"}


_KNOWN = {
    "Orientationd": _orientation, "Spacingd": _spacing, "ScaleIntensityRanged": _range, "NormalizeIntensityd": _z_score,
    "ScaleIntensityd": _unit,
}  # fmt: skip


def _window(inferer: Any, dims: int) -> list[int | None] | None:
    """Of a SlidingWindowInferer; None for others."""
    size = inferer.get("roi_size") if isinstance(inferer, dict) else None
    sizes = [size] * dims if type(size) is int else size
    if not isinstance(sizes, list) or len(sizes) != dims or not all(type(n) is int and n > 0 for n in sizes):
        return None
    return [*sizes, None][:3]


def _strides(network: dict) -> list[int]:
    strides = network.get("strides", [])
    return [max(one) if isinstance(one, list) else int(one) for one in strides] if isinstance(strides, list) else []
