"""Trained models of nnU-Net v2: what their plans say, their weights, their folds; and what is refused. What their
answers are beside nnU-Net's own is measured by Testing/studies/nnunet_parity.py, which needs nnU-Net."""

from __future__ import annotations

import json
import os
import shutil
from itertools import combinations

import numpy as np
import pytest
import torch
from medsegdiff.cli.main import main
from medsegdiff.errors import RequestError
from medsegdiff.image import Image
from medsegdiff.inference.api import segment
from medsegdiff.inference.model import load_model
from medsegdiff.models import importing, store
from medsegdiff.models.ensembles import find_ensemble
from medsegdiff.models.importing import import_package, import_packages
from medsegdiff.models.nnunet_plans import architecture_of, configuration_of, preprocessing_of
from medsegdiff.networks.registry import build_network
from nnunet_folder import plans_of, write_folder

CT = {"normalization_schemes": ["CTNormalization"]}


@pytest.fixture
def home(tmp_path, monkeypatch):
    for module in (importing, store):
        monkeypatch.setattr(module, "user_store", lambda: tmp_path / "store")
    return tmp_path


def preprocessing(configuration: str, **options) -> dict:
    plans = plans_of(configuration, **options)
    return preprocessing_of(plans, configuration_of(plans, configuration), 1)


def test_plans_in_our_words():
    said = preprocessing("3d_fullres", masked=True, turn=(1, 0, 2))
    assert said == {
        "orientation": [1, 2, 0], "spacing": [1.1, 0.9, 1.0], "divisible": 1, "crop": "nonzero",
        "normalization": ["zscore-nonzero"], "resampling": "nnunet", "window": [24, 32, 24],
    }  # fmt: skip
    flat = preprocessing("2d", **CT)
    assert (flat["orientation"], flat["spacing"], flat["window"]) == ([1, 0, 2], [0.9, 1.1, None], [40, 32, None])
    assert flat["normalization"] == [{"low": 28.0, "high": 290403.0, "mean": 22360.3, "deviation": 60656.1}]
    plans = {**plans_of("3d_fullres"), "image_reader_writer": "NibabelIOWithReorient"}
    assert preprocessing_of(plans, configuration_of(plans, "3d_fullres"), 1)["orientation"] == "SAR"


def test_inherited_configurations_and_older_plans():
    plans = plans_of("3d_fullres")
    plans["configurations"]["more"] = {"inherits_from": "3d_fullres", "patch_size": [8, 8, 8]}
    assert preprocessing_of(plans, configuration_of(plans, "more"), 1)["window"] == [8, 8, 8]
    older = {key: value for key, value in configuration_of(plans, "3d_fullres").items() if key != "architecture"} | {
        "UNet_class_name": "PlainConvUNet", "UNet_base_num_features": 8, "unet_max_num_features": 20,
        "n_conv_per_stage_encoder": [1, 1, 1], "n_conv_per_stage_decoder": [1, 1], "num_pool_per_axis": [2, 2, 2],
        "pool_op_kernel_sizes": [[1, 1, 1], [2, 2, 2], [2, 2, 2]], "conv_kernel_sizes": [[3, 3, 3]] * 3,
    }  # fmt: skip
    kind, options = architecture_of(older)
    known = architecture_of(configuration_of(plans, "3d_fullres"))
    assert (kind, {**options, "features_per_stage": [8, 16, 32]}) == known and options["features_per_stage"] == [
        8,
        16,
        20,
    ]


@pytest.mark.parametrize(
    ("entries", "about"),
    [
        ({"previous_stage": "3d_lowres"}, "second stage of a cascade"),
        ({"preprocessor_name": "Own"}, "preprocessor 'Own'"),
        ({"inherits_from": "nothing"}, "configuration 'nothing'"),
        ({"normalization_schemes": ["Own"]}, "normalization 'Own'"),
        ({"resampling_fn_data": "own"}, "resampling by own"),
        ({"resampling_fn_probabilities_kwargs": {"order": 0}}, "resampling by"),
    ],
)
def test_plans_without_counterpart_are_refused(entries, about):
    with pytest.raises(RequestError, match=about):
        preprocessing("3d_fullres", **entries)


class Code:
    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        ({"checkpoint": {"more": "code"}}, "asks for posix.mkdir|asks for nt.mkdir"),
        ({"checkpoint": {"network_weights": None}}, "no checkpoint of nnU-Net v2"),
        ({"dataset": {"labels": {"background": 0, "one": 2}}}, "must be 0, 1, 2"),
        ({"dataset": {"labels": {"background": 0, "one": 1, "same": 1}}}, "must be 0, 1, 2"),
        ({"dataset": {"labels": 5}}, "cannot be understood"),
    ],
)
def test_other_folders_are_refused(home, capsys, changes, about):
    if changes.get("checkpoint", {}).get("more"):
        changes = {"checkpoint": {"more": Code(home / "canary")}}
    folder = write_folder(
        home / "trained", "3d_fullres", {"0": {"a": torch.zeros(1)}}, plans_of("3d_fullres"), **changes
    )
    assert main(["models", "import", str(folder)]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    with pytest.raises(RequestError, match=about):
        import_package(folder)
    assert not (home / "canary").exists() and not (home / "store").exists()


def test_folders_without_all_files_are_refused(home):
    folder = write_folder(home / "trained", "3d_fullres", {}, plans_of("3d_fullres"))
    with pytest.raises(RequestError, match="has no fold_"):
        import_package(folder)
    with pytest.raises(RequestError, match="has no trained fold 3; there are: none"):
        import_package(folder, folds=["3"])
    (folder / "dataset.json").unlink()
    with pytest.raises(RequestError, match="dataset.json cannot be read"):
        import_package(folder)


# ----- with nnU-Net's package of networks


def trained(home, configuration: str, folds: str = "0", mirror=(0, 2), **entries):
    """A folder with random weights, and the networks of its folds without mirroring."""
    pytest.importorskip("dynamic_network_architectures", reason="nnU-Net's package of networks is not installed")
    plans, networks = plans_of(configuration, **entries), {}
    kind, options = architecture_of(configuration_of(plans, configuration))
    for fold in folds.split(","):
        torch.manual_seed(len(networks))
        network = build_network(
            "nnunet", {"in_channels": 1, "out_channels": 3, "architecture": kind, "options": options}
        )
        networks[fold] = network.eval()
    states = {
        fold: {name.removeprefix("net."): value for name, value in torch.nn.Module.state_dict(network).items()}
        for fold, network in networks.items()
    }  # fmt: skip
    return write_folder(home / "trained", configuration, states, plans, mirror=mirror), networks


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres", "3d_fullres_resenc"])
def test_trained_model_answers_as_its_network(home, configuration):
    mirror = (0, 1) if configuration == "2d" else (0, 2)
    folder, networks = trained(home, configuration, mirror=mirror)
    package = import_package(folder)
    assert package.name == f"dataset004-hippocampus-{configuration.replace('_', '-')}"
    assert [label.name for label in package.labels] == ["background", "anterior", "posterior"]
    assert (package.licence, package.channels) == ("own", ({"name": "MRI", "modality": "MR"},))
    model = load_model(package.name, device="cpu")
    network, dims = networks["0"], networks["0"].spatial_dims
    x = torch.randn(1, 1, *(size for size in package.preprocessing["window"] if size))
    ways = [axes for n in range(3) for axes in combinations([2 + axis for axis in mirror], n)]
    with torch.no_grad():
        expected = sum(network(x.flip(axes)).flip(axes) for axes in ways) / 4
        said = model.network(x if dims == 3 else x[..., None])
    torch.testing.assert_close(said if dims == 3 else said[..., 0], expected)
    image = Image(
        np.random.default_rng(0).normal(100, 20, (1, 30, 40, 20)).astype(np.float32), np.diag([-1.0, 1.2, 0.9, 1])
    )
    assert segment(model, image).labelmap.shape == (30, 40, 20)


def test_folds_become_members(home, capsys):
    folder, _ = trained(home, "3d_fullres", "0,1")
    archive = shutil.make_archive(str(home / "exported"), "zip", home, "trained")
    assert main(["models", "import", archive, "--licence", "CC0", "--no-mirroring"]) == 0
    said, name = capsys.readouterr().out, "dataset004-hippocampus-3d-fullres"
    names = [f"{name}-fold-{n}" for n in (0, 1)]
    assert f"asks together: {', '.join(names)}; try: medsegdiff segment IMAGE -m {name} -o" in said
    packages = [store.find_model(name) for name in names]
    assert all(package.licence == "CC0" and package.network["arguments"]["mirror"] == [] for package in packages)
    assert [package.training["fold"] for package in packages] == ["0", "1"]
    image = Image(np.random.default_rng(0).normal(100, 20, (1, 24, 30, 24)).astype(np.float32), np.eye(4))
    assert segment(names, image, device="cpu").report["samples"] == 2
    together = segment(name, image, device="cpu")
    assert together.report["ensemble"] == name and find_ensemble(name).average == "logits"
    logits = sum(np.log(segment(each, image, device="cpu").probability) for each in names) / 2
    expected = np.exp(logits) / np.exp(logits).sum(0)
    np.testing.assert_allclose(together.probability, expected, atol=1e-5)
    assert np.abs(segment(names, image, device="cpu").probability - expected).max() > 1e-5
    assert main(["models", "remove", name]) == 0 and store.find_model(names[0]).name == names[0]
    assert len(import_packages(folder, folds=["1"], name="second")) == 1
    assert store.find_model("second").training["fold"] == "1"


@pytest.mark.parametrize(("strides", "about"), [
    ([1, 1.5, 1], "cannot be understood"), ([1, 1, [[]]], "cannot be understood"), ([1, 2, 1], "answers to"),
])  # fmt: skip
def test_plans_that_no_image_goes_through_are_refused(home, strides, about):
    """The weights fit, whatever the strides are."""
    folder, _ = trained(home, "3d_fullres")
    plans = json.loads((folder / "plans.json").read_text())
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["strides"][0] = strides
    (folder / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(RequestError, match=about):
        import_package(folder)
    assert not (home / "store").exists()


def test_weights_of_another_network_are_refused(home):
    folder, _ = trained(home, "3d_fullres")
    plans = json.loads((folder / "plans.json").read_text())
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["n_conv_per_stage"] = [1, 2, 1]
    (folder / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(RequestError, match="not those of the plans' network"):
        import_package(folder)
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["norm_op"] = "os.system"
    (folder / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(RequestError, match="layer 'system' is unknown"):
        import_package(folder)
