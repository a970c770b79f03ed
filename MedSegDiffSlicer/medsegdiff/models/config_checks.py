"""The schema of configs/segmenter.json, as code: what a model package may say, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..uncertainty.rules import DICE_FEATURES
from .distribution_entry import check_distribution

Check = Callable[[bool, str], None]

FORMAT = 1
TYPES = {
    "name": str, "description": str, "network": dict, "channels": list, "labels": list, "preprocessing": dict,
    "weights": str, "weights_sha256": str, "sampling": dict, "calibration": dict, "distribution": dict, "clicks": dict,
    "training": dict,
    "licence": str, "attribution": str,
}  # fmt: skip
REQUIRED = ("name", "description", "network", "channels", "labels", "preprocessing", "weights", "weights_sha256")
NORMALIZATIONS = ("zscore", "zscore-nonzero", "percentile", "minmax", "8bit", "none")
LARGEST_ARGUMENT = 1 << 16  # of a network's; more layers, channels or voxels than any has
LARGEST_DIVISIBLE = 1 << 10  # voxels; no network halves an image more often
# also what moves the cursor, and halves of a character, which cannot be printed
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def check_entries(data: Any, types: dict[str, type], required: Sequence[str], check: Check) -> None:
    """The rules that any configuration has: format, known entries of known types, printable texts, a name. As
    check_config."""
    check(isinstance(data, dict), "a JSON object is expected")
    check(type(data.get("format")) is int and data["format"] == FORMAT, f"'format' must be {FORMAT}")
    unknown, missing = sorted(set(data) - {"format", *types}), [key for key in required if key not in data]
    check(not unknown, f"unknown entry {', '.join(map(ascii, unknown))}")
    check(not missing, f"entry {', '.join(map(repr, missing))} is missing")
    for key, kind in types.items():
        check(isinstance(data.get(key, kind()), kind), f"'{key}' must be of type {kind.__name__}")
        check(printable(data.get(key)), f"'{key}' holds control characters")
    check("\n" not in data["name"] and data["name"] != "", "'name' must be one line of text")


def check_config(data: Any, check: Check) -> None:
    """Calls check(good, what is wrong) for each rule; the first that is broken has to end it. data: of JSON."""
    check_entries(data, TYPES, REQUIRED, check)
    _check_network(data["network"], len(data["labels"]), check)
    check(len(data["channels"]) > 0, "'channels' is empty")
    for channel in data["channels"]:
        texts = isinstance(channel, dict) and all(isinstance(v, str) for key, v in channel.items() if key != "optional")
        check(texts and isinstance(channel.get("name"), str), "each channel needs a 'name', and holds texts only")
        check(isinstance(channel.get("optional", False), bool), "'optional' of a channel must be true or false")
    _check_labels(data["labels"], check)
    check(re.fullmatch("[0-9a-f]{64}", data["weights_sha256"]) is not None,
          "'weights_sha256' must be 64 hexadecimal digits")  # fmt: skip
    _check_preprocessing(data["preprocessing"], check)
    _check_sampling(data.get("sampling", {}), check)
    check_calibration(data.get("calibration", {}), len(data["labels"]), check)
    check_distribution(data.get("distribution", {}), check)
    if "clicks" in data:
        _check_clicks(data["clicks"], check)
    weights = Path(data["weights"])
    inside = not weights.is_absolute() and not {"..", ":", "\\"} & {*weights.parts, *data["weights"]}
    check(inside and weights.suffix == ".safetensors", "'weights' must name a .safetensors file inside the package")


def printable(value: Any) -> bool:
    """Whether no text in JSON data would do anything to a terminal."""
    if isinstance(value, dict):
        return all(printable(part) for pair in value.items() for part in pair)
    return (
        all(map(printable, value))
        if isinstance(value, list)
        else not (isinstance(value, str) and CONTROL.search(value))
    )


def _check_network(entry: dict, labels: int, check: Check) -> None:
    check(isinstance(entry.get("name"), str), "'network' needs a 'name'")
    check(isinstance(entry.get("arguments", {}), dict), "'network' 'arguments' must be an object")
    if "regions" in entry:
        regions = entry["regions"]
        pairs = isinstance(regions, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in regions)
        whole = pairs and all(type(number) is int for pair in regions for number in pair)
        check(
            whole and [sorted(numbers) for numbers in zip(*regions)] == [[*range(labels - 1)], [*range(1, labels)]],
            "'regions' must name each output and each label but the background once: [[output, label], ...]",
        )
    check(_moderate(entry), f"'network' holds a number beyond {LARGEST_ARGUMENT}")


def _moderate(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_moderate, value.values()))
    return all(map(_moderate, value)) if isinstance(value, list) else not (
        isinstance(value, (int, float)) and not abs(value) <= LARGEST_ARGUMENT
    )


def _check_labels(labels: list, check: Check) -> None:
    for entry in labels:
        check(isinstance(entry, dict), "each label must be an object")
        check(
            set(entry) <= {"value", "name", "color", "terminology"}, f"label {ascii(entry)[:200]} has unknown entries"
        )
        named = isinstance(entry.get("name"), str) and entry["name"] != ""
        check(named and type(entry.get("value")) is int, "each label needs value and name")
        color = entry.get("color", [0, 0, 0])
        check(isinstance(color, list) and len(color) == 3 and all(type(c) is int and 0 <= c < 256 for c in color),
              f"label '{entry['name']}': color must be three numbers 0 - 255")  # fmt: skip
        check(isinstance(entry.get("terminology", ""), str), f"label '{entry['name']}': terminology must be text")
    check([entry["value"] for entry in labels] == list(range(len(labels))), "label values must be 0, 1, 2, ...")
    check(1 < len(labels) < 256, "2 - 255 labels are expected, background first")
    check(len({entry["name"] for entry in labels}) == len(labels), "two labels have the same name")


def _check_preprocessing(entry: dict, check: Check) -> None:
    known = {"orientation", "spacing", "size", "normalization", "divisible", "crop", "resampling", "window"}
    check(set(entry) <= known, f"'preprocessing' has unknown entries beside {', '.join(sorted(known))}")
    divisible = entry.get("divisible", 8)
    check_orientation(entry.get("orientation", "RAS"), check)
    how = entry.get("normalization", "zscore")
    check(
        how != [] and all(map(_normalization, how if isinstance(how, list) else [how])),
        f"'normalization' must be {', '.join(NORMALIZATIONS)}, or low, high, mean, deviation; or a list of these",
    )
    check(entry.get("crop") in (None, "nonzero"), "'crop' must be nonzero or null")
    check(entry.get("resampling", "linear") in ("linear", "nnunet"), "'resampling' must be linear or nnunet")
    sizes = divisible if isinstance(divisible, list) else [divisible] * 3
    check(
        _numbers(sizes, 3, low=0) and all(type(n) is int and n <= LARGEST_DIVISIBLE for n in sizes),
        f"'divisible' must be one or three whole numbers up to {LARGEST_DIVISIBLE}",
    )
    for key, kinds in (("spacing", (int, float)), ("size", (int,)), ("window", (int,))):
        values = [None] * 3 if entry.get(key) is None else entry[key]
        given = [value for value in values if value is not None] if isinstance(values, list) else []
        good = isinstance(values, list) and len(values) == 3 and _numbers(given, len(given), low=0)
        check(good and all(type(value) in kinds for value in given),
              f"'{key}' must be null or three positive numbers (null for an axis that is left alone)")  # fmt: skip


def check_orientation(entry: Any, check: Check) -> None:
    """Likewise for `orientation` of the preprocessing."""
    letters = isinstance(entry, str) and len(entry) == 3
    letters = letters and all(sum(letter in axis for letter in entry) == 1 for axis in ("LR", "PA", "IS"))
    axes = isinstance(entry, list) and all(type(axis) is int for axis in entry) and sorted(entry) == [0, 1, 2]
    check(letters or axes, "'orientation' must be three letters, one each of L/R, P/A and I/S, or the axes 0, 1, 2")


def _normalization(how: Any) -> bool:
    if not isinstance(how, dict):
        return how in NORMALIZATIONS
    numbers = set(how) == {"low", "high", "mean", "deviation"} and _numbers(list(how.values()), 4)
    return numbers and how["low"] < how["high"] and how["deviation"] > 0


def _check_clicks(entry: dict, check: Check) -> None:
    check(set(entry) == {"sigma_mm"} and _numbers(list(entry.values()), 1, low=0),
          "'clicks' must hold sigma_mm, a positive number, and nothing else")  # fmt: skip


def _check_sampling(entry: dict, check: Check) -> None:
    known = {"samples", "steps", "sampler", "schedule", "training_steps", "tta"}
    check(set(entry) <= known, f"'sampling' has unknown entries beside {', '.join(sorted(known))}")
    for key in ("samples", "steps"):
        value = entry.get(key, 1)
        check(type(value) is int and 1 <= value <= 1000, f"'sampling' {key} must be a whole number from 1 to 1000")
    check(entry.get("schedule", "cosine") in ("linear", "cosine", "shifted-cosine"),
          "'sampling' schedule must be linear, cosine or shifted-cosine")  # fmt: skip
    length = entry.get("training_steps", 1000)
    check(
        type(length) is int and 21 <= length <= 100_000,
        "'sampling' training_steps must be a whole number from 21 to 100000",
    )
    check(isinstance(entry.get("tta", False), bool), "'sampling' tta must be true or false")
    check(entry.get("sampler", "ddim") in ("ddpm", "ddim", "dpm++"), "'sampling' sampler must be ddpm, ddim or dpm++")


def check_calibration(entry: dict, labels: int, check: Check) -> None:
    """Likewise for `calibration`, of a model with so many labels (with background)."""
    for name in ("temperature", "power"):
        check(_numbers([entry.get(name, 1.0)], 1, low=0), f"'calibration' {name} must be positive")
    check(_numbers(entry.get("label_scale", [1.0] * labels), labels, low=0),
          "'calibration' label_scale must hold a positive number for each label")  # fmt: skip
    lines, errors = entry.get("expected_dice", {}), entry.get("relative_volume_error", {})
    check(isinstance(lines, dict) and isinstance(errors, dict), "'calibration' entries must be objects")
    check(all(_numbers(v, 2) or _dice_entry(v) for v in lines.values()),
          "'calibration' expected_dice must hold [offset, slope], or dice, highest and features")  # fmt: skip
    check(all(_numbers([v], 1) and v >= 0 for v in errors.values()),
          "'calibration' relative_volume_error must hold numbers from 0 on")  # fmt: skip


def _dice_entry(entry: Any) -> bool:
    """Whether uncertainty.calibration.predict_dice can read it."""
    if not isinstance(entry, dict) or set(entry) != {"dice", "highest", "features"}:
        return False
    lines = entry["features"]
    known = isinstance(lines, dict) and set(lines) <= set(DICE_FEATURES) and all(_numbers(v, 2) for v in lines.values())
    return known and _numbers([entry["dice"], entry["highest"]], 2)


def _numbers(values: Any, count: int, low: float | None = None) -> bool:
    """Whether `values` is a list of `count` finite numbers, above `low`."""
    good = isinstance(values, list) and len(values) == count
    return good and all(type(v) in (int, float) and abs(v) < 1e9 and (low is None or v > low) for v in values)
