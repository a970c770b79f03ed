"""Trained models of nnU-Net v2 as model packages: a folder with plans.json, dataset.json and
fold_*/checkpoint_*.pth."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RequestError
from .checkpoint import numpy_scalars, read_checkpoint
from .ensembles import LOGITS, Ensemble, Member
from .fitting import build_bounded
from .json_file import read_json
from .nnunet_plans import architecture_of, configuration_of, preprocessing_of
from .package import Label, ModelPackage, sha256_of, write_package

if TYPE_CHECKING:
    from torch import Tensor, nn

PLANS, DATASET = "plans.json", "dataset.json"
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")  # the first one there is
LARGEST = 64 << 20  # bytes of a .json file


def write_nnunet(
    path: Path, folder: Path, name: str | None = None, licence: str | None = None, folds: Sequence[str] = (),
    mirror: bool = True,
) -> list[ModelPackage]:  # fmt: skip
    """Writes the folds of a trained model as model packages, each into a folder of its own below `folder`.

    name: of the models, else from data set and configuration; of several folds, "-fold-<n>" follows.  licence: else
    that of dataset.json.  folds: those wanted, else all.  mirror: whether mirrored copies are asked, too, as nnU-Net
    does. Nothing but data is read from the checkpoints. Raises RequestError where something is missing, or of a kind
    that has no counterpart here, and says which.
    """
    plans, dataset = _json(path / PLANS), _json(path / DATASET)
    found = {each.name.removeprefix("fold_"): each for each in sorted(path.glob("fold_*")) if _checkpoint(each)}
    if unknown := [fold for fold in folds if fold not in found]:
        raise RequestError(f"{path} has no trained fold {unknown[0]}; there are: {', '.join(found) or 'none'}")
    wanted = list(folds) or [fold for fold in found if fold != "all"] or list(found)
    if not wanted:
        raise RequestError(f"{path} has no fold_*/{CHECKPOINTS[0]}; give the folder of a trained nnU-Net v2 model")
    packages = []
    for fold in wanted:
        file = _checkpoint(found[fold])
        trained = _read(file)
        package = _describe(plans, dataset, trained, mirror)
        own = name or package.name
        package = ModelPackage(**{
            **vars(package), "folder": folder / f"fold-{fold}",
            "name": own if len(wanted) == 1 else f"{own}-fold-{fold}",
            "licence": licence or package.licence,
            "training": {**package.training, "fold": fold, "file": file.name, "file_sha256": sha256_of(file)},
        })  # fmt: skip
        packages.append(write_package(package, _weights(package, trained["network_weights"], file)))
    return packages


def ensemble_of_folds(packages: Sequence[ModelPackage]) -> Ensemble:
    """The folds together, as nnU-Net asks them: the mean of their logits. It has no folder yet."""
    name = packages[0].name.removesuffix(f"-fold-{packages[0].training['fold']}")
    return Ensemble(
        Path(), name, f"{packages[0].description}, {len(packages)} folds together",
        tuple(Member(package.name, 1, 1) for package in packages), tuple(packages), average=LOGITS,
    )  # fmt: skip


def _describe(plans: dict, dataset: dict, trained: dict, mirror: bool) -> ModelPackage:
    """The package without its place and weights."""
    configuration = trained["init_args"]["configuration"]
    entries = configuration_of(plans, configuration)
    names = dataset.get("channel_names") or dataset["modality"]
    channels = [str(names[key]) for key in sorted(names, key=int)]
    labels, painted = _labels(dataset)
    architecture, options = architecture_of(entries)
    axes = (trained.get("inference_allowed_mirroring_axes") or ()) if mirror else ()
    title = f"{plans.get('dataset_name') or dataset.get('name') or 'nnunet'} {configuration}"
    cleaned = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return ModelPackage(
        folder=Path(), name=cleaned,
        description=f"imported from nnU-Net v2: {' '.join(title.split())}", labels=labels,
        channels=tuple({"name": channel, "modality": _modality(channel)} for channel in channels),
        network={"name": "nnunet", "arguments": {
            "in_channels": len(channels), "out_channels": len(painted.get("regions", labels)),
            "architecture": architecture,
            "options": options, "mirror": [int(axis) for axis in axes],
        }, **painted},
        preprocessing=preprocessing_of(plans, entries, len(channels)),
        training={
            "code": "nnU-Net v2", "trainer": str(trained.get("trainer_name", "")), "configuration": configuration,
            "plans": str(plans.get("plans_name", "")), "reference": str(dataset.get("reference", "")),
        },
        licence=str(dataset.get("licence") or dataset.get("license") or ""),
        attribution=str(dataset.get("reference", "")),
    )  # fmt: skip


def _labels(dataset: dict[str, Any]) -> tuple[tuple[Label, ...], dict[str, Any]]:
    """The labels, and what the network's entry says of regions, where it was trained on such: see
    networks.region_outputs.

    Raises RequestError for numbers with gaps.
    """
    values = {
        name: sorted(set(map(int, value if isinstance(value, (list, tuple)) else [value])))
        for name, value in dataset["labels"].items() if name != "ignore"
    }  # fmt: skip
    painted: dict[str, Any] = {}
    told, numbers = "the labels", [number for value in values.values() for number in value]
    names = {value[0]: name for name, value in values.items()}
    if len(numbers) > len(values):
        regions = [name for name, value in values.items() if value != [0]]
        order = [int(label) for label in dataset.get("regions_class_order", ())]
        told, numbers = f"regions_class_order, a label for each of {len(regions)} regions,", [0, *order]
        painted["regions"] = [list(pair) for pair in enumerate(order)]
        rests = {label: name if values[name] == [label] else f"rest of {name}" for name, label in zip(regions, order)}
        names = {0: "background", **rests}
        if len(order) != len(regions):
            numbers = []
    if sorted(numbers) != list(range(len(numbers))) or not numbers:
        raise RequestError(f"{told} of dataset.json must be 0, 1, 2, ..., each once; export the model again")
    return tuple(Label(value, names[value]) for value in sorted(names)), painted


def _modality(channel: str) -> str:
    if channel.upper() == "CT":
        return "CT"
    if channel.casefold() in ("r", "g", "b", "red", "green", "blue"):
        return "photograph"
    return "MR" if re.search(r"mr|t1|t2|flair|adc|dwi|dce", channel, re.IGNORECASE) else ""


def _json(file: Path) -> dict:
    return read_json(
        file, LARGEST, "a file of nnU-Net", "give the folder of a trained nnU-Net v2 model, exported again"
    )


def _checkpoint(fold: Path) -> Path | None:
    return next((fold / name for name in CHECKPOINTS if (fold / name).is_file()), None)


def _read(file: Path) -> dict:
    trained = read_checkpoint(file, numpy_scalars(), "give a checkpoint as nnU-Net v2 writes it")
    wanted = {"network_weights": dict, "init_args": dict}
    if not isinstance(trained, dict) or not all(isinstance(trained.get(key), kind) for key, kind in wanted.items()):
        raise RequestError(
            f"{file} is no checkpoint of nnU-Net v2: {' or '.join(wanted)} is missing; give checkpoint_final.pth"
        )
    return trained


def _weights(package: ModelPackage, state: dict, file: Path) -> dict[str, Tensor]:
    """Each weight once, under our names. Raises RequestError where they are not those of the network."""
    import torch

    given = {
        "net." + str(name).removeprefix("module.").removeprefix("_orig_mod."): value
        for name, value in state.items() if isinstance(value, torch.Tensor)
    }  # fmt: skip
    network = build_bounded(package.network, sum(value.numel() for value in given.values()))
    wanted = torch.nn.Module.state_dict(network)  # under all their names, as nnU-Net has them
    if trouble := sorted(set(wanted) ^ set(given)) or [key for key in wanted if wanted[key].shape != given[key].shape]:
        raise RequestError(
            f"{file}: the weights are not those of the plans' network ({trouble[0]}); models of trainers with a "
            "network of their own cannot be imported"
        )
    names = list(network.state_dict())
    _try(network, package, file)
    return {name: given[name] for name in names}


def _try(network: nn.Module, package: ModelPackage, file: Path) -> None:
    """Raises RequestError, or whatever PyTorch does, where the network cannot answer to the plans' patch. Only shapes
    are computed."""
    import torch

    patch = [size for size in package.preprocessing["window"] if size is not None]
    with torch.inference_mode():
        answer = network.to("meta").eval()(torch.zeros(1, len(package.channels), *patch, device="meta"))
    if [*answer.shape[2:]] != patch:
        raise RequestError(
            f"{file}: the plans' network answers to {patch} voxels with {[*answer.shape[2:]]}; export it again"
        )
