"""Model packages: a MONAI bundle that holds data only (configs/*.json and models/*.safetensors)."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import RequestError
from ..uncertainty.rules import DICE_FEATURES
from .distribution_entry import check_distribution

CONFIG = Path("configs/segmenter.json")
METADATA = Path("configs/metadata.json")
PAGE = Path("docs/README.md")  # what the model is and how far it can be trusted; written by calibrate
WEIGHTS = "models/model.safetensors"
FORMAT = 1
MONAI_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
LARGEST_CONFIG = 1 << 20  # bytes; a configuration is a page of text, not a payload


@dataclass(frozen=True)
class Label:
    """One structure: voxel value, name, colour (r, g, b in 0 - 255), Slicer's serialised terminology entry."""

    value: int
    name: str
    color: tuple[int, int, int] = (128, 174, 128)
    terminology: str = ""


@dataclass(frozen=True)
class ModelPackage:
    """A model on disk, without its weights: reading it needs no torch and runs no code of the package.

    network: {"name": registry name, "arguments": {...}}.  channels: one {"name", "modality"} an input channel.
    labels: background first, values 0, 1, 2, ...  preprocessing: see inference.preprocessing.
    sampling: the defaults {"samples", "steps", "sampler", "tta"}, and the "schedule".  calibration: see uncertainty.calibration.
    distribution: of the training cases, see training.describe_training.
    clicks: {"sigma_mm"}, where the network has one more input channel a label, after the image's: a map of the clicks
      with that label (see inference.click_maps); empty for networks that know of no clicks.
    training: provenance, free form.  licence, attribution: texts to show.  weights_sha256: hash of the weights file.
    """

    folder: Path
    name: str
    description: str
    network: dict[str, Any]
    channels: tuple[dict[str, str], ...]
    labels: tuple[Label, ...]
    preprocessing: dict[str, Any]
    weights: str = WEIGHTS
    weights_sha256: str = ""
    sampling: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    distribution: dict[str, Any] = field(default_factory=dict)
    clicks: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    attribution: str = ""

    @property
    def weights_path(self) -> Path:
        """The weights file."""
        return self.folder / self.weights

    @property
    def inputs(self) -> int:
        """Input channels of the network: the image's, and those of clicks."""
        return len(self.channels) + (len(self.labels) if self.clicks else 0)

    @property
    def foreground(self) -> tuple[Label, ...]:
        """The labels without the background."""
        return self.labels[1:]


_TYPES = {
    "name": str, "description": str, "network": dict, "channels": list, "labels": list, "preprocessing": dict,
    "weights": str, "weights_sha256": str, "sampling": dict, "calibration": dict, "distribution": dict, "clicks": dict,
    "training": dict,
    "licence": str, "attribution": str,
}  # fmt: skip
_REQUIRED = ("name", "description", "network", "channels", "labels", "preprocessing", "weights", "weights_sha256")


def load_package(folder: str | Path) -> ModelPackage:
    """Reads and checks a package's configuration (not its weights; see verify_package).

    Raises RequestError where the folder is no package, or its configuration breaks the schema.
    """
    folder = Path(folder)
    path = folder / CONFIG
    try:
        if not path.is_file():
            raise RequestError(f"{folder} is not a model package: {CONFIG} is missing")
        if path.stat().st_size > LARGEST_CONFIG:
            raise RequestError(f"{path} is larger than {LARGEST_CONFIG >> 20} MB; this is no model configuration")
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}; repair the access or remove the model") from None
    except (ValueError, RecursionError, UnicodeDecodeError) as error:
        raise RequestError(f"{path} is not valid JSON ({error}); install the model again") from None
    return _parse(folder, data)


def verify_package(package: ModelPackage) -> None:
    """Compares the weights file with the hash of the configuration. Raises RequestError where they differ."""
    path = package.weights_path
    if not path.is_file():
        raise RequestError(f"model '{package.name}': {path} is missing; install the model again")
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}; repair the access") from None
    if digest != package.weights_sha256:
        raise RequestError(
            f"model '{package.name}': {path} is damaged or was changed (SHA-256 {digest[:12]}... instead of "
            f"{package.weights_sha256[:12]}...); install the model again"
        )


def write_package(package: ModelPackage, weights: dict[str, Any] | None = None) -> ModelPackage:
    """Writes a package into its folder: the weights, tensors by name, where they are given, and the configuration.

    The package comes back as it was written, with the hash of the new weights. Raises RequestError where it could not be
    read again.
    """
    from .. import __version__

    if weights is not None:
        package = replace(package, weights_sha256=_write_weights(package.weights_path, weights))
    check_package(package)
    _write_json(package.folder / CONFIG, _to_dict(package))
    channel_def = {str(x.value): x.name for x in package.labels}
    names = [c["name"] for c in package.channels]
    names += [f"clicks: {label.name}" for label in package.labels] if package.clicks else []
    inputs = {str(i): name for i, name in enumerate(names)}
    plain = {"type": "image", "format": "magnitude", "spatial_shape": ["*", "*", "*"], "dtype": "float32"}
    metadata = {
        "schema": MONAI_SCHEMA,
        "version": __version__,
        "changelog": {__version__: "written by medsegdiff"},
        "monai_version": "1.5.0",
        "pytorch_version": "2.4.0",
        "numpy_version": "1.26.0",
        "required_packages_version": {"safetensors": "0.4.0"},
        "task": "segmentation",
        "description": package.description,
        "authors": "MedSegDiffSlicer contributors",
        "copyright": package.attribution,
        "network_data_format": {
            "inputs": {
                "image": {
                    **plain, "modality": package.channels[0].get("modality", "n/a"),
                    "num_channels": len(names), "value_range": [-10, 10], "is_patch_data": True,
                    "channel_def": inputs,
                }
            },
            "outputs": {
                "pred": {
                    **plain, "format": "segmentation", "num_channels": len(package.labels), "value_range": [0, 1],
                    "is_patch_data": True, "channel_def": channel_def,
                }
            },
        },
    }  # fmt: skip
    _write_json(package.folder / METADATA, metadata)
    return package


def _write_weights(path: Path, weights: dict[str, Any]) -> str:
    """SHA-256 of the file written."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in weights.items()}, path)
    os.chmod(path, 0o644)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_package(package: ModelPackage) -> None:
    """Raises RequestError where the package, once written, could not be read again."""
    _parse(package.folder, _to_dict(package))


def _to_dict(package: ModelPackage) -> dict:
    data = {key: getattr(package, key) for key in _TYPES if key not in ("channels", "labels")}
    if not package.clicks:
        del data["clicks"]
    data["channels"] = list(package.channels)
    data["labels"] = [
        {"value": x.value, "name": x.name, "color": list(x.color), "terminology": x.terminology} for x in package.labels
    ]
    return {"format": FORMAT, **data}


def _write_json(path: Path, data: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _parse(folder: Path, data: Any) -> ModelPackage:
    def check(good: bool, message: str) -> None:
        if not good:
            raise RequestError(f"{folder / CONFIG}: {message}; the package is broken, install the model again")

    check(isinstance(data, dict), "a JSON object is expected")
    check(data.pop("format", None) == FORMAT, f"'format' must be {FORMAT}")
    unknown, missing = sorted(set(data) - set(_TYPES)), [key for key in _REQUIRED if key not in data]
    check(not unknown, f"unknown entry {', '.join(map(repr, unknown))}")
    check(not missing, f"entry {', '.join(map(repr, missing))} is missing")
    for key, value in data.items():
        check(isinstance(value, _TYPES[key]), f"'{key}' must be of type {_TYPES[key].__name__}")
    check(isinstance(data["network"].get("name"), str), "'network' needs a 'name'")
    check(isinstance(data["network"].get("arguments", {}), dict), "'network' 'arguments' must be an object")
    check(len(data["channels"]) > 0, "'channels' is empty")
    for channel in data["channels"]:
        check(isinstance(channel, dict) and isinstance(channel.get("name"), str), "each channel needs a 'name'")
    labels = [_parse_label(entry, check) for entry in data["labels"]]
    check([x.value for x in labels] == list(range(len(labels))), "label values must be 0, 1, 2, ...")
    check(1 < len(labels) < 256, "2 - 255 labels are expected, background first")
    check(len({x.name for x in labels}) == len(labels), "two labels have the same name")
    check(all(c in "0123456789abcdef" for c in data["weights_sha256"]) and len(data["weights_sha256"]) == 64,
          "'weights_sha256' must be 64 hexadecimal digits")  # fmt: skip
    _check_preprocessing(data["preprocessing"], check)
    _check_sampling(data.get("sampling", {}), check)
    _check_calibration(data.get("calibration", {}), len(labels), check)
    check_distribution(data.get("distribution", {}), check)
    if "clicks" in data:
        _check_clicks(data["clicks"], check)
    weights = Path(data["weights"])
    inside = not weights.is_absolute() and ".." not in weights.parts and weights.suffix == ".safetensors"
    check(inside, "'weights' must name a .safetensors file inside the package")
    return ModelPackage(folder=folder, **{**data, "labels": tuple(labels), "channels": tuple(data["channels"])})


def _check_preprocessing(entry: dict, check) -> None:
    known = {"orientation", "spacing", "size", "normalization", "divisible"}
    check(set(entry) <= known, f"'preprocessing' has unknown entries beside {', '.join(sorted(known))}")
    orientation, divisible = entry.get("orientation", "RAS"), entry.get("divisible", 8)
    check(isinstance(orientation, str) and len(orientation) == 3
          and all(sum(letter in axis for letter in orientation) == 1 for axis in ("LR", "PA", "IS")),
          "'orientation' must be three letters, one each of L/R, P/A and I/S")  # fmt: skip
    check(entry.get("normalization", "zscore") in ("zscore", "percentile", "8bit", "none"),
          "'normalization' must be zscore, percentile, 8bit or none")  # fmt: skip
    sizes = divisible if isinstance(divisible, list) else [divisible] * 3
    check(_numbers(sizes, 3, low=0) and all(type(n) is int for n in sizes), "'divisible' must be one or three whole numbers")
    for key, kinds in (("spacing", (int, float)), ("size", (int,))):
        values = [None] * 3 if entry.get(key) is None else entry[key]
        given = [value for value in values if value is not None] if isinstance(values, list) else []
        good = isinstance(values, list) and len(values) == 3 and _numbers(given, len(given), low=0)
        check(good and all(type(value) in kinds for value in given),
              f"'{key}' must be null or three positive numbers (null for an axis that is left alone)")  # fmt: skip


def _check_clicks(entry: dict, check) -> None:
    check(set(entry) == {"sigma_mm"} and _numbers(list(entry.values()), 1, low=0),
          "'clicks' must hold sigma_mm, a positive number, and nothing else")  # fmt: skip


def _check_sampling(entry: dict, check) -> None:
    known = {"samples", "steps", "sampler", "schedule", "tta"}
    check(set(entry) <= known, f"'sampling' has unknown entries beside {', '.join(sorted(known))}")
    for key in ("samples", "steps"):
        value = entry.get(key, 1)
        check(type(value) is int and 1 <= value <= 1000, f"'sampling' {key} must be a whole number from 1 to 1000")
    check(entry.get("schedule", "cosine") in ("linear", "cosine", "shifted-cosine"),
          "'sampling' schedule must be linear, cosine or shifted-cosine")  # fmt: skip
    check(isinstance(entry.get("tta", False), bool), "'sampling' tta must be true or false")
    check(entry.get("sampler", "ddim") in ("ddpm", "ddim", "dpm++"), "'sampling' sampler must be ddpm, ddim or dpm++")


def _check_calibration(entry: dict, labels: int, check) -> None:
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


def _parse_label(entry: Any, check) -> Label:
    check(isinstance(entry, dict), "each label must be an object")
    check(set(entry) <= {"value", "name", "color", "terminology"}, f"label {entry} has unknown entries")
    named = isinstance(entry.get("name"), str) and entry["name"] != ""
    check(named and isinstance(entry.get("value"), int), "each label needs value and name")
    color = entry.get("color", [128, 174, 128])
    check(isinstance(color, list) and len(color) == 3 and all(isinstance(c, int) and 0 <= c < 256 for c in color),
          f"label '{entry['name']}': color must be three numbers 0 - 255")  # fmt: skip
    terminology = entry.get("terminology", "")
    check(isinstance(terminology, str), f"label '{entry['name']}': terminology must be text")
    return Label(entry["value"], entry["name"], tuple(color), terminology)
