"""A model package with its network in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..diffusion.schedule import Schedule
from ..errors import RequestError
from ..models.package import ModelPackage, verify_package
from ..models.store import find_model
from ..networks.registry import build_network
from .device import choose_device, choose_precision, tune_allocator


@dataclass(frozen=True)
class Model:
    """A network ready to run. schedule: None for models that are not diffusion models."""

    package: ModelPackage
    network: nn.Module
    device: torch.device
    precision: torch.dtype
    schedule: Schedule | None

    @property
    def diffusion(self) -> bool:
        """Whether the model draws samples."""
        return self.schedule is not None

    def on(self, device: torch.device) -> Model:
        """The same model on another device, in float32 where that is a CPU."""
        precision = torch.float32 if device.type == "cpu" else self.precision
        return Model(self.package, self.network.to(device), device, precision, self.schedule)


def load_model(name: str | Path | ModelPackage, device: str = "auto", precision: str = "auto") -> Model:
    """Reads, checks and loads a model.

    name: a name in the model store, a package's folder, or a package.  device, precision: see SegmentRequest.
    Raises RequestError where the package is missing, damaged, changed or does not fit its network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    package = name if isinstance(name, ModelPackage) else find_model(name)
    verify_package(package)
    where = choose_device(device)
    number = choose_precision(precision, where)
    tune_allocator()
    network = build_network(package.network["name"], package.network.get("arguments", {}))
    try:
        weights = load_file(package.weights_path)
        network.load_state_dict({k: v.float() for k, v in weights.items()}, strict=True)
    except (SafetensorError, RuntimeError) as error:
        line = str(error).splitlines()[0]
        raise RequestError(
            f"model '{package.name}': the weights do not fit the network ({line}); install the model again"
        ) from None
    network = network.eval().requires_grad_(False).to(where)
    schedule = Schedule(package.sampling.get("schedule", "cosine")) if network.diffusion else None
    return Model(package, network, where, number, schedule)
