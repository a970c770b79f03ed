"""Ensembles: several models under one name, a folder that holds configs/ensemble.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from os.path import isfile
from pathlib import Path
from typing import Any

from ..errors import RequestError
from .agreement import check_agreement
from .config_checks import FORMAT, Check, check_calibration, check_entries
from .json_file import read_json, write_json
from .package import LARGEST_CONFIG, Label, ModelPackage
from .store import ENSEMBLE, broken_models, ensemble_folders, find_model, list_models

VARIANTS = ("mirror", "rotation", "intensity")
PROBABILITIES, LOGITS = AVERAGES = ("probabilities", "logits")
_TYPES = {"name": str, "description": str, "members": list, "variants": list, "average": str, "calibration": dict,
          "validation": dict, "fitted_for": str}  # fmt: skip
_FITTED = ("calibration", "validation", "fitted_for")
_REQUIRED = ("name", "description", "members")


@dataclass(frozen=True)
class Member:
    """model: its name in the store.  samples: asked of it, 1 - 1000.  weight: of all its opinions together,
    1e-9 - 1e9."""

    model: str
    samples: int
    weight: float


@dataclass(frozen=True)
class Ensemble:
    """What a run asks of several models, as data; to lists of models it looks like a ModelPackage.

    packages: of the members, in their order.  variants: see SegmentRequest; None for the models' own.
    average: see AVERAGES; of the models' probabilities, or of what their softmax was taken (see
      uncertainty.logit_pool).
    calibration: as of a package, for the opinions of all members together, once each is scaled by its model's own;
      empty: the members' own, see inference.engine.  validation: of that calibration, as of a package.
    fitted_for: the `fingerprint` of the members that it was fitted for; empty where that is not known.
    """

    folder: Path
    name: str
    description: str
    members: tuple[Member, ...]
    packages: tuple[ModelPackage, ...]
    variants: tuple[str, ...] | None = None
    average: str = PROBABILITIES
    calibration: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, Any] = field(default_factory=dict)
    fitted_for: str = ""

    @property
    def channels(self) -> tuple[dict[str, Any], ...]:
        """Of the first member; all agree."""
        return self.packages[0].channels

    @property
    def labels(self) -> tuple[Label, ...]:
        """Likewise."""
        return self.packages[0].labels

    @property
    def foreground(self) -> tuple[Label, ...]:
        """Likewise."""
        return self.packages[0].foreground

    @property
    def clicks(self) -> bool:
        """Whether a member's network heeds clicks."""
        return any(package.clicks for package in self.packages)

    @property
    def sampling(self) -> dict[str, Any]:
        """Of the member that is asked for most samples, with their number here."""
        most = max(self.members, key=lambda member: member.samples)
        return {**self.packages[self.members.index(most)].sampling, "samples": most.samples}

    @property
    def training(self) -> dict[str, Any]:
        """What validation found."""
        return {"validation": self.validation} if self.validation else {}

    @property
    def licence(self) -> str:
        """Of the members, each once."""
        return ", ".join(dict.fromkeys(package.licence for package in self.packages))

    @property
    def attribution(self) -> str:
        """Likewise."""
        return "\n".join(dict.fromkeys(package.attribution for package in self.packages))

    def samples(self, number: int | None = None) -> tuple[int, ...]:
        """Asked of each member; number: of those that are asked for most, the others are asked for no more."""
        most = max(member.samples for member in self.members)
        if number is None:
            return tuple(member.samples for member in self.members)
        return tuple(number if one.samples == most else min(one.samples, number) for one in self.members)


def load_ensemble(folder: str | Path, beside: Sequence[ModelPackage] = ()) -> Ensemble:
    """Reads and checks an ensemble and its members' configurations. beside: packages that go before those of the store.
    Raises RequestError where it is none, a member is missing, or they cannot be asked together."""
    path = Path(folder) / ENSEMBLE
    data = read_json(path, LARGEST_CONFIG, "an ensemble's configuration", "install the ensemble again", unique=True)

    def check(good: bool, message: str) -> None:
        if not good:
            raise RequestError(f"{path}: {message}; mend it or install the ensemble again")

    try:
        _check(data, check)
    except RecursionError:
        check(False, "its entries lie within entries without end")
    members = tuple(Member(one["model"], one["samples"], one.get("weight", 1)) for one in data["members"])
    known = {package.name: package for package in (*list_models(), *beside)}
    packages = tuple(_package_of(data["name"], member, known) for member in members)
    try:
        check_agreement(packages)
    except RequestError as error:
        raise RequestError(f"ensemble '{data['name']}' cannot be asked: {error}") from None
    check_calibration(data.get("calibration", {}), len(packages[0].labels), check)
    rest = {
        name: data[name] for name in ("name", "description", "average", *_FITTED) if name in data
    }
    variants = tuple(data["variants"]) if "variants" in data else None
    return Ensemble(Path(folder), members=members, packages=packages, variants=variants, **rest)


def fingerprint(packages: Sequence[ModelPackage]) -> str:
    """SHA-256 of what the members' opinions depend on: their weights and what each one's own are scaled by."""
    told = [[package.weights_sha256, package.calibration] for package in packages]
    return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def write_ensemble(ensemble: Ensemble) -> None:
    """Writes the configuration into the ensemble's folder."""
    data: dict[str, Any] = {"format": FORMAT, "name": ensemble.name, "description": ensemble.description}
    data["members"] = [asdict(member) for member in ensemble.members]
    if ensemble.variants is not None:
        data["variants"] = list(ensemble.variants)
    if ensemble.average != PROBABILITIES:
        data["average"] = ensemble.average
    data |= {name: getattr(ensemble, name) for name in _FITTED if getattr(ensemble, name)}
    write_json(ensemble.folder / ENSEMBLE, data)


def read_ensembles() -> tuple[list[Ensemble], list[str]]:
    """All that can be asked, each name once; models of their names go before them. And why others cannot, a sentence
    each."""
    taken, found, reasons = {package.name for package in list_models()}, {}, []
    for folder in ensemble_folders():
        try:
            ensemble = load_ensemble(folder)
        except RequestError as error:
            reasons.append(str(error))
            continue
        if ensemble.name not in taken:
            found.setdefault(ensemble.name, ensemble)
    return sorted(found.values(), key=lambda one: one.name), reasons


def list_ensembles() -> list[Ensemble]:
    """Those of read_ensembles that can be asked."""
    return read_ensembles()[0]


def find_ensemble(name: str | Path) -> Ensemble | None:
    """The ensemble of that name, or in that folder; None where there is none, or a model of that name, which goes
    before it. Raises RequestError where it is broken, or lacks a member."""
    if isfile(Path(name) / ENSEMBLE):
        return load_ensemble(name)
    candidates = [folder for folder in ensemble_folders() if str(name) in (folder.name, _told_name(folder))]
    if not candidates or any(package.name == str(name) for package in list_models()):
        return None  # most names are those of models, which need no ensemble to be read
    for folder in candidates:
        try:
            ensemble = load_ensemble(folder)
        except RequestError:
            continue
        if ensemble.name == str(name):
            return ensemble
    return load_ensemble(candidates[0])


def read_installed() -> tuple[list[ModelPackage | Ensemble], list[str]]:
    """All that can be asked by name, models, then ensembles; and why others in the folders cannot, a sentence each."""
    found, reasons = read_ensembles()
    return [*list_models(), *found], [*broken_models(), *reasons]


def list_installed() -> list[ModelPackage | Ensemble]:
    """Those of read_installed that can be asked."""
    return [*list_models(), *list_ensembles()]


def find_installed(name: str | Path) -> ModelPackage | Ensemble:
    """As find_model, ensembles included."""
    return find_ensemble(name) or find_model(name)


def _told_name(folder: Path) -> str | None:
    """What a configuration says before it is checked; None where it cannot be read."""
    try:
        return read_json(folder / ENSEMBLE, LARGEST_CONFIG, "an ensemble's configuration", "").get("name")
    except RequestError:
        return None


def _package_of(ensemble: str, member: Member, known: dict[str, ModelPackage]) -> ModelPackage:
    if member.model in known:
        return known[member.model]
    try:
        folder = find_model(member.model).folder
    except RequestError as error:
        raise RequestError(f"ensemble '{ensemble}' cannot be asked: {error}") from None
    raise RequestError(
        f"ensemble '{ensemble}' cannot be asked: {folder} is no model's name; import it, and give its name"
    )


def _check(data: Any, check: Check) -> None:
    check_entries(data, _TYPES, _REQUIRED, check)
    check(len(data["members"]) > 1, "'members' must be two or more")
    for one in data["members"]:
        _check_member(one, check)
    names = [one["model"] for one in data["members"]]
    check(len(set(names)) == len(names), "a model is named twice")
    variants = data.get("variants", [])
    known = all(name in VARIANTS for name in variants) and len(set(map(str, variants))) == len(variants)
    check(data.get("average", PROBABILITIES) in AVERAGES, f"'average' must be one of {', '.join(AVERAGES)}")
    check(known, f"'variants' must be some of {', '.join(VARIANTS)}, each once")


def _check_member(one: Any, check: Check) -> None:
    check(
        isinstance(one, dict) and set(one) <= {"model", "samples", "weight"}, "members hold model, samples and weight"
    )
    check(isinstance(one.get("model"), str) and one["model"] != "", "each member names its 'model'")
    check(type(one.get("samples")) is int and 1 <= one["samples"] <= 1000, "'samples' must be from 1 to 1000")
    weight = one.get("weight", 1)
    check(type(weight) in (int, float) and 1e-9 <= weight <= 1e9, "'weight' must be a number from 1e-9 to 1e9")
