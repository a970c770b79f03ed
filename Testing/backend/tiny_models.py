"""Small networks with random weights, as real packages: for tests of what does not depend on training."""

from __future__ import annotations

from pathlib import Path

import torch
from medsegdiff.models.package import Label, ModelPackage, load_package, write_package
from medsegdiff.networks.registry import build_network

NETWORKS = {
    "unet": {"in_channels": 1, "out_channels": 3, "channels": [4, 8, 8], "strides": [2, 2], "num_res_units": 1},
    "medsegdiff_3d": {"in_channels": 1, "out_channels": 3, "channels": 4, "width": 8, "detail": 4},
    "medsegdiff_v2": {"in_channels": 1, "out_channels": 3, "channels": [4, 8, 8], "depth": 1, "prediction": "mask"},
}


def write_tiny_model(
    folder: Path, network: str = "medsegdiff_3d", arguments: dict | None = None, **entries
) -> ModelPackage:
    """Writes a package with random weights (the same ones each time) and reads it back."""
    arguments = arguments or NETWORKS[network]
    torch.manual_seed(3)
    net = build_network(network, arguments)
    if network == "medsegdiff_3d":  # a fresh denoiser corrects nothing; give it something to say
        torch.nn.init.normal_(net.denoiser.leave[1].weight, std=0.5)
    values = dict(
        folder=folder, name=folder.name, description="random weights", labels=tuple(
            Label(i, name, (40 * i, 200, 100)) for i, name in enumerate(("background", "one", "two"))
        ),
        network={"name": network, "arguments": arguments}, channels=({"name": "T1", "modality": "MR"},),
        preprocessing={"orientation": "RAS", "spacing": [1, 1, 1], "normalization": "zscore", "divisible": 8},
        sampling={"samples": 4, "steps": 2, "sampler": "ddim", "schedule": "cosine"},
    )  # fmt: skip
    weights = {name: value.half() if value.is_floating_point() else value for name, value in net.state_dict().items()}
    write_package(ModelPackage(**{**values, **entries}), weights)
    return load_package(folder)
