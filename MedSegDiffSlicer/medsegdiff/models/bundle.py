"""MONAI bundles as model packages: the network from its configuration as data, the weights from models/."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RequestError
from .bundle_transforms import READ, preprocessing_of
from .checkpoint import read_checkpoint, state_of
from .config_checks import printable
from .copying import LARGEST_TEXT, copy_files
from .json_file import read_json
from .package import LARGEST_CONFIG, METADATA, Label, ModelPackage, write_package
from .region_labels import labels_of

if TYPE_CHECKING:
    from torch import Tensor

CONFIGS = ("configs/inference.json", "configs/train.json")  # the first one there is
YAML = tuple(name.replace(".json", ending) for name in CONFIGS for ending in (".yaml", ".yml"))
WEIGHTS = ("models/model.safetensors", "models/model.pt")
_NETWORK, _PREPROCESSING = (
    ("network_def", "network", "net"),
    ("preprocessing", "pre_transforms", "preprocessing_transforms"),
)
_ACTIVATIONS = ("sigmoid", "softmax", "argmax")
_DEPTH = 50  # of references
_LENGTH = 100_000  # entries, and characters of texts, with all that they refer to


def write_bundle(
    path: Path, folder: Path, name: str | None = None, licence: str | None = None, channels: Sequence[str] = (),
    labels: Sequence[str] = (), spacing: Sequence[float] = (), normalization: str | dict | None = None,
    orientation: str | None = None, modality: str | None = None, paint: Sequence[str] = (), trust: bool = False,
) -> ModelPackage:  # fmt: skip
    """Writes a bundle as a package into `folder`.

    name, licence, channels, labels (without the background), modality, spacing, normalization, orientation: where the
    bundle does not tell them, or tells them otherwise.  paint: of outputs that are regions, see models.region_labels.
    trust: whether expressions in the network's and the preprocessing's configuration are evaluated, which runs whatever
    code they hold; without, they are refused, and nothing but data is read.
    """
    config = _Config(path, trust)
    network = config.first(_NETWORK)
    if not isinstance(network, dict) or not isinstance(network.get("_target_"), str):
        raise RequestError(
            f"{config.file} does not say what its network is ({', '.join(_NETWORK)}); no plain MONAI bundle"
        )
    options = {key: value for key, value in network.items() if not (key.startswith("_") and key.endswith("_"))}
    target = re.fullmatch(r"(?:monai\.networks\.nets\.(?:\w+\.)*)?(\w+)", network["_target_"])
    if target is None:  # a class of the bundle's own may have the name of one of MONAI's
        raise RequestError(
            f"{config.file}: {ascii(network['_target_'])[:80]} is no network of monai.networks.nets; no plain MONAI "
            "bundle"
        )
    architecture = target[1]
    if architecture == "SwinUNETR":  # which once asked for it, as in MONAI's published bundle; it shaped no weight
        options.pop("img_size", None)
    told = _json(path / METADATA)
    format_ = told.get("network_data_format", {})
    image = next(iter(format_.get("inputs", {}).values()), {})
    mask = next(iter(format_.get("outputs", {}).values()), {})
    names = tuple(channels) or _definitions(image, options.get("in_channels"))
    outputs, activation = (
        options.get("out_channels"),
        _activation(config.find("postprocessing", {"transforms", *_ACTIVATIONS})),
    )
    if paint and activation in ("softmax", "argmax"):
        raise RequestError(
            f"{path}: its outputs are labels ({activation}), not regions that may overlap; leave out --paint"
        )
    if paint or (outputs != 1 and activation == "sigmoid"):
        structures, painted = _painted(tuple(labels) or _definitions(mask, outputs), paint, outputs, path)
    else:
        known = ("background", *labels) if labels else _definitions(mask, None)
        structures, painted = _labels(known, outputs, path), {}
    untold = spacing and normalization and config.has_only_expressions(_PREPROCESSING)
    steps = {} if untold else config.first(_PREPROCESSING, READ) or {}
    given = {"spacing": list(spacing) or None, "normalization": normalization, "orientation": orientation}
    given = {key: value for key, value in given.items() if value}
    preprocessing = preprocessing_of(steps, config.find("inferer", {"roi_size"}), options, given, str(path))
    title = name or re.sub(r"[^\w.-]+", "-", str(told.get("name") or path.resolve().name)).strip("-.").lower()
    modality = modality or {"CT": "CT", "MR": "MR", "MRI": "MR"}.get(str(image.get("modality", "")).upper(), "")
    package = ModelPackage(
        folder=folder, name=title,
        description=" ".join(str(told.get("description", "imported from a MONAI bundle")).split()),
        network={"name": "monai", "arguments": {"architecture": architecture, "options": options}, **painted},
        channels=tuple({"name": channel, "modality": modality} for channel in names),
        labels=structures, preprocessing=preprocessing,
        licence=licence or ("see LICENSE" if (path / "LICENSE").is_file() else ""),
        attribution=str(told.get("copyright", "")),
        training={"code": "MONAI bundle", "version": str(told.get("version", "")),
                  "authors": str(told.get("authors", ""))},
    )  # fmt: skip
    package = write_package(package, _weights(path))
    copy_files(path, ("LICENSE",), folder, LARGEST_TEXT)
    return package


class _Config:
    """A bundle's configuration, of which parts are read as data.

    keys: which entries of objects are read; None for all. Others may be expressions, or refer to some.
    """

    def __init__(self, path: Path, trust: bool):
        self.file = next((path / name for name in CONFIGS if (path / name).is_file()), path / CONFIGS[0])
        if not self.file.is_file() and (
            written := next((path / name for name in YAML if (path / name).is_file()), None)
        ):
            raise RequestError(
                f"{written} is YAML, which is not read; write it as {self.file.name} beside it, for example with "
                "monai.bundle.ConfigParser.load_config_file and export_config_file"
            )
        self._data, self._trust, self._length = _json(self.file), trust, 0

    def first(self, names: Sequence[str], keys: Set[str] | None = None) -> Any:
        """The first entry there is that is no expression; else what the first expression gives, where that is
        trusted."""
        there = [name for name in names if name in self._data]
        plain = [name for name in there if not _expression(self._data[name])]
        return self.find((plain or there or [names[0]])[0], keys)

    def has_only_expressions(self, names: Sequence[str]) -> bool:
        """Whether entries are there, and each is an expression."""
        there = [self._data[name] for name in names if name in self._data]
        return bool(there) and all(map(_expression, there))

    def find(self, name: str, keys: Set[str] | None = None) -> Any:
        """An entry with what it refers to; None where there is none. Raises RequestError for expressions."""
        return self._resolved(self._data.get(name), keys, 0)

    def _resolved(self, value: Any, keys: Set[str] | None, depth: int) -> Any:
        self._length += 1 + (len("".join(value)) if isinstance(value, (str, dict)) else 0)
        if depth > _DEPTH or self._length > _LENGTH:
            raise RequestError(f"{self.file}: entries refer to each other without end; no plain MONAI bundle")
        if isinstance(value, dict):
            wanted = value if keys is None else keys & set(value)
            return {key: self._resolved(value[key], keys, depth + 1) for key in wanted}
        if isinstance(value, list):
            return [self._resolved(part, keys, depth + 1) for part in value]
        if _expression(value):
            return self._evaluated(value)
        if isinstance(value, str) and re.fullmatch(r"@[\w:#]+", value):
            return self._resolved(self._at(value[1:]), keys, depth + 1)
        return value

    def _at(self, place: str) -> Any:
        value: Any = self._data
        for key in re.split(r"::|#", place):
            try:
                value = value[int(key) if isinstance(value, list) else key]
            except (LookupError, ValueError, TypeError):
                raise RequestError(f"{self.file}: '@{place}' refers to nothing; no plain MONAI bundle") from None
        return value

    def _evaluated(self, expression: str) -> Any:
        if not self._trust:
            raise RequestError(
                f"{self.file} holds the expression {ascii(expression)[:80]}, which is code; if you trust whoever made "
                "the bundle, import it with --trust"
            )
        from monai.bundle import ConfigParser

        parser = ConfigParser({**self._data, "_wanted_": expression})
        try:
            value = parser.get_parsed_content("_wanted_")
        except Exception as error:  # of the bundle's own code
            said = ascii(" ".join(str(error).split()))[1:-1][:150]
            raise RequestError(
                f"{self.file}: {ascii(expression)[:80]} fails ({type(error).__name__}: {said}); get the bundle anew, "
                "or install what it needs"
            ) from error
        try:
            return json.loads(json.dumps(value))
        except (TypeError, ValueError):
            raise RequestError(
                f"{self.file}: {ascii(expression)[:80]} does not give plain data; it cannot be kept"
            ) from None


def _expression(value: Any) -> bool:
    return isinstance(value, str) and value.lstrip().startswith(("$", "%"))  # % takes parts of other files


def _definitions(entry: dict, count: Any) -> tuple[str, ...]:
    """Names of channels or labels, in their order."""
    told = entry.get("channel_def", {})
    if not printable(told):
        raise RequestError(f"{METADATA} of the bundle has control characters in its names; get it anew")
    if told and sorted(told) == sorted(map(str, range(len(told)))):
        return tuple(str(told[str(n)]) for n in range(len(told)))
    return tuple(f"channel {n + 1}" for n in range(count)) if isinstance(count, int) else ()


def _labels(names: Sequence[str], outputs: int | None, path: Path) -> tuple[Label, ...]:
    """The labels by their names; the background's may be missing where it is clear."""
    wanted = max(2, int(outputs or len(names)))
    if len(names) == 1 and wanted == 2:
        names = ("background", *names)
    if len(names) != wanted:
        raise RequestError(
            f"{path}: the network has {wanted} labels, the bundle tells {len(names)}; name the structures with --labels"
        )
    return tuple(Label(value, text) for value, text in enumerate(names))


def _painted(
    names: Sequence[str], paint: Sequence[str], outputs: int | None, path: Path
) -> tuple[tuple[Label, ...], dict]:
    """As models.region_labels.labels_of, of outputs that are regions."""
    if not paint:
        raise RequestError(
            f"{path}: its outputs are regions, which may overlap; say in which order they are painted, the innermost "
            f"last, with --paint {','.join(names)} or another order"
        )
    if outputs is not None and len(names) != outputs:
        raise RequestError(f"{path}: the network has {outputs} regions; name as many with --labels, in their order")
    return labels_of(names, paint, path)


def _activation(postprocessing: Any) -> str | None:
    """What is made of the network's outputs first, of _ACTIVATIONS."""
    steps = postprocessing.get("transforms", []) if isinstance(postprocessing, dict) else []
    plain = [step for step in steps if isinstance(step, dict)]
    return next((name for step in plain for name in _ACTIVATIONS if step.get(name) is True), None)


def _weights(path: Path) -> dict[str, Tensor]:
    file = next((path / name for name in WEIGHTS if (path / name).is_file()), None)
    if file is None:
        raise RequestError(f"{path} has no {' or '.join(WEIGHTS)}; download all of the bundle")
    if (state := state_of(read_checkpoint(file))) is None:
        raise RequestError(f"{file} does not hold weights alone; export the bundle's state_dict")
    return {f"net.{name}": value for name, value in state.items()}


def _json(file: Path) -> dict:
    return read_json(file, LARGEST_CONFIG, "a bundle's configuration", "download the bundle again")
