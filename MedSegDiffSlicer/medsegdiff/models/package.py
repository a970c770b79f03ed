"""Model packages: a MONAI bundle that holds data only (configs/*.json and models/*.safetensors)."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import JobError, RequestError
from .config_checks import FORMAT, TYPES, check_config
from .json_file import read_json, write_json

CONFIG = Path("configs/segmenter.json")
METADATA = Path("configs/metadata.json")
PAGE = Path("docs/README.md")  # what the model is and how far it can be trusted; written by calibrate
WEIGHTS = "models/model.safetensors"
MONAI_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
BROKEN = "the package is broken, install the model again"  # how a RequestError about a configuration ends
LARGEST_CONFIG = 1 << 20  # bytes; a configuration is a page of text, not a payload


_HUES = ((221, 130, 101), (144, 238, 144), (111, 184, 210), (241, 214, 145), (216, 101, 79), (152, 189, 207),
         (255, 244, 209), (188, 95, 76), (138, 149, 111), (200, 170, 220))  # fmt: skip


@dataclass(frozen=True)
class Label:
    """One structure: voxel value, name, colour (r, g, b in 0 - 255; None gives one that its neighbours do not have),
    Slicer's serialised terminology entry."""

    value: int
    name: str
    color: tuple[int, int, int] | None = None
    terminology: str = ""

    def __post_init__(self) -> None:
        if self.color is None:
            object.__setattr__(self, "color", _HUES[(self.value - 1) % len(_HUES)] if self.value else (0, 0, 0))


@dataclass(frozen=True)
class ModelPackage:
    """A model on disk, without its weights: reading it needs no torch and runs no code of the package.

    network: {"name": registry name, "arguments": {...}}; of one whose outputs are regions that overlap "regions", see
      networks.region_outputs.  channels: one {"name", "modality"} an input channel; of
      one that an image may lack "optional", true.
    labels: background first, values 0, 1, 2, ...  preprocessing: see inference.preprocessing.
    sampling: the defaults {"samples", "steps", "sampler", "tta"}, and the "schedule" and its
      "training_steps".  calibration: see uncertainty.calibration.
    distribution: of the training cases, see training.describe_training.
    clicks: {"sigma_mm"}, where the network has one more input channel a label, after the image's: a map of the clicks
      with that label (see inference.click_maps); empty for networks that know of no clicks.
    training: provenance, free form.  licence, attribution: texts to show.  weights_sha256: hash of the weights file.
    """

    folder: Path
    name: str
    description: str
    network: dict[str, Any]
    channels: tuple[dict[str, Any], ...]
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


def load_package(folder: str | Path) -> ModelPackage:
    """Reads and checks a package's configuration (not its weights; see verify_package).

    Raises RequestError where the folder is no package, or its configuration breaks the schema.
    """
    folder = Path(folder)
    path = folder / CONFIG
    if not os.path.isfile(path):
        raise RequestError(f"{folder} is not a model package: {CONFIG} is missing")
    return _parse(
        folder, read_json(path, LARGEST_CONFIG, "a model's configuration", "install the model again", unique=True)
    )


def verify_package(package: ModelPackage) -> None:
    """Compares the weights file with the hash of the configuration. Raises RequestError where they differ."""
    path = package.weights_path
    if not path.is_file():
        raise RequestError(f"model '{package.name}': {path} is missing; install the model again")
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}; repair the access") from None
    if digest != package.weights_sha256:
        raise RequestError(
            f"model '{package.name}': {path} is damaged or was changed (SHA-256 {digest[:12]}... instead of "
            f"{package.weights_sha256[:12]}...); install the model again"
        )


def sha256_of(path: Path) -> str:
    """A file's SHA-256, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while part := stream.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def write_package(package: ModelPackage, weights: dict[str, Any] | None = None) -> ModelPackage:
    """Writes a package into its folder: the weights, tensors by name, where they are given, and the configuration.

    The package comes back as it was written, with the hash of the new weights. Raises RequestError where it could not
    be read again.
    """
    from .. import __version__

    if weights is not None:
        package = replace(package, weights_sha256=_write_weights(package.weights_path, weights))
    check_package(package)
    write_json(package.folder / CONFIG, _to_dict(package))
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
    write_json(package.folder / METADATA, metadata)
    return package


def _write_weights(path: Path, weights: dict[str, Any]) -> str:
    """SHA-256 of the file written."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    places, own = set(), {}
    for name, value in weights.items():
        place = value.untyped_storage().data_ptr()
        own[name] = (value.clone() if place in places else value).contiguous()  # of shared ones, safetensors takes none
        places.add(place)
    try:
        save_file(own, path)
    except SafetensorError as error:
        raise JobError(f"{path} cannot be written ({error}); make room, and try again") from None
    os.chmod(path, 0o644)
    return sha256_of(path)


def check_package(package: ModelPackage) -> None:
    """Raises RequestError where the package, once written, could not be read again."""
    _parse(package.folder, _to_dict(package))


def _to_dict(package: ModelPackage) -> dict:
    data = {key: getattr(package, key) for key in TYPES if key not in ("channels", "labels")}
    if not package.clicks:
        del data["clicks"]
    data["channels"] = list(package.channels)
    data["labels"] = [
        {"value": x.value, "name": x.name, "color": list(x.color), "terminology": x.terminology} for x in package.labels
    ]
    return {"format": FORMAT, **data}


def _parse(folder: Path, data: Any) -> ModelPackage:
    def check(good: bool, message: str) -> None:
        if not good:
            raise RequestError(f"{folder / CONFIG}: {message}; {BROKEN}")

    try:
        check_config(data, check)
    except RecursionError:
        check(False, "its entries lie within entries without end, which is not valid JSON for others")
    labels = tuple(
        Label(**{**entry, "color": tuple(entry["color"]) if "color" in entry else None}) for entry in data["labels"]
    )
    rest = {key: value for key, value in data.items() if key != "format"}
    return ModelPackage(folder=folder, **{**rest, "labels": labels, "channels": tuple(data["channels"])})
