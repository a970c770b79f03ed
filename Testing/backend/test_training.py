"""Training for a few steps on made data: learns, resumes, writes a package that works."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from medsegdiff import segment
from medsegdiff.errors import RequestError
from medsegdiff.image import read_image, write_volume
from medsegdiff.inference.model import load_model
from medsegdiff.inference.preprocessing import Preprocessing
from medsegdiff.networks.registry import NETWORKS as REGISTRY
from medsegdiff.networks.registry import build_network
from medsegdiff.training.config import TrainingConfig, read_config
from medsegdiff.evaluation.dataset import read_dataset
from medsegdiff.training.run import train
from small_networks import IMPORTED
from tiny_models import NETWORKS, write_tiny_model

LABELS = [{"name": "background"}, {"name": "left half", "color": [255, 0, 0]}, {"name": "right half"}]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Bright balls whose two halves are the structures."""
    folder = tmp_path_factory.mktemp("dataset")
    rng = np.random.default_rng(0)
    grid = np.indices((24, 24, 24))
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir()
    for n in range(5):
        centre = rng.uniform(10, 14, 3)
        ball = ((grid - centre[:, None, None, None]) ** 2).sum(0) < 49
        label = np.where(ball, np.where(grid[1] < centre[1], 1, 2), 0).astype(np.uint8)
        write_volume(
            folder / f"imagesTr/case{n}.nii.gz",
            (100 * ball + rng.normal(0, 5, ball.shape)).astype(np.float32),
            np.eye(4),
        )
        write_volume(folder / f"labelsTr/case{n}.nii.gz", label, np.eye(4))
    (folder / "dataset.json").write_text(json.dumps({"val": ["case3", "case4"]}))
    return folder


def config(network: str, **changes) -> TrainingConfig:
    values = dict(
        name=f"ball-{network}", description="balls", network={"name": network, "arguments": NETWORKS[network]},
        channels=[{"name": "T1", "modality": "MR"}], labels=LABELS, patch=(24, 24, 24), batch=2, steps=60, warmup=5,
        preprocessing={"orientation": "RAS", "spacing": [1, 1, 1], "normalization": "zscore", "divisible": 8}, ema=0.9,
        sampling={"samples": 2, "steps": 2, "sampler": "ddim", "schedule": "cosine"}, learning_rate=1e-2, workers=0,
        precision="fp32", checkpoint_every=20,
    )  # fmt: skip
    return TrainingConfig(**{**values, **changes})


@pytest.mark.parametrize("network", ["unet", "medsegdiff_3d"])
def test_learns_and_writes_a_working_package(dataset, tmp_path, network):
    said = []
    package = train(dataset, config(network), tmp_path / "out", lambda share, text: said.append((share, text)))
    case = read_dataset(dataset)["val"][0]
    image, label = case.read()
    result = segment(load_model(tmp_path / "out"), image)
    ball, found = label > 0, result.labelmap > 0
    assert 2 * (ball & found).sum() / (ball.sum() + found.sum()) > 0.8
    assert set(package.calibration) == {"temperature", "power", "label_scale", "expected_dice", "relative_volume_error"}
    assert package.distribution["cases"] == 3 and (tmp_path / "out/docs/reliability.png").is_file()
    assert package.training["validation"]["cases"] == 2
    assert not (tmp_path / "out/training").exists()
    assert said[-1][0] == 1.0


def test_goes_on_from_its_checkpoint(dataset, tmp_path):
    class Stop(Exception):
        pass

    def stop(share, text):
        if "step 40/" in text:
            raise Stop

    with pytest.raises(Stop):
        train(dataset, config("unet"), tmp_path / "out", stop)
    said = []
    train(dataset, config("unet"), tmp_path / "out", lambda share, text: said.append(text))
    steps = [text.split("/")[0] for text in said if text.startswith("step")]
    assert steps == ["step 40", "step 60"]  # the checkpoint of step 20 was the last one written


def test_checkpoint_of_another_network_is_refused(dataset, tmp_path):
    with pytest.raises(RuntimeError):
        train(dataset, config("unet"), tmp_path / "out", _raise_at_40)
    with pytest.raises(RequestError, match="does not fit this configuration"):
        train(dataset, config("medsegdiff_3d"), tmp_path / "out")


def test_checkpoint_begun_from_other_weights_is_refused(dataset, tmp_path):
    tiny = write_tiny_model(tmp_path / "tiny", "unet")
    with pytest.raises(RuntimeError):
        train(dataset, config("unet"), tmp_path / "out", _raise_at_40)
    with pytest.raises(RequestError, match="begun from other weights"):
        train(dataset, config("unet"), tmp_path / "out", start=tiny.folder)


def test_labels_that_do_not_fit_a_byte_are_refused(dataset, tmp_path):
    case = replace(read_dataset(dataset)["train"][0], labels=(tmp_path / "label.nii.gz",))
    write_volume(case.labels[0], np.full((24, 24, 24), 300, np.int16), np.eye(4))
    with pytest.raises(RequestError, match="label numbers go from 0 to 255"):
        case.read()


def _raise_at_40(share, text):
    if "step 40/" in text:
        raise RuntimeError("stopped")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": [{"colour": 1}, {}, {}]}, "needs value and name"),
        ({"labels": LABELS[:2]}, "out_channels"),
        ({"channels": [{"name": "T1"}, {"name": "T2"}]}, "in_channels"),
        ({"sampling": {"steps": 0}}, "whole number from 1"),
        ({"preprocessing": {"spacing": [1]}}, "spacing"),
    ],
)
def test_configurations_that_cannot_become_a_package_are_refused_at_once(dataset, tmp_path, changes, message):
    said = []
    with pytest.raises(RequestError, match=message):
        train(dataset, config("unet", **changes), tmp_path / "out", lambda share, text: said.append(text))
    assert said == []


def test_output_that_cannot_be_made_is_refused_at_once(dataset, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="cannot be made"):
        train(dataset, config("unet"), tmp_path / "file" / "out")


def test_damaged_checkpoint_is_refused(dataset, tmp_path):
    path = tmp_path / "out/training/checkpoint.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged")
    with pytest.raises(RequestError, match="does not fit this configuration"):
        train(dataset, config("unet"), tmp_path / "out")


def test_dataset_splits(dataset):
    splits = read_dataset(dataset)
    assert [c.name for c in splits["val"]] == ["case3", "case4"]
    assert [c.name for c in splits["train"]] == ["case0", "case1", "case2"]


def test_training_crop_keeps_image_and_label_together(dataset):
    from medsegdiff.inference.preprocessing import Preprocessing
    from medsegdiff.training.augmentation import training_transforms
    from medsegdiff.evaluation.dataset import load_training_pair

    pair = load_training_pair(read_dataset(dataset)["train"][0], Preprocessing())
    np.testing.assert_array_equal(np.unique(pair["label"]), [0, 1, 2])
    out = training_transforms((16, 24, 16))(pair)
    assert out["image"].shape == out["label"].shape == (1, 16, 24, 16)
    inside = out["label"][0] > 0
    assert out["image"][0][inside].mean() > out["image"][0][~inside].mean() + 1


def test_bad_datasets_and_configurations(dataset, tmp_path):
    with pytest.raises(RequestError, match="is no dataset: give a folder that holds"):
        read_dataset(tmp_path)
    path = tmp_path / "config.json"
    path.write_text('{"nmae": 1}')
    with pytest.raises(RequestError, match="unknown entry nmae"):
        read_config(path)
    path.write_text("{}")
    with pytest.raises(RequestError, match="missing"):
        read_config(path)
    assert read_image(dataset / "imagesTr/case0.nii.gz").shape == (24, 24, 24)


def test_a_configuration_has_the_entries_of_its_base(tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "first.json").write_text(json.dumps(config("unet", steps=7, batch=3).to_dict()))
    (tmp_path / "second.json").write_text('{"base": "first.json", "steps": 8}')
    (tmp_path / "more/third.json").write_text('{"base": "../second.json", "name": "third"}')
    third = read_config(tmp_path / "more/third.json")
    assert (third.name, third.steps, third.batch, len(third.labels)) == ("third", 8, 3, 3)
    (tmp_path / "first.json").write_text('{"base": "second.json"}')
    with pytest.raises(RequestError, match="base must be the path of another configuration"):
        read_config(tmp_path / "second.json")
    (tmp_path / "first.json").unlink()
    with pytest.raises(RequestError, match="first.json cannot be read"):
        read_config(tmp_path / "second.json")


def test_shipped_configurations_are_valid(project_root):
    paths = sorted((project_root / "Resources/Training").glob("*.json"))
    hippocampus = ["medsegdiff-clicks", "medsegdiff-v2", "medsegdiff", "networks", "transformer", "unet-clicks", "unet"]
    raters = ["qubiq-medsegdiff", "qubiq-probabilistic-unet"]
    shipped = ["drive-medsegdiff", *(f"hippocampus-{name}" for name in hippocampus), *raters, "tumours-4ch"]
    assert [p.stem for p in paths] == shipped
    for path in paths:
        loaded = read_config(path)
        build_network(loaded.network["name"], loaded.network["arguments"])


@pytest.mark.parametrize("name", sorted(set(REGISTRY) - IMPORTED))
def test_each_network_has_a_short_configuration(project_root, name):
    loaded = read_config(project_root / f"Resources/Training/networks/{name}.json")
    network = build_network(name, loaded.network["arguments"])
    assert loaded.network["name"] == name and loaded.name == f"hippocampus-{name.replace('_', '-')}"
    assert sum(p.numel() for p in network.parameters()) < 5e6
    divisors = Preprocessing.from_dict(loaded.preprocessing).divisors
    assert [n % divisor for n, divisor in zip(loaded.patch, divisors)] == [0, 0, 0]
    assert (loaded.patch[2] == 1) == (network.spatial_dims == 2)


def test_training_goes_on_from_a_models_weights(dataset, tmp_path):
    first = train(dataset, config("unet"), tmp_path / "first")
    tuned = train(dataset, config("unet", steps=1, learning_rate=1e-9), tmp_path / "tuned", start=first.folder)
    one, other = (load_model(p.folder, "cpu").network.state_dict() for p in (first, tuned))
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=1e-3, rtol=0)
    assert tuned.training["start"] == {"name": "ball-unet", "sha256": first.weights_sha256}
    with pytest.raises(RequestError, match="another network"):
        train(dataset, config("medsegdiff_3d"), tmp_path / "other", start=first.folder)
