"""Ensembles as things with a name: their folder, what their name stands for, their calibration."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from medsegdiff import load_model, segment
from medsegdiff.cli.main import main
from medsegdiff.errors import RequestError
from medsegdiff.image import Image
from medsegdiff.image.writing import write_volume
from medsegdiff.inference.engine import segment_image
from medsegdiff.inference.ensemble import as_calibrated, load_models
from medsegdiff.inference.ensemble_request import request_for
from medsegdiff.inference.input_checks import DIFFERENT
from medsegdiff.models import ensembles
from medsegdiff.models.ensembles import (
    ENSEMBLE,
    find_ensemble,
    find_installed,
    fingerprint,
    list_ensembles,
    load_ensemble,
    write_ensemble,
)
from medsegdiff.models.importing import import_packages
from medsegdiff.models.package import CONFIG, Label
from medsegdiff.uncertainty.calibration import after
from medsegdiff.uncertainty.scaling import Scaling
from tiny_models import NETWORKS, write_tiny_model

MEMBERS = [{"model": "first", "samples": 4, "weight": 3}, {"model": "second", "samples": 1}]
BASE = {"format": 1, "name": "both", "description": "two models", "members": MEMBERS}
SCALING = {"temperature": 2.0, "power": 1.2, "label_scale": [1.0, 0.8, 1.1]}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    write_tiny_model(root / "first", calibration=SCALING)
    write_tiny_model(root / "second", "unet")
    write_tiny_model(root / "other", "unet", labels=tuple(Label(n, name) for n, name in enumerate("ABC")))
    return root


@pytest.fixture
def root(installed, monkeypatch, tmp_path):
    monkeypatch.setenv("MEDSEGDIFF_MODELS", f"{tmp_path / 'own'}:{installed}")
    write(tmp_path / "own" / "both", BASE)
    return tmp_path / "own"


@pytest.fixture(scope="module")
def image() -> Image:
    return Image(np.random.default_rng(0).normal(100, 20, (1, 16, 16, 12)).astype(np.float32), np.eye(4))


def write(folder: Path, config: dict) -> Path:
    (folder / ENSEMBLE).parent.mkdir(parents=True, exist_ok=True)
    (folder / ENSEMBLE).write_text(json.dumps(config))
    return folder


def schema_says(config: dict) -> bool:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(Path(ensembles.__file__).with_name("ensemble.schema.json").read_text())
    return jsonschema.Draft202012Validator(schema).is_valid(config)


def test_it_is_found_by_name_and_looks_like_a_model(root):
    ensemble = find_ensemble("both")
    assert ensemble == find_ensemble(root / "both") == find_installed("both") and ensemble in list_ensembles()
    assert [label.name for label in ensemble.foreground] == ["one", "two"] and ensemble.channels[0]["name"] == "T1"
    assert ensemble.sampling == {"samples": 4, "steps": 2, "sampler": "ddim", "schedule": "cosine"}
    assert find_ensemble("first") is None and find_installed("first").name == "first"
    copy = replace(ensemble, folder=root / "copy", calibration=SCALING, validation={"cases": 3})
    write_ensemble(copy)
    assert load_ensemble(root / "copy") == copy and schema_says(json.loads((root / "copy" / ENSEMBLE).read_text()))


def test_schema_and_reader_agree(root):
    for change in ({}, {"variants": ["mirror"]}, {"calibration": SCALING, "validation": {"cases": 1}}):
        config = {**BASE, **change}
        assert schema_says(config) and load_ensemble(write(root / "x", config)).name == "both"
    one = MEMBERS[0]
    wrong = [{**BASE, **change} for change in (
        {"format": 2}, {"extra": 1}, {"name": ""}, {"members": []}, {"members": [one]}, {"members": [one, "second"]},
        {"members": [one, {"model": "second"}]}, {"members": [one, {"model": "second", "samples": 0}]},
        {"members": [one, {"model": "second", "samples": 1, "weight": 0}]}, {"members": [one, {**one, "model": ""}]},
        {"members": [one, {"model": "second", "samples": 1, "weight": 1e-10}]},
        {"members": [one, {"model": "second", "samples": 1, "code": "x"}]}, {"variants": ["turned"]},
        {"variants": "mirror"},
        {"variants": ["mirror", "mirror"]}, {"calibration": 1},
    )]  # fmt: skip
    for config in [*wrong, {k: v for k, v in BASE.items() if k != "members"}]:
        assert not schema_says(config), config
        with pytest.raises(RequestError, match="ensemble.json"):
            load_ensemble(write(root / "x", config))


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([MEMBERS[0], {"model": "third", "samples": 1}], "ensemble 'both' cannot be asked: model 'third' is not known"),
        (
            [MEMBERS[0], {"model": "other", "samples": 1}],
            "models 'first' and 'other' cannot be asked together: their labels differ",
        ),
        ([MEMBERS[0], MEMBERS[0]], "named twice"),
    ],
)
def test_members_that_are_missing_or_disagree_are_refused_in_one_line(root, members, said, capsys, tmp_path):
    write(root / "both", {**BASE, "members": members})
    assert list_ensembles() == [one for one in list_ensembles() if one.name != "both"]
    command = ["segment", "scan.nii.gz", "-m", "both", "-o", str(tmp_path / "out.nii.gz")]
    assert main(command) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1


def test_to_know_that_a_name_is_a_models_no_model_is_read(root, monkeypatch):
    monkeypatch.setattr("medsegdiff.models.ensembles.list_models", lambda: pytest.fail("the models were read"))
    assert find_ensemble("first") is None


def test_its_name_stands_for_its_members_unless_options_say_otherwise(root):
    request = request_for(["both"])
    assert (request.models, request.samples, request.weights) == (("first", "second"), (4, 1), (3, 1))
    assert request.ensemble == "both" and request.variants is None
    assert request_for(["both"], samples=8).samples == (8, 1)
    assert request_for(["both"], samples=(8, 3), weights=(1, 2)).weights == (1, 2)
    assert request_for(["both"], weights="quality", samples=None, steps=7).steps == 7
    write(root / "both", {**BASE, "variants": ["mirror"]})
    assert request_for(["both"]).variants == ("mirror",)
    assert request_for(["both"], variants=()).variants == () and request_for(["both"], tta=False).variants is None
    assert request_for(["first", "second"], samples=3).models == ("first", "second")
    for names, options in ((["both", "other"], {}), (["both"], {"samples": 0}), (["both"], {"weights": (1,)})):
        with pytest.raises(RequestError):
            request_for(names, **options)


def test_it_is_the_run_of_its_members(root, image):
    loaded = load_model("both", device="cpu")
    result = segment(loaded, image)
    both = segment(["first", "second"], image, samples=[4, 1], weights=[3, 1], device="cpu")
    np.testing.assert_array_equal(result.probability, both.probability)
    np.testing.assert_array_equal(result.probability, segment(str(root / "both"), image, device="cpu").probability)
    told = [(one.report["ensemble"], one.report["model"]) for one in (result, both)]
    assert told == [("both", "first"), (None, "first")]
    assert [(one["name"], one["samples"], one["weight"]) for one in result.report["models"]] == [
        ("first", 4, 0.75), ("second", 1, 0.25)]  # fmt: skip
    with pytest.raises(RequestError, match="loaded already"):
        segment(loaded, image, device="cpu")


def test_two_scalings_after_each_other_are_one():
    import torch

    said = torch.softmax(2 * torch.randn(5, 3, 400, generator=torch.manual_seed(0)), 1)
    then = {"temperature": 0.7, "power": 0.9, "label_scale": [1.2, 1.0, 0.9], "expected_dice": {"1": [0, 1]}}
    one = after(SCALING, then, 3)
    torch.testing.assert_close(Scaling(one, 3)(said), Scaling(then, 3)(Scaling(SCALING, 3)(said)), atol=1e-5, rtol=1e-4)
    assert one["expected_dice"] == then["expected_dice"]


def test_it_is_asked_as_calibrated_where_options_say_what_it_says(root):
    ensemble, models = find_ensemble("both"), load_models(request_for(["both"], device="cpu"))
    for options, same in (
        ({}, True), ({"samples": 4, "steps": 2, "seed": 7, "device": "cpu"}, True),
        ({"sampler": "ddim", "tta": False}, True),
        ({"samples": 8}, True), ({"samples": (4, 9)}, True), ({"variants": ()}, True), ({"weights": (3.0, 1.0)}, True),
        ({"fusion": "majority"}, True), ({"steps": 3}, False), ({"samples": 2}, False), ({"sampler": "ddpm"}, False),
        ({"variants": ("mirror",)}, False), ({"weights": (1, 1)}, False),
    ):  # fmt: skip
        assert as_calibrated(request_for(["both"], **options), models, ensemble) == same, options


def test_its_own_calibration_follows_that_of_each_member(root, image):
    plain = segment("both", image, device="cpu")
    then = {"temperature": 0.5, "relative_volume_error": {"1": 0.3, "2": 0.2}}
    write(root / "both", {**BASE, "calibration": then})
    result = segment("both", image, device="cpu")
    assert result.calibration["relative_volume_error"] == then["relative_volume_error"]
    assert result.probability.max(0).mean() > plain.probability.max(0).mean()
    assert any("these models together are not calibrated" in line for line in plain.report["warnings"])
    assert not any("calibrated" in line for line in result.report["warnings"])
    other = segment("both", image, device="cpu", weights=[1, 1])
    assert any("fitted for both with its own options and members" in line for line in other.report["warnings"])
    known = fingerprint(find_ensemble("both").packages)
    for fitted_for, told in ((known, False), ("0" * 64, True)):  # as where another model took a member's name since
        write(root / "both", {**BASE, "calibration": then, "fitted_for": fitted_for})
        warnings = segment("both", image, device="cpu").report["warnings"]
        assert any("own options and members: mistrust them" in line for line in warnings) == told
    write(root / "both", {**BASE, "calibration": then})
    without = segment_image(replace(request_for(["both"], device="cpu"), ensemble=None), image)
    np.testing.assert_array_equal(without.probability, plain.probability)


def behaving(usual: float) -> dict:
    """The distribution of a model whose structures have that mean entropy."""
    known = {"names": ["mean"], "mean": [usual], "deviation": [0.01], "correlation": [], "limit": 10.0}
    return {"opinions": {**known, "asked": {"variants": ["as it is"], "dropout": False}}}


def test_each_model_is_judged_by_its_own_opinions(tmp_path, image):
    """Those of a member are not as on its training cases where it says so, whatever the others say."""
    odd = write_tiny_model(tmp_path / "odd", distribution=behaving(0.3))
    usual = write_tiny_model(tmp_path / "usual", "unet", distribution=behaving(0.92))
    names = [str(one.folder) for one in (odd, usual)]
    alone = segment(names[0], image, device="cpu").report["input_score"]
    assert segment(names[1], image, device="cpu").report["input_score"] < 1 < alone
    result = segment(names, image, device="cpu")
    told = [line for line in result.report["warnings"] if "opinions are not as" in line]
    assert (
        len(told) == 1
        and told[0].startswith("odd: ")
        and result.report["input_score"] == pytest.approx(alone, abs=0.01)
    )
    assert {one["expected_dice"] for one in result.statistics} == {None}
    assert result.statistics[0]["expected_dice_withheld"] == DIFFERENT
    assert segment(names, image, device="cpu", fusion="majority").report["input_score"] == pytest.approx(
        alone, abs=0.01
    )
    assert segment(names, image, device="cpu", clicks=[(3.0, 3.0, 3.0, 1)]).report["input_score"] is None
    assert segment(names, image, device="cpu", tta=True).report["input_score"] is None  # other options, other opinions


def test_the_command_line_knows_it(root, image, tmp_path, capsys):
    scan, report = tmp_path / "scan.nii.gz", tmp_path / "r.json"
    write_volume(scan, image.array[0], image.affine)
    common = ["--device", "cpu", "--quiet"]
    out = ["-o", str(tmp_path / "out.nii.gz")]
    assert main(["segment", str(scan), "-m", "both", *out, "--report", str(report), "--samples", "2", *common]) == 0
    assert [one["samples"] for one in json.loads(report.read_text())["models"]] == [2, 1]
    assert main(["models", "list"]) == 0 and "asks together: first, second" in capsys.readouterr().out
    assert main(["models", "info", "both"]) == 0 and "first: 4 samples, counting 3 of 4" in capsys.readouterr().out
    assert main(["models", "info", "both", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["members"][0] == MEMBERS[0]
    assert main(["models", "verify", "both"]) == 0 and "both: intact (with first, second)" in capsys.readouterr().out
    assert main(["models", "suggest", str(scan)]) == 0 and "both: unknown\n    as " in capsys.readouterr().out


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The user's own, which holds an ensemble and its members."""
    folder = tmp_path / "store"
    for module in ("store", "importing"):
        monkeypatch.setattr(f"medsegdiff.models.{module}.user_store", lambda: folder)
    write_tiny_model(folder / "first")
    write_tiny_model(folder / "second", "unet")
    write(folder / "both", BASE)
    return folder


def test_one_of_the_users_own_store_is_removed(store, capsys):
    assert main(["models", "remove", "both"]) == 0 and find_ensemble("both") is None and not (store / "both").exists()
    assert capsys.readouterr().err == ""


def test_whoever_removes_a_member_is_told_what_that_breaks(store, capsys):
    assert main(["models", "list"]) == 0 and "both\n" in (said := capsys.readouterr()).out and said.err == ""
    assert main(["models", "remove", "second"]) == 0
    assert capsys.readouterr().err == "warning: both cannot be asked any more, without second\n"
    for options in ([], ["--json"]):
        assert main(["models", "list", *options]) == 0
        said = capsys.readouterr()
        assert '"both"' not in said.out and "\nboth\n" not in said.out
        assert said.err.startswith("warning: ensemble 'both' cannot be asked: model 'second' is not known")


def test_a_list_reads_each_ensemble_once(store, capsys, monkeypatch):
    read = []
    monkeypatch.setattr(ensembles, "load_ensemble", lambda folder: (read.append(folder.name), load_ensemble(folder))[1])
    assert main(["models", "list"]) == 0 and "\nboth\n" in capsys.readouterr().out
    assert sorted(read) == sorted(folder.name for folder in ensembles.ensemble_folders()) and "both" in read


def test_models_that_cannot_be_asked_together_are_no_ensemble(root, installed):
    """By their modality, or their weights, too: it would be refused whenever it is asked."""
    write_tiny_model(
        root / "ct", "unet", {**NETWORKS["unet"], "num_res_units": 0}, channels=({"name": "CT", "modality": "CT"},)
    )
    shutil.copytree(installed / "first", root / "copy")
    path = root / "copy" / CONFIG
    path.write_text(path.read_text().replace('"name": "first"', '"name": "copy"'))
    for member, about in (("ct", r"channels differ \(MR and CT\)"), ("copy", "the same model is named twice")):
        members = [MEMBERS[0], {"model": member, "samples": 1}]
        with pytest.raises(RequestError, match=f"ensemble 'given' cannot be asked: .*{about}"):
            import_packages(write(root / "given", {**BASE, "name": "given", "members": members}))
