"""A model package with its network in memory."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from ..diffusion.schedule import Schedule, schedule_of
from ..errors import RequestError
from ..models.fitting import build_fitting, check_declared
from ..models.package import ModelPackage, verify_package
from ..models.store import check_trusted, find_model
from ..networks.region_outputs import RegionOutputs
from ..networks.registry import build_network
from ..networks.slicewise import Slicewise
from ..uncertainty.painting import paint
from .allocator import tune_allocator
from .cuda_graph import EagerSteps, steps_on
from .device import choose_devices, choose_precision, forbid_tf32, tune_threads
from .onednn import use_onednn


@dataclass(frozen=True)
class Model:
    """A network ready to run: a 3D one, or a 2D one as Slicewise. schedule: None for models that are not diffusion
    models.
    copies: the same model on further devices, which draw samples, too."""

    package: ModelPackage
    network: nn.Module
    device: torch.device
    precision: torch.dtype
    schedule: Schedule | None
    copies: tuple[Model, ...] = ()

    @property
    def diffusion(self) -> bool:
        """Whether the model draws samples by diffusion."""
        return self.schedule is not None

    @property
    def latent(self) -> int:
        """Axes of the latent vector that a sample is drawn from; 0 for models that have none."""
        return getattr(self.network, "latent", 0)

    @property
    def draws(self) -> bool:
        """Whether the model draws samples: as many as are asked for."""
        return self.diffusion or self.latent > 0

    @property
    def repeatable(self) -> bool:
        """Whether it says the same of the same at each call; else its members are drawn one by one, on one device."""
        return getattr(self.network, "replayable", True)

    @property
    def logits(self) -> bool:
        """Whether its opinions come as logits, to be averaged and resampled as such (see Preprocessing, window)."""
        return not self.draws and self.package.preprocessing.get("window") is not None

    @property
    def painted(self) -> tuple[int, ...]:
        """The labels in the order of painting, of a network whose outputs are regions that may overlap; else none."""
        return tuple(label for _, label in self.package.network.get("regions", ()))

    def likely(self, logits: Tensor) -> Tensor:
        """Probabilities (B, L, *spatial) float32 of what the network says."""
        logits = logits.float().clone() if self.painted else logits.float()
        paint(logits.movedim(1, 0), self.painted)
        return torch.softmax(logits, 1)

    @property
    def devices(self) -> tuple[torch.device, ...]:
        """Where it runs."""
        return (self.device, *(copy.device for copy in self.copies))

    @cached_property
    def steps(self) -> EagerSteps:
        """How its denoising steps run; kept with the model, so that all cases replay what one has recorded."""
        return steps_on(self.device, self.network)

    @cached_property
    def costs(self) -> dict:
        """What its samples cost in memory, by the shape of the image (see gpu_memory)."""
        return {}

    def on(self, device: torch.device) -> Model:
        """A copy of the model on another device alone, in float32 where that is a CPU; this one stays as it is."""
        precision = torch.float32 if device.type == "cpu" else self.precision
        there = {id(x): nn.Parameter(x.to(device), requires_grad=False) for x in self.network.parameters()}
        # which deepcopy takes instead: no second copy here
        there |= {id(x): x.to(device) for x in self.network.buffers()}
        return replace(self, network=deepcopy(self.network, there), device=device, precision=precision, copies=())


def load_model(name: str | Path | ModelPackage, device: str = "auto", precision: str = "auto") -> Model:
    """Reads, checks and loads a model.

    name: a name in the model store, a package's folder, or a package.  device, precision: see SegmentRequest.
    Raises RequestError where the package is missing, damaged, changed or does not fit its network.
    """
    package = name if isinstance(name, ModelPackage) else find_model(name)
    where, *others = choose_devices(device)
    number = choose_precision(precision, where)
    tune_allocator()
    tune_threads()
    if where.type == "cuda" and number == torch.float32:
        forbid_tf32()
    network = _of_labels(load_network(package), package)
    network = Slicewise(network) if network.spatial_dims == 2 else network
    network = network.eval().requires_grad_(False).to(where)
    use_onednn(network)
    try:
        schedule = schedule_of(package.sampling) if network.diffusion else None
    except ValueError as error:
        raise RequestError(f"model '{package.name}': {error}; install the model again") from None
    model = Model(package, network, where, number, schedule)
    if not model.repeatable:
        return model
    return replace(model, copies=tuple(model.on(other) for other in others))


def load_network(package: ModelPackage) -> nn.Module:
    """The package's network with its weights, in training mode. Raises RequestError as load_model."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    check_trusted(package)
    verify_package(package)
    network = build_fitting(package)
    try:
        weights = load_file(package.weights_path)
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()}, strict=True)
    except (SafetensorError, RuntimeError) as error:
        line = str(error).splitlines()[0]
        raise RequestError(
            f"model '{package.name}': the weights do not fit the network ({line}); install the model again"
        ) from None
    return network


def _of_labels(network: nn.Module, package: ModelPackage) -> nn.Module:
    """The network, its outputs in the order of the labels where they are regions."""
    if "regions" not in package.network:
        return network
    if network.diffusion or getattr(network, "latent", 0):
        raise RequestError(
            f"model '{package.name}': regions of a network that draws masks are unknown; take 'regions' away"
        )
    return RegionOutputs(network, package.network["regions"])


def build_for(package: ModelPackage) -> nn.Module:
    """The package's network with random weights. Raises RequestError where it does not fit channels and labels."""
    check_declared(package)
    return build_network(package.network["name"], package.network.get("arguments", {}))
