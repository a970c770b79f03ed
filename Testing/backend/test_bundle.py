"""MONAI bundles: networks from plain configurations, with their preprocessing; expressions are refused unless
trusted."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
import torch
from bundle_folder import UNET, write_bundle
from medsegdiff.cli.main import main
from medsegdiff.errors import RequestError
from medsegdiff.image import Image
from medsegdiff.inference.api import segment
from medsegdiff.inference.model import load_model
from medsegdiff.models import importing, store
from medsegdiff.models.bundle_transforms import preprocessing_of
from medsegdiff.models.importing import import_package
from monai.networks.nets import SegResNet, SwinUNETR, UNet


@pytest.fixture
def home(tmp_path, monkeypatch):
    for module in (importing, store):
        monkeypatch.setattr(module, "user_store", lambda: tmp_path / "store")
    return tmp_path


def test_plain_bundle_becomes_a_model(home, capsys):
    assert main(["models", "import", str(write_bundle(home / "bundle"))]) == 0
    package = store.find_model("spleen-ct-segmentation")
    assert [label.name for label in package.labels] == ["background", "spleen"]
    assert package.channels == ({"name": "image", "modality": "CT"},) and package.licence == "see LICENSE"
    assert package.preprocessing == {
        "orientation": "RAS", "spacing": [1.5, 1.5, 2.0], "window": [16, 16, 16], "divisible": 1,
        "normalization": {"low": -57.0, "high": 164.0, "mean": -57.0, "deviation": 221.0},
    }  # fmt: skip
    assert sorted(file.name for file in package.folder.rglob("*") if file.is_file()) == [
        "LICENSE", "metadata.json", "model.safetensors", "segmenter.json"
    ]  # fmt: skip
    model = load_model(package, device="cpu")
    torch.manual_seed(0)
    own = UNet(**{key: value for key, value in UNET.items() if key != "_target_"}).eval()
    x = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(model.network(x), own(x))
    scan = Image(np.random.default_rng(0).normal(0, 200, (1, 30, 30, 20)).astype(np.float32), np.eye(4))
    assert segment(model, scan).labelmap.shape == (30, 30, 20)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_bundle_in_yaml_is_told_what_to_do(home, zipped, capsys):
    folder = write_bundle(home / "given" / "bundle")
    (folder / "configs/inference.json").rename(folder / "configs/inference.yaml")
    path = shutil.make_archive(str(home / "bundle"), "zip", folder.parent) if zipped else folder
    assert main(["models", "import", str(path)]) == 2
    said = capsys.readouterr().err
    assert "inference.yaml is YAML, which is not read; write it as inference.json" in said and said.count("\n") == 1


def test_one_output_is_a_structure_beside_background(home):
    options = {
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 1,
        "init_filters": 8,
        "blocks_down": [1, 1],
        "blocks_up": [1],
    }
    network = SegResNet(**options).eval()
    folder = write_bundle(
        home / "bundle",
        {"state_dict": {f"module._orig_mod.{key}": value for key, value in network.state_dict().items()}},
        [{"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True}], inferer=None,
        network_def={"_target_": "monai.networks.nets.SegResNet", **options},
        postprocessing={"transforms": [{"_target_": "Activationsd", "sigmoid": True}]},
    )  # fmt: skip
    package = import_package(folder, labels=["tumour"], name="own", modality="MR")
    assert (package.preprocessing["normalization"], package.preprocessing["window"]) == ("zscore-nonzero", None)
    x = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        said = load_model(package, device="cpu").network(x).softmax(1)[:, 1:]
        torch.testing.assert_close(said, network(x).sigmoid())


def test_swin_unetr_may_tell_its_image_size(home):
    """As MONAI's published bundle does, which was written for a MONAI that asked for it."""
    options = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "feature_size": 12, "depths": [1, 1, 1, 1]}
    network = {"_target_": "SwinUNETR", **options, "img_size": 96}
    folder = write_bundle(home / "bundle", SwinUNETR(**options).state_dict(), network_def=network)
    assert import_package(folder).network["arguments"] == {"architecture": "SwinUNETR", "options": options}


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        ({"network_def": {**UNET, "channels": "$[__import__('os').mkdir('CANARY') or 4, 8]"}}, "is code; if you trust"),
        ({"network_def": "$__import__('os').mkdir('CANARY')", "network": None}, "is code"),
        ({"network_def": "%other.json", "network": None}, "is code"),
        ({"network_def": {**UNET, "_target_": "os.system"}}, "no network of monai"),
        ({"network_def": {**UNET, "_target_": "scripts.net.UNet"}}, "'scripts.net.UNet' is no network of monai"),
        ({"network_def": {**UNET, "_target_": "subprocess.Popen"}}, "no network of monai"),
        ({"network_def": {**UNET, "out_channels": 3}}, "name the structures with --labels"),
        ({"network_def": {**UNET, "channels": [4, 4]}}, "do not fit the network"),
        ({"network_def": {**UNET, "channels": "@nothing"}}, "refers to nothing"),
        ({"network_def": {**UNET, "channels": "@network_def#channels"}}, "without end"),
        ({"network_def": None, "network": None}, "does not say what its network is"),
        ({"preprocessing": {"transforms": [{"_target_": "os.system"}]}}, "transforms os.system have no counterpart"),
        ({"preprocessing": {"transforms": [{"_target_": "scripts.Spacingd", "pixdim": 1}]}},
         "transforms scripts.Spacingd have no counterpart"),
        ({"preprocessing": None}, "tells no transforms; give .* --spacing"),
        (
            {"postprocessing": {"transforms": [{"_target_": "Activationsd", "sigmoid": True}]}},
            "regions, which may overlap",
        ),
    ],
)
def test_other_bundles_are_refused(home, changes, about, capsys):
    changes = json.loads(json.dumps(changes).replace("CANARY", str(home / "canary")))
    folder = write_bundle(home / "bundle", **changes)
    with pytest.raises(RequestError, match=about):
        import_package(folder)
    assert main(["models", "import", str(folder)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (home / "canary").exists() and not (home / "store").exists()


CT = {"_target_": "ScaleIntensityRanged", "a_min": -1000, "a_max": 0}
CT_CLIPPED = CT | {"clip": True}
Z, UNIT, CROP = ({"_target_": name} for name in ("NormalizeIntensityd", "ScaleIntensityd", "CropForegroundd"))
TURN, SIZE = {"_target_": "Orientationd", "axcodes": "SRA"}, {"_target_": "Spacingd", "pixdim": [1, 1, 5]}


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        (
            [CT | {"b_min": -1, "b_max": 0}],
            {"normalization": {"low": -1e8, "high": 1e8, "mean": 0.0, "deviation": 1000.0}},
        ),
        ([CT], {"normalization": {"low": -1e8, "high": 1e8, "mean": -1000.0, "deviation": 1000.0}}),
        (
            [{"_target_": "NormalizeIntensityd", "subtrahend": 100, "divisor": 20}],
            {"normalization": {"low": -1e8, "high": 1e8, "mean": 100.0, "deviation": 20.0}},
        ),
        ([CT | {"_disabled_": True}, {"_target_": "os.system", "_disabled_": "true"}], {"normalization": "none"}),
        ([TURN, SIZE], {"orientation": "SRA", "spacing": [1.0, 1.0, 5.0]}),
        ([SIZE | {"pixdim": 2}, TURN], {"orientation": "SRA", "spacing": [2.0, 2.0, 2.0]}),
        ([SIZE, TURN | {"_disabled_": True}], {"orientation": [0, 1, 2], "spacing": [1.0, 1.0, 5.0]}),
        ([SIZE | {"pixdim": [1.0, 2.0]}], {"spacing": [1.0, 2.0, 2.0]}),
        ([SIZE | {"pixdim": [2.0]}], {"spacing": [2.0, 2.0, 2.0]}),
        ([TURN | {"axcodes": ["S", "R", "A"]}], {"orientation": "SRA"}),
        ([CT, UNIT, Z], {"normalization": "zscore"}),
        ([Z, UNIT], {"normalization": "minmax"}),
        ([CT, SIZE], {"spacing": [1.0, 1.0, 5.0]}),
        ([CROP, Z | {"nonzero": True}], {"normalization": "zscore-nonzero"}),
    ],
)
def test_transforms_are_told_in_our_words(steps, says):
    found = preprocessing_of({"transforms": steps}, None, {}, {}, "bundle")
    assert {key: found[key] for key in says} == says


@pytest.mark.parametrize(
    "steps",
    [
        [SIZE, TURN], [CT | {"b_max": 1}], [{"_target_": "NormalizeIntensityd", "subtrahend": 100}],
        [{"_target_": "NormalizeIntensityd", "divisor": 20}],
        [{"_target_": "NormalizeIntensityd", "subtrahend": 100, "divisor": 20, "nonzero": True}],
        [CT_CLIPPED, Z], [Z, CT_CLIPPED], [Z, CT], [Z | {"nonzero": True}, UNIT], [CT_CLIPPED, CT_CLIPPED],
        [CT, Z | {"nonzero": True}], [CROP, Z], [CROP, UNIT], [Z, SIZE],
        [CT | {"a_max": -1000}], [CT | {"a_max": -2000}],
    ],
)  # fmt: skip
def test_transforms_without_counterpart_are_refused(steps):
    with pytest.raises(RequestError, match="have no counterpart here"):
        preprocessing_of({"transforms": steps}, None, {}, {}, "bundle")


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("entry", "about"),
    [
        ({"preprocessing": {"transforms": [{"_target_": "Orientationd", "axcodes": "XYZ"}]}}, "'orientation' must be"),
        ({"network_def": {**UNET, "channels": [4, 1 << 20]}}, "holds a number beyond"),
    ],
)
def test_what_a_package_cannot_say_is_told_of_the_bundle(home, entry, about, zipped):
    path = write_bundle(home / "given/bundle", **entry)
    if zipped:
        path = shutil.make_archive(str(home / "bundle"), "zip", path.parent)
    with pytest.raises(RequestError, match=about) as raised:
        import_package(path)
    said = str(raised.value)
    assert said.startswith(f"{path}: ") and "segmenter.json" not in said and "install the model again" not in said


def test_a_file_within_a_zip_is_told_of_the_zip(home):
    write_bundle(home / "given/bundle")
    (home / "given/bundle/configs/inference.json").write_text("{")
    path = shutil.make_archive(str(home / "bundle"), "zip", home / "given")
    with pytest.raises(RequestError) as raised:
        import_package(path)
    assert str(raised.value).startswith(path)


def test_cut_weights_are_told_as_damaged(home):
    weights = write_bundle(home / "bundle") / "models/model.pt"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(RequestError, match="model.pt is damaged"):
        import_package(home / "bundle")


def test_weights_with_code_are_refused(home):
    class Code:
        def __reduce__(self):
            return os.mkdir, (str(home / "canary"),)

    with pytest.raises(RequestError, match="could be code"):
        import_package(write_bundle(home / "bundle", {"weight": Code()}))
    assert not (home / "canary").exists()


def test_expressions_run_where_they_are_trusted_and_confirmed_only(home, capsys, monkeypatch):
    folder = write_bundle(home / "bundle", network_def={**UNET, "channels": "$[2 + 2, 8]", "strides": ["$1 + 1"]})
    assert main(["models", "import", str(folder), "--trust"]) == 2
    assert "confirm it with --yes" in capsys.readouterr().err
    failing = write_bundle(home / "failing", network_def={**UNET, "channels": "$[1 / 0, 8]"})
    assert main(["models", "import", str(failing), "--trust", "--yes"]) == 2
    assert "'$[1 / 0, 8]' fails" in (said := capsys.readouterr().err) and len(said.splitlines()) == 1
    assert main(["models", "import", str(folder), "--trust", "--yes"]) == 0
    package = store.find_model("spleen-ct-segmentation")
    assert package.network["arguments"]["options"]["channels"] == [4, 8]  # the package holds what came of them
    assert "$" not in (package.folder / "configs/segmenter.json").read_text()


@pytest.mark.parametrize("sizes", [2.0, [2.0], [2.0, 2.0], [2.0, 2.0, 1.0]])
def test_slices_of_a_2d_network_keep_their_distance(sizes):
    found = preprocessing_of({"transforms": [SIZE | {"pixdim": sizes}]}, None, {"spatial_dims": 2}, {}, "bundle")
    assert found["spacing"] == [2.0, 2.0, None]


def test_trusted_bundle_whose_steps_are_an_expression_takes_what_is_told(home):
    folder = write_bundle(home / "spleen", preprocessing="$monai.transforms.Compose([])")
    told = ["--spacing", "1,1,2", "--normalization", "zscore"]
    assert main(["models", "import", str(folder), "--trust", "--yes", *told]) == 0
    found = store.find_model("spleen-ct-segmentation").preprocessing
    assert (found["spacing"], found["normalization"]) == ([1.0, 1.0, 2.0], "zscore")
