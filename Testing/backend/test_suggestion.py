"""Which models are suggested for an image: by channels, modality, geometry and image statistics; in words."""

import json
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from dicom_folder import write_dicom
from medsegdiff.cli.main import main
from medsegdiff.errors import JobError, RequestError
from medsegdiff.image import Image, read_image, write_volume
from medsegdiff.inference import engine
from medsegdiff.inference.input_checks import describe_image
from medsegdiff.inference.preprocessing import Preprocessing
from medsegdiff.inference.suggestion import DOUBTFUL, FITS, UNFIT, UNKNOWN, UNUSABLE, suggest_models
from medsegdiff.models.ensembles import ENSEMBLE, find_installed
from medsegdiff.models.package import CONFIG, load_package
from medsegdiff.uncertainty.distribution import fit_distribution
from tiny_models import write_tiny_model


@pytest.fixture(scope="module")
def sample(project_root):
    return read_image(project_root / "Resources/SampleData/ICBM152_hippocampus_right.nii.gz")


@pytest.fixture(scope="module")
def shipped(project_root, sample):
    """The shipped models, as if trained on images like the sample (an average of many brains, which it would stand out
    from otherwise)."""
    configs = sorted((project_root / "Resources/Models").glob(f"*/{CONFIG}"))
    packages = [load_package(path.parents[1]) for path in configs]
    rng, rows = np.random.default_rng(1), []
    for noise in np.linspace(0, 0.02, 30):
        array = sample.array ** rng.uniform(0.9, 1.1) * (1 + rng.normal(0, noise, sample.array.shape))
        alike = replace(sample, array=array.astype(np.float32))
        rows.append(describe_image(Preprocessing.from_dict(packages[0].preprocessing).prepare(alike)))
    known = fit_distribution(rows)
    return [replace(package, distribution={**package.distribution, "image": known}) for package in packages]


def fits(packages, image, **options):
    return {one.package.name: one.fit for one in suggest_models(image, packages, **options)}


def test_models_that_were_trained_on_such_images_fit(shipped, sample, tmp_path):
    unknown = write_tiny_model(tmp_path / "untold", "unet")
    wide = replace(unknown, name="wide", channels=({"name": "T1"}, {"name": "T2"}))
    found = suggest_models(sample, [wide, unknown, *shipped])
    assert [one.fit for one in found] == [FITS] * len(shipped) + [UNKNOWN, UNUSABLE]
    assert all(one.score < 1 and "mm" in one.reasons[0] for one in found[: len(shipped)])
    assert "2 channel(s) (T1, T2), the image has 1" in found[-1].reasons[0]


@pytest.mark.parametrize(
    ("change", "fit", "about"),
    [
        (lambda x: np.random.default_rng(0).normal(100, 20, x.shape), DOUBTFUL, "unlike those that the model was"),
        (lambda x: x / x.max() * 2000 - 1000, UNFIT, "look like those of a CT"),
        (lambda x: -x / x.max(), DOUBTFUL, "unlike"),
        (lambda x: np.zeros_like(x), DOUBTFUL, "constant"),
    ],
)
def test_models_do_not_fit_other_images(shipped, sample, change, fit, about):
    found = suggest_models(replace(sample, array=change(sample.array.astype(np.float32))), shipped)
    assert {one.fit for one in found} == {fit}
    assert all(any(about in reason for reason in one.reasons) for one in found)


def test_a_body_does_not_fit_a_model_of_a_small_part(shipped):
    body = Image(np.random.default_rng(0).normal(0, 50, (1, 64, 64, 40)).astype(np.float32), np.diag([3.0, 3, 5, 1]))
    found = suggest_models(body, shipped)
    assert {one.fit for one in found} == {DOUBTFUL}
    assert all(any("crop it" in reason for reason in one.reasons) for one in found)


def test_what_the_file_does_not_say_speaks_against_no_model(shipped, sample):
    assert set(fits(shipped, replace(sample, placed=False)).values()) == {FITS}


def test_voxels_far_from_those_it_looks_at_speak_against_a_model_that_tells_nothing_else(tmp_path, sample):
    untold = write_tiny_model(tmp_path / "untold", "unet")
    for size, fit in ((1.0, UNKNOWN), (3.0, UNKNOWN), (5.0, DOUBTFUL), (0.2, DOUBTFUL)):
        image = replace(sample, affine=np.diag([1.0, 1, size, 1]), array=sample.array[..., :24])
        (found,) = suggest_models(image, [untold])
        assert found.fit == fit, size
    assert "the voxels measure 1 x 1 x 0.2 mm, the model looks at some of 1 x 1 x 1 mm" in found.reasons[0]


def test_what_is_odd_of_the_image_is_said_before_the_work(tmp_path, capsys, monkeypatch):
    """A whole head takes a model of a small part very long."""
    head = tmp_path / "head.nii.gz"
    write_volume(
        head, np.random.default_rng(0).normal(100, 20, (48, 48, 40)).astype(np.float32), np.diag([4.0, 4, 4, 1])
    )
    monkeypatch.setattr(engine, "ask", lambda *_: (_ for _ in ()).throw(JobError("the work began")))
    command = ["segment", str(head), "-m", "hippocampus-unet", "-o", str(tmp_path / "o.nii.gz"), "--device", "cpu"]
    assert main(command) == 1
    said = capsys.readouterr().err.splitlines()
    assert "crop it around the structures" in "".join(said[:-1]) and "the work began" in said[-1]
    assert all(line.startswith("warning: ") for line in said[:-1])
    assert main([*command, "--quiet"]) == 1 and len(capsys.readouterr().err.splitlines()) == 1


def test_each_warning_is_printed_once(tmp_path, capsys):
    scan = tmp_path / "scan.nii.gz"
    write_volume(
        scan, np.random.default_rng(0).normal(100, 20, (20, 20, 20)).astype(np.float32), np.diag([3.0, 3, 3, 1])
    )
    assert (
        main(["segment", str(scan), "-m", "hippocampus-unet", "-o", str(tmp_path / "o.nii.gz"), "--device", "cpu"]) == 0
    )
    lines = capsys.readouterr().err.splitlines()
    assert sum("the voxels measure" in line for line in lines) == 1 and len(set(lines)) == len(lines)


def test_a_known_modality_counts(shipped, sample):
    assert set(fits(shipped, sample, modality="mr").values()) == {FITS}
    assert set(fits(shipped, sample, modality="CT").values()) == {UNFIT}
    dark = replace(sample, array=sample.array.astype(np.float32) - 1000)  # who knows that it is MR is believed
    assert set(fits(shipped, dark, modality="MR").values()) == {DOUBTFUL}
    assert "it is for MR, the image is CT" in suggest_models(sample, shipped, "CT")[0].reasons


def test_channels_that_may_be_missing_are_no_reason_against_a_model(tmp_path, sample):
    untold = write_tiny_model(tmp_path / "untold", "unet")
    channels = ({"name": "T1"}, {"name": "T2", "optional": True}, {"name": "FLAIR", "optional": True})
    several = replace(
        untold, channels=channels, preprocessing={**untold.preprocessing, "normalization": ["zscore"] * 3}
    )
    for given, fit in ((1, UNKNOWN), (2, UNKNOWN), (4, UNUSABLE)):
        image = replace(sample, array=np.concatenate([sample.array] * given), channel_names=())
        (found,) = suggest_models(image, [several])
        assert found.fit == fit and f"the image has {given}" in found.reasons[0]
    (found,) = suggest_models(sample, [several])
    assert found.reasons[0].endswith("2 of T2, FLAIR may be missing: say which with --missing")
    needed = replace(several, channels=({"name": "T1"}, {"name": "PD"}, channels[2]))
    assert fits([needed], sample) == {"untold": UNUSABLE}


@pytest.mark.parametrize("told, another", [("CT", True), ("MR", False), ("OT", False)])
def test_dicom_tells_its_modality(tmp_path, capsys, told, another):
    array = np.random.default_rng(0).normal(900, 99, (8, 9, 10)).astype(np.int16)
    for file in write_dicom(tmp_path / "series", array, np.eye(4)):
        slice_ = pydicom.dcmread(file)
        slice_.Modality = told
        slice_.save_as(file)
    for options, said in (([tmp_path / "series"], another), ([file], another), ([file, "--modality", "MR"], False)):
        assert main(["models", "suggest", *map(str, options)]) == 0
        assert ("it is for MR, the image is CT" in capsys.readouterr().out) == said


@pytest.mark.parametrize(
    ("told", "expected", "same"),
    [("PT", "PET", True), ("MR", "mri", True), ("DX", "CR", True), ("ES", "photograph", True),
     ("US", "ultrasound", True),
     ("PT", "CT", False), ("MR", "photograph", False), ("XC", "ES", False)],
)  # fmt: skip
def test_other_names_of_a_modality_are_the_same(tmp_path, sample, told, expected, same):
    package = write_tiny_model(tmp_path / "one", "unet", channels=({"name": "scan", "modality": expected},))
    assert fits([package], sample, modality=told) == {"one": UNKNOWN if same else UNFIT}


def test_command_line_says_why(project_root, tmp_path, capsys):
    image = str(project_root / "Resources/SampleData/ICBM152_hippocampus_left.nii.gz")
    assert main(["models", "suggest", image, "--json"]) == 0
    entries = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert {"name", "labels", "fit", "score", "reasons"} <= set(entries["hippocampus-unet"])
    noise = np.random.default_rng(0).normal(100, 20, (32, 48, 32)).astype(np.float32)
    write_volume(tmp_path / "noise.nii.gz", noise, np.eye(4))
    assert main(["models", "suggest", str(tmp_path / "noise.nii.gz"), "--modality", "MR"]) == 0
    assert "hippocampus-medsegdiff: doubtful\n    the image is unlike" in capsys.readouterr().out
    assert main(["models", "suggest", str(tmp_path / "nothing.nii.gz")]) == 2


def test_an_ensemble_comes_before_members_that_fit_no_better(sample, shipped, monkeypatch):
    monkeypatch.setattr("medsegdiff.inference.suggestion.list_models", lambda: shipped)
    names = [one.package.name for one in suggest_models(sample)]
    assert names[0] == "hippocampus-ensemble" and len(names) == len(shipped) + 1
    known = shipped[0].distribution["image"]
    away = {**shipped[0].distribution, "image": {**known, "mean": [value + 9 for value in known["mean"]]}}
    shipped = [replace(shipped[0], distribution=away), *shipped[1:]]
    *others, ensemble, last = suggest_models(sample)
    assert {one.fit for one in others} == {FITS} and ensemble.fit == last.fit == DOUBTFUL
    assert (ensemble.package.name, last.package.name) == ("hippocampus-ensemble", shipped[0].name)


def test_an_ensemble_with_a_folder_as_a_member_is_passed_over(tmp_path, monkeypatch):
    root = tmp_path / "models"
    monkeypatch.setenv("MEDSEGDIFF_MODELS", str(root))
    write_tiny_model(root / "tiny", "unet")
    folder = write_tiny_model(tmp_path / "elsewhere" / "other", "unet").folder
    members = [{"model": name, "samples": 1} for name in ("tiny", str(folder))]
    (root / "both/configs").mkdir(parents=True)
    (root / "both" / ENSEMBLE).write_text(
        json.dumps({"format": 1, "name": "both", "description": "two", "members": members})
    )
    image = Image(np.random.default_rng(0).normal(100, 20, (1, 16, 16, 12)).astype(np.float32), np.eye(4))
    assert "both" not in [one.package.name for one in suggest_models(image)]
    with pytest.raises(RequestError, match="other is no model's name; import it"):
        find_installed("both")
