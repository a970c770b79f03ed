"""A model with random weights, as costly as a trained one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from ...models.package import Label, ModelPackage, write_package
from ...networks.registry import build_network


def write_random_model(folder: Path, like: ModelPackage, labels: int) -> ModelPackage:
    """Writes a package with the network of `like`, but `labels` labels (background included) and random weights."""
    inputs = len(like.channels) + (labels if like.clicks else 0)
    arguments = {**like.network["arguments"], "in_channels": inputs, "out_channels": labels}
    network = {**like.network, "arguments": arguments}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = build_network(network["name"], network["arguments"]).state_dict()
    package = replace(
        like, folder=folder, name=f"random-{labels}-labels", description="random weights", network=network,
        labels=tuple(Label(value, f"label {value}" if value else "background") for value in range(labels)),
        calibration={}, training={},
    )  # fmt: skip
    return write_package(package, weights)
