"""medsegdiff calibrate: fits, stores, copies where it must, and is used from then on."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from medsegdiff import segment
from block_dataset import write_blocks
from command_line import fails
from medsegdiff.cli.main import main
from medsegdiff.image.writing import write_volume
from medsegdiff.inference.engine import segment_image
from medsegdiff.inference.model import load_model
from medsegdiff.models.ensembles import Ensemble, Member, find_ensemble, load_ensemble, write_ensemble
from medsegdiff.models.package import CONFIG, PAGE, Label, load_package
from medsegdiff.training.calibrate import Measured, _fit
from medsegdiff.training.scaling_fit import Voxels, cross_validated_ece, fit_scaling
from medsegdiff.uncertainty.calibration import fit_expected_dice
from PIL import Image as Picture
from tiny_models import NETWORKS, write_tiny_model


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Nine cases with two blocks; five of them are for validation."""
    return write_blocks(tmp_path / "dataset", 9, [0, 1, 2, 3, 4])


@pytest.fixture
def store(tmp_path: Path, monkeypatch) -> Path:
    """The user's own models."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MEDSEGDIFF_MODELS", raising=False)
    return tmp_path / "home/medsegdiff/models"


@pytest.mark.parametrize("network", ["unet", "medsegdiff_3d"])
def test_a_calibrated_copy_is_used(dataset, tmp_path, capsys, network):
    write_tiny_model(tmp_path / "tiny", network, sampling={"samples": 2, "steps": 1, "sampler": "ddim", "tta": True})
    before = (tmp_path / "tiny" / CONFIG).read_text()
    copy = tmp_path / "copy"
    assert main(["calibrate", str(tmp_path / "tiny"), str(dataset), "-o", str(copy), "--device", "cpu"]) == 0
    printed = capsys.readouterr()
    said = printed.out
    assert "mean Dice on 5 validation cases: 0." in said and str(copy / PAGE) in said
    assert "warning: tiny: Dice and calibration were measured on only 5 cases, too few" in printed.err
    assert (tmp_path / "tiny" / CONFIG).read_text() == before
    package = load_package(copy)
    assert {"temperature", "power", "label_scale", "expected_dice", "relative_volume_error"} <= set(package.calibration)
    assert package.distribution["cases"] == 4 and set(package.distribution["structures"]) == {"1", "2"}
    assert package.distribution["geometry"] == {"spacing": [[1.0, 1.0]] * 3, "extent": [[16.0, 16.0]] * 3}
    assert package.training["validation"]["cases"] == 5
    scan = dataset / "imagesTr/case7.nii.gz"
    plain, fitted = (segment(load_model(folder, "cpu"), scan) for folder in (tmp_path / "tiny", copy))
    assert not np.allclose(plain.probability, fitted.probability)
    assert plain.report["input_score"] is None and fitted.report["input_score"] > 0
    (page,) = [(copy / PAGE).read_text()]
    assert "reliability.png" in page and "voxel size, mm: 1 to 1" in page
    assert Picture.open(copy / "docs/reliability.png").size == (560, 600)


def test_in_place_and_named_by_info(dataset, tmp_path, capsys):
    folder = write_tiny_model(tmp_path / "tiny", "unet").folder
    assert main(["models", "info", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["page"] is None
    assert main(["calibrate", str(folder), str(dataset), "--device", "cpu", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["models", "info", str(folder)]) == 0
    assert str(folder / PAGE) in capsys.readouterr().out


def test_where_the_model_may_not_be_changed_the_user_gets_a_copy(dataset, tmp_path, store, monkeypatch):
    package = write_tiny_model(tmp_path / "tiny", "unet")
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)  # root may write anywhere
    assert main(["calibrate", str(package.folder), str(dataset), "--device", "cpu", "--quiet"]) == 0
    assert load_package(package.folder).calibration == {}
    assert load_package(store / "tiny").calibration["expected_dice"]


def test_a_model_that_came_with_the_program_stays_as_it_is(dataset, tmp_path, store, monkeypatch):
    from medsegdiff.models import importing

    package = write_tiny_model(tmp_path / "Models" / "tiny", "unet")
    monkeypatch.setattr(importing, "shipped_resources", lambda: tmp_path)
    assert main(["calibrate", str(package.folder), str(dataset), "--device", "cpu", "--quiet"]) == 0
    assert load_package(package.folder).calibration == {} and load_package(store / "tiny").calibration["expected_dice"]


def test_no_other_model_is_lost(dataset, tmp_path, store, capsys, monkeypatch):
    package = write_tiny_model(tmp_path / "tiny", "unet")
    for folder in (store / "tiny", tmp_path / "other"):
        write_tiny_model(folder, "medsegdiff_3d")
    command = ["calibrate", str(package.folder), str(dataset), "--device", "cpu", "--quiet"]
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)
    for options, there in (([], store / "tiny"), (["-o", str(tmp_path / "other")], tmp_path / "other")):
        before = {path: path.read_bytes() for path in there.rglob("*") if path.is_file()}
        assert main([*command, *options]) == 2
        assert "holds another model" in capsys.readouterr().err
        assert before == {path: path.read_bytes() for path in there.rglob("*") if path.is_file()}


def test_an_earlier_copy_is_replaced_as_a_whole_or_stays(dataset, tmp_path, monkeypatch):
    package, copy = write_tiny_model(tmp_path / "tiny", "unet"), tmp_path / "copy"
    command = ["calibrate", str(package.folder), str(dataset), "-o", str(copy), "--device", "cpu", "--quiet"]
    assert main(command) == 0
    before = (copy / CONFIG).read_text()

    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("medsegdiff.training.calibrate.write_page", fail)
        assert main(command) == 2
    assert (copy / CONFIG).read_text() == before
    (copy / PAGE).unlink()
    assert main(command) == 0
    assert (copy / PAGE).is_file() and sorted(path.name for path in tmp_path.iterdir()) == ["copy", "dataset", "tiny"]


def test_raters_of_an_image_are_held_out_together(dataset, tmp_path, monkeypatch):
    """Each image is segmented once, and counts once a rater: two raters who agree change no fit."""
    write_tiny_model(tmp_path / "tiny", "unet")
    images = []

    def segment(request, image, **options):
        images.append(image)
        return segment_image(request, image, **options)

    monkeypatch.setattr("medsegdiff.training.calibrate.segment_image", segment)
    found = []
    for copy in ("one", "two"):
        command = ["calibrate", str(tmp_path / "tiny"), str(dataset), "-o", str(tmp_path / copy)]
        assert main([*command, "--device", "cpu", "--quiet"]) == 0
        found.append(load_package(tmp_path / copy))
        for path in list((dataset / "labelsTr").glob("*.nii.gz")) if copy == "one" else ():
            case = path.name.removesuffix(".nii.gz")
            for rater in (1, 2):
                shutil.copyfile(path, path.with_name(f"{case}_rater{rater}.nii.gz"))
            path.unlink()
    one, two = (package.training["validation"] for package in found)
    assert len(images) == 2 * 2 * 5 and one["cases"] == two["cases"] == 5 and one["dice"] == two["dice"]
    assert two["cross_validated"]["ece"] == pytest.approx(one["cross_validated"]["ece"], abs=1e-3)
    temperatures = [package.calibration["temperature"] for package in found]
    assert temperatures[0] == pytest.approx(temperatures[1], rel=1e-2)


def test_no_fit_sees_another_rater_of_the_image_held_out(monkeypatch):
    """Six images of two raters each; the number of the image is in the data."""
    rng, dice = np.random.default_rng(0), np.repeat(np.linspace(0.5, 1, 6), 2)[:, None]
    seen = []

    def fit_dice(features, known):
        seen.append(set(known.ravel()))
        return fit_expected_dice(features, known)

    monkeypatch.setattr("medsegdiff.training.calibrate.fit_expected_dice", fit_dice)
    measured = Measured(dice[..., None] * [1, 1, 1], dice, *rng.uniform(90, 110, (3, 12, 1)))
    figures = _fit((Label(1, "one"),), measured, np.repeat(np.arange(6), 2), {}, None)[1]
    assert [len(part) for part in seen] == [6, *[5] * 6] and figures.error > 0

    def fit_voxels(cases):
        seen.append({id(case.label) for case in cases})
        return fit_scaling(cases)

    seen.clear()
    monkeypatch.setattr("medsegdiff.training.scaling_fit.fit_scaling", fit_voxels)
    said = rng.dirichlet([1, 1], (6, 1, 50)).transpose(0, 1, 3, 2).astype(np.float32)
    images = [Voxels(one, rng.integers(0, 2, 50)) for one in said]
    assert cross_validated_ece([[voxels, voxels] for voxels in images]) > 0
    assert sorted(len(part) for part in seen) == [4, 5, 5, 5, 5]


def test_both_raters_count(dataset, tmp_path):
    """Not what most of them say: of two, that is the first one's alone here."""
    write_tiny_model(tmp_path / "tiny", "unet")
    dice = []
    for raters in ((0,), (1,), (0, 1)):
        for path in (dataset / "labelsTr").glob("*"):
            path.unlink()
        for number in range(9):
            for rater in raters:
                label = np.zeros((16, 16, 16), np.uint8)
                label[4:11, 4:8, 4:12], label[4:11, 8:12, 4 : 12 - 4 * rater] = 1, 2
                write_volume(dataset / "labelsTr" / f"case{number}_rater{rater + 1}.nii.gz", label, np.eye(4))
        copy = tmp_path / f"copy{len(dice)}"
        command = ["calibrate", str(tmp_path / "tiny"), str(dataset), "-o", str(copy), "--device", "cpu", "--quiet"]
        assert main(command) == 0
        dice.append(load_package(copy).training["validation"]["dice"]["two"])
    assert dice[0] != pytest.approx(dice[1], abs=1e-3)
    assert dice[2] == pytest.approx((dice[0] + dice[1]) / 2, abs=1e-3)


def test_a_folder_with_something_else_is_refused_at_once(dataset, tmp_path, capsys):
    write_tiny_model(tmp_path / "tiny", "unet")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("")
    assert main(["calibrate", str(tmp_path / "tiny"), str(dataset), "-o", str(tmp_path / "mine")]) == 2
    assert "is no model" in capsys.readouterr().err
    assert main(["calibrate", str(tmp_path / "tiny"), str(tmp_path / "nowhere")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_cases_without_structures_are_refused(dataset, tmp_path, capsys):
    write_tiny_model(tmp_path / "tiny", "unet")
    for path in (dataset / "labelsTr").glob("*"):
        write_volume(path, np.zeros((16, 16, 16), np.uint8), np.eye(4))
    assert main(["calibrate", str(tmp_path / "tiny"), str(dataset), "-o", str(tmp_path / "copy"), "--quiet"]) == 2
    assert "shows a structure" in capsys.readouterr().err
    assert not (tmp_path / "copy").exists()


def test_labels_that_the_model_lacks_are_refused_before_any_work(dataset, tmp_path, capsys, monkeypatch):
    """Of the last case, too."""
    write_tiny_model(tmp_path / "tiny", "unet")
    label = np.full((16, 16, 16), 3, np.uint8)
    label[:8] = 255
    write_volume(dataset / "labelsTr/case4.nii.gz", label, np.eye(4))
    monkeypatch.setattr("medsegdiff.training.calibrate.segment_image", lambda *_, **__: pytest.fail("inference"))
    monkeypatch.setattr("medsegdiff.inference.engine.segment_image", lambda *_, **__: pytest.fail("inference"))
    model = tmp_path / "tiny"
    before = (model / "configs/segmenter.json").read_bytes()
    said = r"case case4 has label 255, which the model does not know \(its labels: 1 one, 2 two\)"
    for command in (["calibrate", model, dataset], ["evaluate", "-m", model, "--dataset", dataset]):
        fails(capsys, 2, said, *command, "--device", "cpu", "--quiet")
    assert (model / "configs/segmenter.json").read_bytes() == before


def test_an_ensemble_is_calibrated_as_a_whole(dataset, tmp_path, store, capsys):
    """Its members stay as they are; the copy's calibration is used, and tells what it is worth."""
    for name in ("tiny", "unet"):
        write_tiny_model(store / name, "unet", NETWORKS["unet"] | ({"num_res_units": 0} if name == "tiny" else {}))
    members = (Member("tiny", 1, 2.0), Member("unet", 1, 1.0))
    write_ensemble(Ensemble(store / "both", "both", "two", members, ()))
    before = (store / "tiny" / CONFIG).read_bytes()
    command = ["calibrate", "both", str(dataset), "--device", "cpu"]
    assert main([*command, "-o", str(tmp_path / "copy")]) == 0
    assert "calibrated: both in " in (said := capsys.readouterr().out) and f"read {tmp_path / 'copy' / PAGE}" in said
    page = (tmp_path / "copy" / PAGE).read_text()
    assert "- tiny: 1 sample, counting 2 of 3" in page and "Measured on 5 validation cases" in page
    assert Picture.open(tmp_path / "copy/docs/reliability.png").size == (560, 600)
    assert (
        main(["models", "info", str(tmp_path / "copy")]) == 0
        and str(tmp_path / "copy" / PAGE) in capsys.readouterr().out
    )
    fitted = load_ensemble(tmp_path / "copy")
    assert (
        fitted.members == members
        and fitted.validation["cases"] == 5
        and (store / "tiny" / CONFIG).read_bytes() == before
    )
    assert len(fitted.calibration["label_scale"]) == 3 and find_ensemble("both").calibration == {}
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "file").touch()
    assert main([*command, "-o", str(occupied)]) == 2 and "is not this ensemble" in capsys.readouterr().err
