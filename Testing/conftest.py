"""Paths and fixtures that all tests share."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The project's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the project; tests that need it skip where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real data folder {folder} is absent")
    return folder


@pytest.fixture(scope="session")
def subprocess_environment() -> dict[str, str]:
    """Environment in which another Python process finds this checkout's medsegdiff."""
    path = os.pathsep.join([str(ROOT / "MedSegDiffSlicer"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path}


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a model package for tests: a very small MedSegDiff with random weights, one channel, labels "front" and
    "back"."""
    import torch
    from safetensors.torch import save_file

    from medsegdiff.models.package import Label, ModelPackage, write_package
    from medsegdiff.networks.registry import build_network

    folder = tmp_path_factory.mktemp("models") / "tiny"
    network = {"name": "medsegdiff_3d",
               "arguments": {"in_channels": 1, "out_channels": 3, "channels": 4, "width": 4, "detail": 4}}  # fmt: skip
    (folder / "models").mkdir(parents=True)
    weights = folder / "models" / "model.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(build_network(network["name"], network["arguments"]).state_dict(), weights)
    labels = (Label(0, "background"), Label(1, "front", (230, 159, 0)), Label(2, "back", (86, 180, 233)))
    package = ModelPackage(
        folder=folder, name="tiny", description="random weights, for tests", network=network,
        channels=({"name": "T1", "modality": "MR"},), labels=labels,
        preprocessing={"orientation": "RAS", "spacing": None, "normalization": "zscore", "divisible": 8},
        weights="models/model.safetensors", weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        sampling={"samples": 2, "steps": 2, "sampler": "ddim", "schedule": "cosine"},
    )  # fmt: skip
    write_package(package)
    return folder
