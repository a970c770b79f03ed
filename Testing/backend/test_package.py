"""Model packages: what is read, what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from medsegdiff.errors import RequestError
from medsegdiff.inference.model import load_model
from medsegdiff.models import store
from medsegdiff.models.ensembles import find_ensemble
from medsegdiff.models.package import CONFIG, METADATA, load_package, verify_package, write_package
from tiny_models import write_tiny_model


@pytest.fixture
def package(tmp_path):
    return write_tiny_model(tmp_path / "tiny", "unet")


def edit(package, **changes):
    path = package.folder / CONFIG
    data = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in data.items() if v is not None}))


def test_round_trip(package):
    write_package(replace(package, description="changed"))
    assert load_package(package.folder) == replace(package, description="changed")
    verify_package(package)
    assert [x.name for x in package.foreground] == ["one", "two"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "'format' must be 1"),
        ({"labels": None}, "'labels' is missing"),
        ({"_code": "print()"}, "unknown entry '_code'"),
        ({"channels": []}, "'channels' is empty"),
        ({"weights": "../other.safetensors"}, "inside the package"),
        ({"weights": "models/model.pt"}, "inside the package"),
        ({"labels": [{"value": 0, "name": "b"}, {"value": 2, "name": "x"}]}, "0, 1, 2"),
        ({"labels": [{"value": 0, "name": "b"}, {"value": 1, "name": "x", "color": [0, 0, 300]}]}, "three numbers"),
        ({"network": {"arguments": {}}}, "needs a 'name'"),
        ({"name": 5}, "must be of type str"),
        ({"preprocessing": {"orientation": "RRR"}}, "one each of"),
        ({"sampling": {"stepz": 2}}, "unknown entries"),
        ({"sampling": {"schedule": "linear_beta"}}, "linear, cosine"),
        ({"sampling": {"training_steps": 20}}, "from 21 to 100000"),
        ({"preprocessing": {"orientation": 5}}, "three letters"),
        ({"labels": [{"value": 0, "name": "b"}, {"value": 1, "name": "b"}]}, "same name"),
    ],
)
def test_broken_configurations_are_refused(package, changes, message):
    edit(package, **changes)
    with pytest.raises(RequestError, match=message):
        load_package(package.folder)


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100000, "\xff"])
def test_no_json(package, text):
    (package.folder / CONFIG).write_bytes(text.encode("latin-1"))
    with pytest.raises(RequestError):
        load_package(package.folder)


def test_tampered_weights(package):
    data = bytearray(package.weights_path.read_bytes())
    data[-1] ^= 1
    package.weights_path.write_bytes(bytes(data))
    with pytest.raises(RequestError, match="damaged or was changed"):
        load_model(package)


def test_truncated_weights_with_matching_hash(package):
    import hashlib

    package.weights_path.write_bytes(package.weights_path.read_bytes()[:-100])
    digest = hashlib.sha256(package.weights_path.read_bytes()).hexdigest()
    with pytest.raises(RequestError, match="it is cut"):
        load_model(replace(package, weights_sha256=digest))


def test_weights_of_another_network(package):
    other = {**package.network["arguments"], "channels": [4, 8, 16]}
    with pytest.raises(RequestError, match="do not fit the network"):
        load_model(replace(package, network={"name": "unet", "arguments": other}))


@pytest.mark.parametrize(
    "changes",
    [{"labels": [{"value": 0, "name": "b"}, {"value": 1, "name": "x"}]}, {"channels": [{"name": "a"}, {"name": "b"}]},
     {"network": {"name": "unet", "arguments": {"in_channels": 1, "out_channels": 3, "channels": [-4, 8]}}}],
)  # fmt: skip
def test_tampered_configurations_do_not_load(package, changes):
    edit(package, **changes)
    with pytest.raises(RequestError):
        load_model(package.folder)


def test_unknown_schedule_does_not_load(tmp_path):
    package = write_tiny_model(tmp_path / "diffusion")
    with pytest.raises(RequestError, match="install the model again"):
        load_model(replace(package, sampling={"schedule": "nonsense"}))


def test_store_goes_by_the_names_that_it_lists(package, monkeypatch):
    package.folder.rename(package.folder.with_name("renamed"))
    monkeypatch.setenv("MEDSEGDIFF_MODELS", str(package.folder.parent))
    assert store.find_model("tiny").folder.name == "renamed"


def test_store_finds_by_name_and_folder(package, monkeypatch):
    monkeypatch.setenv("MEDSEGDIFF_MODELS", str(package.folder.parent))
    assert store.find_model("tiny") == package
    assert store.find_model(package.folder) == package
    assert "tiny" in [p.name for p in store.list_models()]
    with pytest.raises(RequestError, match="'nobody' is not known; installed: .*tiny"):
        store.find_model("nobody")
    with pytest.raises(RequestError, match="is not known"):  # nor may a file be called so
        store.find_model("x" * 300)
    assert find_ensemble("x" * 300) is None
    with pytest.raises(RequestError, match="installed: .*tiny.*, hippocampus-ensemble"):
        store.find_model("nobody")


def test_metadata_follows_monai(package):
    metadata = json.loads((package.folder / METADATA).read_text())
    wanted = {"schema", "version", "changelog", "monai_version", "pytorch_version", "numpy_version", "task",
              "description",
              "authors", "copyright", "network_data_format"}  # fmt: skip
    assert wanted <= set(metadata)
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"] == {
        "0": "background",
        "1": "one",
        "2": "two",
    }


def schema_says(config: dict) -> bool:
    import medsegdiff.models.package as module

    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(Path(module.__file__).with_name("segmenter.schema.json").read_text())
    return jsonschema.Draft202012Validator(schema).is_valid(config)


def test_schema_and_reader_agree(package):
    """What the published schema allows is read, what it forbids is refused."""
    base = json.loads((package.folder / CONFIG).read_text())
    flat = {"spacing": [1, 0.5, None], "size": [256, 256, None], "normalization": "8bit", "divisible": [8, 8, 1]}
    clipped = {"low": -10, "high": 200.5, "mean": 3, "deviation": 0.5}
    windows = {
        "orientation": [2, 0, 1], "crop": "nonzero", "resampling": "nnunet", "window": [32, 16, None],
        "normalization": ["zscore-nonzero", clipped],
    }  # fmt: skip
    for config in (
        base,
        {**base, "clicks": {"sigma_mm": 2}},
        {**base, "preprocessing": windows},
        {**base, "preprocessing": flat},
        {**base, "preprocessing": {"spacing": None, "size": None}},
    ):
        assert schema_says(config)
        (package.folder / CONFIG).write_text(json.dumps(config))
        assert load_package(package.folder).preprocessing == config["preprocessing"]
    missing = [
        {k: v for k, v in base.items() if k != key} for key in ("format", "name", "labels", "network", "weights")
    ]
    wrong = [{**base, **change} for change in (
        {"extra": 1}, {"format": 2}, {"channels": []}, {"labels": base["labels"][:1]}, {"network": {}},
        {"preprocessing": {"spacing": [1, 1]}}, {"preprocessing": {"orientation": 5}},
        {"preprocessing": {"divisible": 0}}, {"preprocessing": {"divisible": [8, 8, 1025]}},
        {"preprocessing": {"orientation": [0, 1, 1]}}, {"preprocessing": {"orientation": [0, 1, 2, 3]}},
        {"preprocessing": {"crop": "body"}}, {"preprocessing": {"resampling": "cubic"}},
        {"preprocessing": {"normalization": []}},
        {"preprocessing": {"normalization": {"low": 1}}},
        {"preprocessing": {"normalization": [{**clipped, "deviation": 0}]}},
        {"preprocessing": {"window": 32}}, {"preprocessing": {"window": [32, 0, 32]}},
        {"preprocessing": {"size": [256, 256]}}, {"preprocessing": {"size": [256, 25.5, None]}},
        {"preprocessing": {"size": 256}}, {"preprocessing": {"spacing": []}},
        {"preprocessing": {"spacing": [1, 0, None]}},
        {"preprocessing": {"normalization": "max"}}, {"sampling": {"samples": 1001}}, {"sampling": {"tta": 1}},
        {"sampling": {"steps": True}}, {"calibration": {"relative_volume_error": {"1": -0.1}}},
        {"preprocessing": {"colour": 1}}, {"calibration": {"temperature": 0}},
        {"calibration": {"power": 0}}, {"calibration": {"label_scale": [1.0]}},
        {"calibration": {"expected_dice": {"1": {}}}},
        {"clicks": {}}, {"clicks": {"sigma_mm": 0}}, {"clicks": {"sigma_mm": 1, "radius": 2}}, {"clicks": 2},
        {"distribution": {"colour": 1}}, {"distribution": {"geometry": {"spacing": [1]}}},
        {"distribution": {"image": {"names": ["a"], "mean": [0], "deviation": [0], "correlation": [], "limit": 1}}},
        {"distribution": {"structures": {"1": {"volume": [1]}}}},
        {"calibration": {"expected_dice": {"1": [1]}}}, {"sampling": {"steps": 0}}, {"sampling": {"sampler": "euler"}},
        {"weights_sha256": "abc"}, {"labels": [*base["labels"], {"value": 3, "name": "x", "colour": [1, 2, 3]}]},
    )]  # fmt: skip
    for config in missing + wrong:
        assert not schema_says(config), config
        (package.folder / CONFIG).write_text(json.dumps(config))
        with pytest.raises(RequestError):
            load_package(package.folder)


def test_shipped_packages_follow_the_schema(project_root):
    for path in (project_root / "Resources/Models").glob(f"*/{CONFIG}"):
        assert schema_says(json.loads(path.read_text())), path
        verify_package(load_package(path.parents[1]))
