"""Training for a few steps on made data: learns, resumes, writes a package that works."""

import json
import re
import shutil
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from medsegdiff import segment
from medsegdiff.errors import RequestError
from medsegdiff.image import read_image, write_volume
from medsegdiff.inference.model import load_model
from medsegdiff.inference.preprocessing import Preprocessing
from medsegdiff.models.provenance import stages
from medsegdiff.networks.registry import NETWORKS as REGISTRY
from medsegdiff.networks.registry import build_network
from medsegdiff.training.config import TrainingConfig, read_config
from medsegdiff.evaluation.dataset import read_dataset
from medsegdiff.training.run import precision_of, train
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


def test_an_interrupted_run_goes_on_where_it_was(dataset, tmp_path):
    def interrupt(share, text):
        if "step 20/" in text:
            raise KeyboardInterrupt

    rare = config("unet", steps=40, checkpoint_every=1_000)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, rare, tmp_path / "out", interrupt)
    said = []
    train(dataset, rare, tmp_path / "out", lambda share, text: said.append(text))
    assert "going on after step 20 of 40" in said
    told = [int(text.split("/")[0].removeprefix("step ")) for text in said if text.startswith("step")]
    assert told[-1] == 40 and min(told) > 20  # slow machines tell of more


def test_slow_steps_are_told_one_by_one(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("medsegdiff.training.run.SILENCE", 0.0)
    said = []
    train(dataset, config("unet", steps=3), tmp_path / "out", lambda share, text: said.append(text))
    assert said[:2] == ["reading 3 cases to learn from", "the first of 3 steps"]
    assert [text.split("  ")[0] for text in said[2:5]] == ["step 1/3", "step 2/3", "step 3/3"]


def test_the_precision_that_is_usual_here_is_recorded(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    package = train(dataset, config("unet", steps=1, precision="auto"), tmp_path / "out")
    assert package.training["precision"] == "fp32"
    for known, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation, known=known: known)
        assert precision_of("auto", torch.device("cuda")) == expected
    assert precision_of("bf16", torch.device("cpu")) == "bf16"


def test_the_package_tells_of_the_data_that_it_learned_from(dataset, tmp_path, project_root):
    """Not of those of the configuration that its own one starts from."""
    settings = {"base": str(project_root / "Resources/Training/hippocampus-unet.json"), "name": "mine"}
    (tmp_path / "shipped.json").write_text(json.dumps(settings))
    shipped = read_config(tmp_path / "shipped.json")
    assert (shipped.description, shipped.licence, shipped.attribution, shipped.patch[0]) == ("", "", "", 40)
    data = tmp_path / "data"
    shutil.copytree(dataset, data)
    for entry, told in (
        ({"name": "Balls of\n our ward", "licence": "CC0", "reference": "Us, 2026."},
         "Balls of our ward; licence of the data: CC0. Source: Us, 2026."),
        ({"name": 3, "license": ""}, "data; licence of the data: not stated."),
    ):  # fmt: skip
        (data / "dataset.json").write_text(json.dumps({**entry, "val": ["case3", "case4"]}))
        package = train(data, config("unet", steps=1, description=""), tmp_path / "out")
        assert package.attribution == f"Trained on 3 cases of {told}" and package.licence == ""
        assert package.description == "left half, right half: unet on T1"
    own = train(data, config("unet", steps=1, licence="CC-BY-4.0", attribution="mine"), tmp_path / "own")
    assert (own.licence, own.attribution) == ("CC-BY-4.0", "mine")
    tuned = train(data, config("unet", steps=1), tmp_path / "tuned", start=own.folder)
    assert tuned.licence == "CC-BY-4.0"
    assert tuned.attribution.endswith("not stated. It started from the weights of ball-unet. mine")


def test_every_entry_of_a_configuration_is_documented(project_root):
    page = (project_root / "docs/training.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", page, re.MULTILINE))
    assert set(rows) == {"base", *(entry.name for entry in fields(TrainingConfig))}
    for entry in fields(TrainingConfig):
        if isinstance(entry.default, (int, float)):
            assert float({"true": 1}.get(rows[entry.name], rows[entry.name])) == entry.default, entry.name


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


def test_a_label_of_a_validation_case_that_is_not_known_is_told_before_any_step(dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "data")
    (case,) = read_dataset(tmp_path / "data")["val"][-1].labels
    label = read_image(case)
    write_volume(case, np.where(label.array[0] > 0, 7, 0).astype(np.uint8), label.affine)
    said = []
    with pytest.raises(RequestError, match="has label 7"):
        train(tmp_path / "data", config("unet"), tmp_path / "out", lambda share, text: said.append(text))
    assert not any("step" in text for text in said) and not (tmp_path / "out" / "models").exists()


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


WRONG = {
    "steps": ["20", 0, -5, True, 1.5], "batch": [0, "2"], "patch": [[32, 32], 32, [0, 32, 1], ["8", 8, 8]],
    "learning_rate": ["1e-3", 0], "ema": [2, 1], "click_share": ["a", 2], "labels": [["a"], {"a": 1}],
    "channels": [["T1"]], "network": ["unet"], "checkpoint_every": [0], "seed": ["x", -1, 1 << 64], "threads": [-1],
    "workers": [-1], "warmup": ["5", -1], "modality_dropout": [None, 1], "sampling": [[]], "name": [3], "dice": [1],
    "precision": ["fp8", 32], "decay": [2], "new_share": [0], "most_clicks": [0], "noise_draws": [0],
}  # fmt: skip


@pytest.mark.parametrize(("entry", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_entries_of_a_wrong_kind_or_range_are_named(tmp_path, entry, value):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**config("unet").to_dict(), entry: value}))
    with pytest.raises(RequestError, match=f"config.json: {entry} must be "):
        read_config(path)


def test_a_wrong_entry_of_the_package_is_told_of_the_configuration(dataset, tmp_path):
    with pytest.raises(RequestError, match="^configuration 'ball-unet': .*; mend it$"):
        train(dataset, config("unet", sampling={"samples": "two"}), tmp_path / "out")


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
    assert tuned.training["start"] == {"name": "ball-unet", "sha256": first.weights_sha256, "cases": 3}
    assert stages(tuned.training) == [3, 3] and stages(first.training) == [3]
    with pytest.raises(RequestError, match="another network"):
        train(dataset, config("medsegdiff_3d"), tmp_path / "other", start=first.folder)
