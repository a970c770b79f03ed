"""Training of 2D networks: on slices of volumes, and on colour pictures."""

import json

import numpy as np
import pytest
import torch
from medsegdiff import segment
from medsegdiff.errors import RequestError
from medsegdiff.image import write_volume
from medsegdiff.inference.model import load_model
from medsegdiff.inference.preprocessing import Preprocessing
from medsegdiff.training.augmentation import training_transforms
from medsegdiff.training.config import TrainingConfig
from medsegdiff.evaluation.dataset import load_training_pair, read_dataset
from medsegdiff.training.run import train
from PIL import Image as Picture
from safetensors.torch import load_file
from small_networks import SMALL
from tiny_models import NETWORKS

SLICES = {"orientation": "RAS", "spacing": [1, 1, None], "normalization": "zscore", "divisible": [4, 4, 1]}
PICTURES = {"orientation": "LPS", "spacing": None, "normalization": "8bit", "divisible": [4, 4, 1]}


def network(name: str, **arguments) -> dict:
    return {"name": name, "arguments": {**NETWORKS[name], "spatial_dims": 2, "out_channels": 2, **arguments}}


def config(network: dict, preprocessing: dict, channels=("T1",), **changes) -> TrainingConfig:
    values = dict(
        name="flat", description="flat", network=network, channels=[{"name": name} for name in channels],
        labels=[{"name": "background"}, {"name": "disc"}], preprocessing=preprocessing, patch=(24, 24, 1), batch=8,
        steps=80, warmup=5, ema=0.9, learning_rate=1e-2, workers=0, precision="fp32", noise_draws=1,
        sampling={"samples": 2, "steps": 2, "sampler": "ddim", "schedule": "cosine"},
    )  # fmt: skip
    return TrainingConfig(**{**values, **changes})


@pytest.fixture
def volumes(tmp_path):
    """Bright balls."""
    folder, rng, grid = tmp_path / "balls", np.random.default_rng(0), np.indices((24, 24, 24))
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for n in range(3):
        ball = ((grid - rng.uniform(10, 14, (3, 1, 1, 1))) ** 2).sum(0) < 49
        image = (100 * ball + rng.normal(0, 5, ball.shape)).astype(np.float32)
        write_volume(folder / f"imagesTr/case{n}.nii.gz", image, np.eye(4))
        write_volume(folder / f"labelsTr/case{n}.nii.gz", ball.astype(np.uint8), np.eye(4))
    (folder / "dataset.json").write_text(json.dumps({"val": ["case2"]}))
    return folder


def write_pictures(folder, white: int = 255):
    """Colour pictures of a green disc and its masks, as CASE_0000.png and CASE.png; the masks tell another pixel
    size."""
    rng, grid = np.random.default_rng(0), np.indices((30, 40))
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for n in range(4):
        disc = ((grid - rng.uniform(12, 18, (2, 1, 1))) ** 2).sum(0) < 64
        pixels = rng.integers(80, 120, (30, 40, 3), np.uint8)
        pixels[disc, 1] += 100
        Picture.fromarray(pixels).save(folder / f"imagesTr/eye{n}_0000.png")
        Picture.fromarray((white * disc).astype(np.uint8)).save(folder / f"labelsTr/eye{n}.png", dpi=(300, 300))
    (folder / "dataset.json").write_text("{}")
    return folder


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one * other).sum() / (one.sum() + other.sum())


def test_training_crop_is_a_slice(volumes):
    pair = load_training_pair(read_dataset(volumes)["train"][0], Preprocessing())
    inside = pair["label"].any(axis=(0, 1, 2))
    assert inside.any() and not inside.all()
    change = training_transforms((32, 16, 1))
    crops = [change(pair) for _ in range(40)]
    assert all(crop["image"].shape == crop["label"].shape == (1, 32, 16) for crop in crops)
    found = [bool(crop["label"].any()) for crop in crops]
    assert any(found) and not all(found)  # slices of the ball and beside it
    for crop in crops:
        disc = crop["label"] > 0
        assert not 20 < disc.sum() < disc.numel() - 20 or crop["image"][disc].mean() > crop["image"][~disc].mean() + 1


def test_learns_on_slices_of_volumes(volumes, tmp_path):
    flat = config(network("medsegdiff_v2"), SLICES, batch=4, steps=50)
    train(volumes, flat, tmp_path / "out")
    image, ball = read_dataset(volumes)["val"][0].read()
    assert dice(ball, segment(load_model(tmp_path / "out"), image).labelmap) > 0.8
    again = train(volumes, TrainingConfig(**{**flat.to_dict(), "steps": 2}), tmp_path / "more", start=tmp_path / "out")
    assert again.training["start"]["name"] == "flat"


def test_learns_on_colour_pictures(tmp_path):
    dataset = write_pictures(tmp_path / "eyes")
    colours = config(network("unet", in_channels=3), PICTURES, ("red", "green", "blue"))
    train(dataset, colours, tmp_path / "out")
    case = read_dataset(dataset)["val"][0]
    disc, found = case.read()[1], segment(load_model(tmp_path / "out"), case.images[0]).labelmap
    assert disc.shape == found.shape == (40, 30, 1) and set(np.unique(disc)) == {0, 1}
    assert dice(disc, found) > 0.8


def test_labels_beyond_the_configurations_are_refused(tmp_path):
    dataset = write_pictures(tmp_path / "eyes", white=3)
    with pytest.raises(RequestError, match="case eye1 has the label 3, the configuration names 0 to 1"):
        train(dataset, config(network("unet", in_channels=3), PICTURES, ("red", "green", "blue")), tmp_path / "out")


def test_patch_must_be_as_flat_as_the_network(volumes, tmp_path):
    with pytest.raises(RequestError, match=r"is 3D, the patch is \[24, 24, 1\]"):
        train(volumes, config(network("unet", spatial_dims=3), SLICES), tmp_path / "out")
    with pytest.raises(RequestError, match="is 2D, the patch is .* one slice"):
        train(volumes, config(network("unet"), SLICES, patch=(24, 24, 8)), tmp_path / "out")


def test_images_and_labels_of_other_endings_belong_together(tmp_path):
    dataset = write_pictures(tmp_path / "eyes")
    images = dataset / "imagesTr"
    (images / "eye0_0000.png").rename(images / "eye0.png")
    Picture.open(images / "eye1_0000.png").save(images / "eye1_0000.jpg")
    (images / "eye1_0000.png").unlink()
    (images / "eye2_0001.png").write_bytes((images / "eye2_0000.png").read_bytes())
    cases = {
        case.name: [path.name for path in case.images] for split in read_dataset(dataset).values() for case in split
    }
    assert cases == {
        "eye0": ["eye0.png"], "eye1": ["eye1_0000.jpg"], "eye2": ["eye2_0000.png", "eye2_0001.png"],
        "eye3": ["eye3_0000.png"],
    }  # fmt: skip


def test_statistics_beyond_float16_stay_finite(volumes, tmp_path):
    """Of batch-norm layers that see intensities as they are."""
    raw = {"orientation": "RAS", "spacing": None, "divisible": [32, 32, 1],
           "normalization": {"low": -1e6, "high": 1e6, "mean": 0, "deviation": 0.02}}  # fmt: skip
    name = "medsegdiff_v2_released"
    released = {"name": name, "arguments": {**SMALL[name], "out_channels": 2}}
    package = train(volumes, config(released, raw, patch=(32, 32, 1), steps=2, batch=2), tmp_path / "out")
    weights = load_file(package.weights_path)
    assert all(value.isfinite().all() for value in weights.values())
    assert {torch.float16, torch.float32} <= {value.dtype for value in weights.values()}
    load_model(package, "cpu")
