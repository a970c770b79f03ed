"""The network that fine-tuning starts from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import RequestError
from ..inference.model import load_network
from ..models.package import ModelPackage
from ..networks.registry import build_network
from .config import TrainingConfig


def starting_network(origin: ModelPackage, config: TrainingConfig) -> nn.Module:
    """The network of the configuration with a model's weights. Where only the channels of clicks are new, these have
    the weight 0, so that it says what the model says. Raises RequestError where the two do not fit."""
    if origin.network == config.network and origin.clicks == config.clicks:
        return load_network(origin)
    before, after = origin.network.get("arguments", {}), config.network.get("arguments", {})
    alike = origin.network["name"] == config.network["name"] and {**after, "in_channels": origin.inputs} == before
    if not alike or origin.clicks or not config.clicks:
        raise RequestError(f"model '{origin.name}' has another network than the configuration; start from one alike")
    network, old = build_network(config.network["name"], after), load_network(origin).state_dict()
    new = network.state_dict()
    if getattr(network, "latent", 0) or old.keys() != new.keys():  # a posterior's last inputs are no clicks
        raise RequestError(f"network '{config.network['name']}' cannot be given clicks afterwards; train it anew")
    network.load_state_dict({name: _widened(old[name], like) for name, like in new.items()})
    return network


def mixed(old: dict[str, Tensor], new: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """The weights between old and new ones, with that share of the new."""
    return {
        name: torch.lerp(old[name].float(), value.float(), share) if value.is_floating_point() else value
        for name, value in new.items()
    }


def _widened(old: Tensor, like: Tensor) -> Tensor:
    """`old`, with zeros for further input channels (axis 1), the last ones."""
    if old.shape == like.shape:
        return old
    wide = like.new_zeros(like.shape)
    wide[:, : old.shape[1]] = old
    return wide
