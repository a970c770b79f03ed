"""Training on several raters: the files, the majority, a random rater each draw, models that learn their spread."""

import json
import sys

import numpy as np
import pytest
from medsegdiff import segment
from medsegdiff.errors import RequestError
from medsegdiff.inference.model import load_model
from medsegdiff.inference.preprocessing import Preprocessing
from medsegdiff.training.augmentation import training_transforms
from medsegdiff.training.config import TrainingConfig
from medsegdiff.evaluation.dataset import load_training_pair, read_dataset
from medsegdiff.training.run import train
from PIL import Image as Picture

PICTURES = {"orientation": "LPS", "spacing": None, "normalization": "zscore", "divisible": [4, 4, 1]}
RADII = (4, 6, 8)


@pytest.fixture
def dataset(tmp_path):
    """Bright blobs without a border, outlined by three raters each: narrow, middle, wide; of the last one by one rater
    only."""
    folder, rng, grid = tmp_path / "blobs", np.random.default_rng(0), np.indices((24, 24))
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for n in range(4):
        away = ((grid - rng.uniform(10, 14, (2, 1, 1))) ** 2).sum(0)
        pixels = 200 * np.exp(-away / 50) + rng.uniform(0, 20, away.shape)
        Picture.fromarray(pixels.astype(np.uint8)).save(folder / f"imagesTr/blob{n}_0000.png")
        for rater, radius in enumerate(RADII if n < 3 else RADII[:1], 1):
            mask = Picture.fromarray((255 * (away < radius**2)).astype(np.uint8))
            mask.save(folder / f"labelsTr/blob{n}_rater{rater}.png")
    (folder / "dataset.json").write_text(json.dumps({"val": ["blob0"]}))
    return folder


def test_each_case_has_its_raters(dataset):
    splits = read_dataset(dataset)
    assert [len(case.labels) for case in splits["train"]] == [3, 3, 1]
    case = splits["val"][0]
    labels = case.read_raters()[1]
    assert labels.shape == (3, 24, 24, 1) and labels.dtype == np.uint8
    assert (np.diff(labels.sum((1, 2, 3), dtype=int)) > 0).all()
    # inside it are two raters of three, outside it one at most
    np.testing.assert_array_equal(case.read()[1], labels[1])


def test_raters_on_different_grids_are_refused(dataset):
    Picture.new("L", (24, 20)).save(dataset / "labelsTr/blob0_rater2.png")
    with pytest.raises(RequestError, match="case blob0: image and label lie on different grids"):
        read_dataset(dataset)["val"][0].read()


@pytest.mark.parametrize(
    ("entries", "about"),
    [
        ({"val": 3}, "'val' of dataset.json must be a list of cases' names"),
        ({"val": "blob0"}, "'val' of dataset.json must be a list"), ({"val": {"blob0": 1}}, "must be a list"),
        ({"val": [{"image": "a"}]}, "must be a list"),
        ({"train": [["blob1"]]}, "'train' of dataset.json must be a list"), ({"train": 1}, "must be a list"),
        ({"val": ["blob0", "blob0"]}, "'val' of dataset.json names blob0 twice"),
        ({"val": ["blob0", "blob1"], "train": ["blob1", "blob2"]}, "names blob1 in 'train' and in 'val'"),
        ({"val": [], "train": ["blob0", "blob1"]}, "'val' of dataset.json names no case"),
        ({"val": ["blob9"]}, "names blob9, which has no image"),
    ],
)  # fmt: skip
def test_splits_that_cannot_be_used_are_refused(dataset, entries, about):
    (dataset / "dataset.json").write_text(json.dumps(entries))
    with pytest.raises(RequestError, match=about):
        read_dataset(dataset)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_rater_that_is_a_link_to_nothing_is_not_passed_over(dataset):
    path = dataset / "labelsTr/blob0_rater2.png"
    path.unlink()
    path.symlink_to("annex")
    with pytest.raises(RequestError, match="blob0_rater2.png: a link to annex, which is not there"):
        read_dataset(dataset)["val"][0].read()


def test_a_random_rater_each_draw(dataset):
    pair = load_training_pair(read_dataset(dataset)["train"][0], Preprocessing.from_dict(PICTURES))
    assert pair["label"].shape == (3, 24, 24, 1)
    change = training_transforms((24, 24, 1)).set_random_state(0)
    crops = [change(pair) for _ in range(60)]
    assert all(crop["label"].shape == (1, 24, 24) for crop in crops)
    sizes = np.array([float(crop["label"].sum()) for crop in crops])
    for radius in RADII:  # scaled by 0.8 to 1.2 along each axis at times, and moved
        near = np.abs(np.sqrt(sizes / np.pi) - radius) < 0.7
        assert 8 < near.sum() < 40


@pytest.mark.parametrize(
    "network",
    [
        {"name": "probabilistic_unet", "arguments": {"channels": [8, 16], "num_res_units": 1, "latent": 2}},
        {"name": "medsegdiff_v2", "arguments": {"channels": [4, 8], "depth": 1, "prediction": "mask"}},
    ],
)
def test_models_learn_on_raters(dataset, tmp_path, network):
    shape = {"in_channels": 1, "out_channels": 2, "spatial_dims": 2}
    config = TrainingConfig(
        name="blobs", description="blobs", network={**network, "arguments": {**network["arguments"], **shape}},
        channels=[{"name": "blob"}], labels=[{"name": "background"}, {"name": "blob"}], preprocessing=PICTURES,
        patch=(24, 24, 1), batch=8, steps=60, warmup=5, ema=0.9, learning_rate=1e-2, workers=0, precision="fp32",
        noise_draws=1, sampling={"samples": 4, "steps": 2},
    )  # fmt: skip
    package = train(dataset, config, tmp_path / "out")
    assert package.training["validation"]["cases"] == 1
    image, labels = read_dataset(dataset)["val"][0].read_raters()
    result = segment(load_model(tmp_path / "out"), image)
    assert len(result.samples) == 4
    alike = np.corrcoef(result.probability[1].ravel(), labels.mean(0).ravel())[0, 1]
    assert alike > 0.8, "the samples' mean follows the share of the raters"
