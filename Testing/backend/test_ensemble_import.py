"""Ensembles that average logits, ensembles that are imported with their members, and batches after a new
calibration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from medsegdiff import segment
from medsegdiff.cli.main import main
from medsegdiff.errors import RequestError
from medsegdiff.image import Image, write_volume
from medsegdiff.inference.ensemble_request import request_for
from medsegdiff.models import importing, store
from medsegdiff.models.ensembles import ENSEMBLE, find_ensemble, load_ensemble
from medsegdiff.models.importing import import_packages
from medsegdiff.models.package import CONFIG, PAGE
from medsegdiff.training.calibrate_ensemble import calibrate_ensemble
from medsegdiff.worker.result_size import result_bytes
from tiny_models import NETWORKS, write_tiny_model

MEMBERS = [{"model": "first", "samples": 1, "weight": 3}, {"model": "second", "samples": 1}]
BASE = {"format": 1, "name": "both", "description": "two models", "members": MEMBERS, "average": "logits"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """An ensemble's folder with those of its members in it."""
    folder = tmp_path_factory.mktemp("exported") / "both"
    write_tiny_model(folder / "first", "unet", calibration={"temperature": 2.0})
    write_tiny_model(folder / "second", "unet", {**NETWORKS["unet"], "channels": [4, 8, 12]})
    (folder / ENSEMBLE).parent.mkdir()
    (folder / ENSEMBLE).write_text(json.dumps(BASE))
    (folder / PAGE).parent.mkdir()
    (folder / PAGE).write_text("how far it can be trusted")
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An empty store."""
    for module in (importing, store):
        monkeypatch.setattr(module, "user_store", lambda: tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture(scope="module")
def image() -> Image:
    return Image(np.random.default_rng(0).normal(100, 20, (1, 16, 16, 12)).astype(np.float32), np.eye(4))


def test_logits_are_averaged_each_model_with_its_weight(exported, home, image):
    import_packages(exported)
    options = {"device": "cpu", "seed": 1}
    one, other = (segment(name, image, samples=1, tta=False, **options).probability for name in ("first", "second"))
    result = segment("both", image, tta=False, **options)
    logits = 0.75 * np.log(one) + 0.25 * np.log(other)
    expected = np.exp(logits) / np.exp(logits).sum(0)
    np.testing.assert_allclose(result.probability, expected, atol=1e-5)
    np.testing.assert_array_equal(result.labelmap, result.probability.argmax(0))
    assert np.abs(0.75 * one + 0.25 * other - expected).max() > 1e-3
    path = home / "both" / ENSEMBLE
    path.write_text(path.read_text().replace('"logits"', '"probabilities"'))
    usual = segment("both", image, tta=False, **options)
    np.testing.assert_allclose(usual.probability, 0.75 * one + 0.25 * other, atol=1e-5)
    np.testing.assert_array_equal(usual.packed_samples, result.packed_samples)
    np.testing.assert_allclose(usual.weights, result.weights)
    for measure in ("mutual-information", "expected-entropy"):
        np.testing.assert_allclose(result.uncertainty(measure), usual.uncertainty(measure), atol=1e-5)
    asked = request_for(["both"], device="cpu", tta=False)
    assert sum(array.nbytes for array in result.to_arrays()[0].values()) <= result_bytes(asked, image) + 200


def test_ensemble_comes_with_its_members(exported, home, tmp_path):
    imported = import_packages(exported)
    assert [one.name for one in imported] == ["first", "second", "both"] and imported[-1].folder == home / "both"
    assert (home / "both" / PAGE).read_text() == "how far it can be trusted"
    assert [package.folder for package in find_ensemble("both").packages] == [home / "first", home / "second"]
    shutil.rmtree(home)
    archive = shutil.make_archive(str(tmp_path / "both"), "zip", exported.parent, "both")
    assert main(["models", "import", archive, "--json"]) == 0
    assert find_ensemble("both").average == "logits" and store.find_model("second").folder == home / "second"


def test_ensemble_without_its_members_is_refused_until_they_are_there(exported, home, tmp_path, capsys):
    alone = tmp_path / "alone"
    shutil.copytree(exported / "configs", alone / "configs")
    assert main(["models", "import", str(alone)]) == 2
    said = capsys.readouterr().err
    assert "ensemble 'both' cannot be asked: model 'first' is not known" in said and said.count("\n") == 1
    assert not (home / "both").exists()
    for name in ("first", "second"):
        import_packages(exported / name)
    assert [one.name for one in import_packages(alone)] == ["both"]


def test_neither_takes_the_others_place(exported, home):
    shutil.copytree(exported / "first", home / "both")
    with pytest.raises(RequestError, match="holds a model, which would be lost"):
        import_packages(exported)
    assert sorted(path.name for path in home.iterdir()) == ["both"]


def test_an_ensemble_comes_whole_or_not_at_all(exported, home, tmp_path):
    """A damaged last member changes nothing, nor does an ensemble of a member's name."""
    damaged, namesake = (Path(shutil.copytree(exported, tmp_path / name)) for name in ("damaged", "namesake"))
    weights = damaged / "second/models/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(RequestError, match="is damaged or was changed"):
        import_packages(damaged)
    (namesake / ENSEMBLE).write_text(json.dumps(BASE | {"name": "First"}))
    with pytest.raises(RequestError, match=r"holds two of one name \(first, second, First\)"):
        import_packages(namesake)
    assert not list(home.glob("*"))


def test_what_is_averaged_is_checked(exported, home, tmp_path):
    import_packages(exported)
    folder = tmp_path / "odd"
    (folder / ENSEMBLE).parent.mkdir(parents=True)
    (folder / ENSEMBLE).write_text(json.dumps(BASE | {"average": "labels"}))
    with pytest.raises(RequestError, match="'average' must be one of probabilities, logits"):
        load_ensemble(folder)
    with pytest.raises(RequestError, match="averages logits, which no calibration is fitted for"):
        calibrate_ensemble(find_ensemble("both"), [])


def test_batch_does_again_what_was_calibrated_anew(exported, home, image, tmp_path, capsys):
    import_packages(exported / "first")
    (tmp_path / "cases").mkdir()
    write_volume(tmp_path / "cases/a.nii.gz", image.array[0], image.affine)
    command = ["batch", str(tmp_path / "cases"), "-m", "first", "-o", str(tmp_path / "out"), "--samples", "1"]
    states = []
    for temperature in (2.0, 2.0, 1.0):
        path = home / "first" / CONFIG
        path.write_text(path.read_text().replace('"temperature": 2.0', f'"temperature": {temperature}'))
        assert main(command) == 0
        states.append(capsys.readouterr().out.partition(": ")[2].strip())
    assert states == ["done", "kept", "done, instead of an earlier result"]
