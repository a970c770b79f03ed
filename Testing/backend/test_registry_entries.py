"""Every network of the registry: trains, is saved and comes back as it was, and is asked beside another one."""

import json

import numpy as np
import pytest
import torch
from medsegdiff import segment
from medsegdiff.image import write_volume
from medsegdiff.inference.model import load_model, load_network
from medsegdiff.networks.registry import NETWORKS, build_network
from medsegdiff.training import run
from medsegdiff.training.config import TrainingConfig
from medsegdiff.evaluation.dataset import read_dataset
from small_networks import IMPORTED, SMALL
from tiny_models import NETWORKS as TINY
from tiny_models import write_tiny_model

ARGUMENTS = {**TINY, **SMALL}
SIDE = 32
LARGER = {"swin_unetr": 48}  # whose lowest level would be a single voxel, which has no deviation


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two cases of a bright block whose halves are the structures."""
    folder, rng = tmp_path_factory.mktemp("blocks"), np.random.default_rng(0)
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir()
    label = np.zeros((SIDE, SIDE, 8), np.uint8)
    label[8:16, 8:24, 2:6], label[16:24, 8:24, 2:6] = 1, 2
    for n in range(2):
        image = (60.0 * label + rng.normal(0, 5, label.shape)).astype(np.float32)
        write_volume(folder / f"imagesTr/case{n}.nii.gz", image, np.eye(4))
        write_volume(folder / f"labelsTr/case{n}.nii.gz", label, np.eye(4))
    (folder / "dataset.json").write_text(json.dumps({"val": ["case1"]}))
    return folder


def preprocessing(patch: list[int]) -> dict:
    return {"orientation": "RAS", "spacing": [1, 1, 1], "normalization": "zscore", "divisible": patch}


def say(network, image: torch.Tensor) -> torch.Tensor:
    """What a network answers to an image, with the same noise each time."""
    torch.manual_seed(0)
    with torch.no_grad():
        if not network.diffusion:
            return network(image)
        mask = torch.randn(1, getattr(network, "masks", network.out_channels), *image.shape[2:])
        answer = network.denoise(mask, torch.full((1,), 500.0), network.encode(image))
        return answer if network.prediction == "mask" else answer.noise


def test_every_network_is_looked_at():
    assert set(ARGUMENTS) == set(NETWORKS) - IMPORTED


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_trains_is_saved_and_asked_with_another(dataset, tmp_path, monkeypatch, name):
    trained, optimise = [], run.optimise
    monkeypatch.setattr(run, "optimise", lambda *a: trained.append(optimise(*a)) or trained[0])
    network, side = build_network(name, ARGUMENTS[name]), LARGER.get(name, SIDE)
    patch = (side, side, 1 if network.spatial_dims == 2 else side)
    config = TrainingConfig(
        name=name, description=name, network={"name": name, "arguments": ARGUMENTS[name]}, channels=[{"name": "T1"}],
        labels=[{"name": "background"}, {"name": "one"}, {"name": "two"}], preprocessing=preprocessing(list(patch)),
        patch=patch, batch=2, steps=2, warmup=1, workers=0,
        precision="fp32", noise_draws=1, ema=0.5, sampling={"samples": 1, "steps": 2, "sampler": "ddim"},
    )  # fmt: skip
    before = {key: value.clone() for key, value in network.state_dict().items()}
    package = run.train(dataset, config, tmp_path / name)
    again = load_network(package).eval()

    kept = trained[0].state_dict()
    assert any(not torch.equal(value, before[key]) for key, value in kept.items())
    network.load_state_dict({key: value.half() if value.is_floating_point() else value for key, value in kept.items()})
    network.eval()
    image = torch.randn(1, 1, *patch[: network.spatial_dims])
    answer = say(again, image)
    assert torch.equal(answer, say(network, image)) and torch.isfinite(answer).all()
    if not network.diffusion:
        assert answer.shape == (1, 3, *image.shape[2:])

    partner = "unet" if name != "unet" else "medsegdiff_3d"
    other = write_tiny_model(tmp_path / "partner", partner, channels=({"name": "T1"},))
    models = [load_model(package, "cpu"), load_model(other, "cpu")]
    image, label = read_dataset(dataset)["val"][0].read()
    result = segment(models, image, samples=1, steps=1)
    assert result.labelmap.shape == label.shape and result.report["samples"] == 2
    np.testing.assert_allclose(result.probability.sum(0), 1, atol=1e-4)
