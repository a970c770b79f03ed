"""Channels that an image may lack: declared, left out in training, done without in inference."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import AFFINES
from medsegdiff import segment
from medsegdiff.cli.main import main
from medsegdiff.cli.options import join_lists
from medsegdiff.errors import RequestError
from medsegdiff.image import Image, read_image, write_volume
from medsegdiff.inference.ensemble import recalibrated
from medsegdiff.inference.missing_channels import completed
from medsegdiff.inference.model import load_model
from medsegdiff.inference.preprocessing import Preprocessing
from medsegdiff.models.package import load_package
from medsegdiff.training.augmentation import ModalityDropout, training_transforms
from medsegdiff.training.config import TrainingConfig, read_config
from scipy import ndimage
from tiny_models import write_tiny_model

T1, POST, FLAIR = {"name": "T1"}, {"name": "T1 post", "optional": True}, {"name": "FLAIR", "optional": True}


def test_each_optional_channel_is_left_out_as_often_as_told_but_never_all():
    drop = ModalityDropout([0, 1, 2], 0.5)
    drop.set_random_state(0)
    kept = np.array([drop({"image": torch.ones(3, 2, 2, 2)})["image"][:, 0, 0, 0].numpy() for _ in range(400)])
    assert kept.any(1).all() and len(np.unique(kept, axis=0)) == 7
    np.testing.assert_allclose(kept.mean(0), 0.5 + 0.125 / 3, atol=0.08)


def test_training_crops_lack_optional_channels_only():
    pair = {
        "image": np.random.default_rng(0).normal(1, 1, (3, 16, 16, 16)).astype(np.float32),
        "label": np.ones((1, 16, 16, 16), np.float32),
    }
    transforms = training_transforms((16, 16, 16), optional=[1, 2], modality_dropout=0.5)
    blank = np.array([[bool((channel == 0).all()) for channel in transforms(pair)["image"]] for _ in range(30)])
    assert not blank[:, 0].any() and blank[:, 1].any() and blank[:, 2].any() and not blank.all(0).any()
    assert not any((channel == 0).all() for channel in training_transforms((16, 16, 16))(pair)["image"])


def test_share_of_left_out_channels_is_checked(tmp_path):
    path = tmp_path / "config.json"
    values = {name: {} for name in ("network", "preprocessing")} | {"channels": [], "labels": [], "patch": [8, 8, 8]}
    path.write_text(json.dumps({"name": "a", "description": "", **values, "modality_dropout": 1.0}))
    with pytest.raises(RequestError, match="modality_dropout must be 0 or more, and below 1"):
        read_config(path)
    assert (
        TrainingConfig("a", "", patch=(8, 8, 8), **{k: v for k, v in values.items() if k != "patch"}).modality_dropout
        == 0.25
    )


def test_names_may_come_with_blanks_between_them():
    given = "segment --missing T2 FLAIR T1.nii.gz -m A --missing T2,FLAIR ./b --missing T2"
    assert join_lists(given.split()) == [
        "segment", "--missing", "T2,FLAIR", "T1.nii.gz", "-m", "A", "--missing", "T2,FLAIR", "./b", "--missing", "T2"
    ]  # fmt: skip


def test_package_tells_which_channels_may_be_missing(tmp_path):
    network = {"in_channels": 3, "out_channels": 3, "channels": [4, 8, 8], "strides": [2, 2], "num_res_units": 1}
    package = write_tiny_model(tmp_path / "three", "unet", network, channels=(T1, POST, FLAIR))
    assert [channel.get("optional", False) for channel in package.channels] == [False, True, True]
    path = tmp_path / "three/configs/segmenter.json"
    path.write_text(path.read_text().replace('"optional": true', '"optional": "yes"', 1))
    with pytest.raises(RequestError, match="'optional' of a channel must be true or false"):
        load_package(tmp_path / "three")


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A network of three channels, two of which may be missing."""
    network = {"in_channels": 3, "out_channels": 3, "channels": [4, 8, 8], "strides": [2, 2], "num_res_units": 1}
    normal = [{"low": 0, "high": 2000, "mean": 500, "deviation": 300}] * 3  # by which nothing becomes 0 by itself
    preprocessing = {"orientation": "RAS", "spacing": [1, 1, 1], "normalization": normal, "divisible": 8}
    folder = tmp_path_factory.mktemp("models") / "three"
    write_tiny_model(folder, "unet", network, channels=(T1, POST, FLAIR), preprocessing=preprocessing)
    return load_model(folder, device="cpu")


def scan(channels: int) -> Image:
    return Image(np.random.default_rng(1).integers(0, 1000, (channels, 16, 16, 16)).astype(np.int16), np.eye(4))


def test_missing_channel_is_zero_after_normalisation(three):
    image = completed(replace(scan(2), modalities=("MR", "")), [three.package], ["t1 post"])
    assert image.modalities == ("MR", "", "")
    assert image.missing == (1,) and image.array.dtype == np.int16
    np.testing.assert_array_equal(image.array[[0, 2]], scan(2).array)
    prepared = Preprocessing.from_dict(three.package.preprocessing).prepare(image).array
    assert not prepared[1].any() and prepared[0].std() > 0.5


def test_result_rests_on_the_channels_that_are_there(three):
    whole, part = scan(3), Image(scan(3).array[[0, 2]], np.eye(4))
    result = segment(three, part, samples=1, missing=["T1 post"])
    ignored = segment(three, whole, samples=1, missing=["T1 post"])
    np.testing.assert_array_equal(result.probability, ignored.probability)
    assert np.abs(result.probability - segment(three, whole, samples=1).probability).max() > 1e-3
    assert result.report["missing"] == ["T1 post"]
    assert [w for w in result.report["warnings"] if "T1 post" in w] == [
        "T1 post: missing, the result rests on the other channels alone"
    ]


@pytest.mark.parametrize(("channels", "missing", "said"), [
    (2, (), r"takes 3 channel\(s\) \(T1, T1 post, FLAIR\), the input has 2; name those that are missing \(--missing\), "
            "of T1 post, FLAIR"),
    (4, (), "the input has 4; give one grey image for each channel"),
    (2, ("T1",), "needs T1: T1 post, FLAIR alone may be missing; give that image, too"),
    (2, ("T2",), "has no channel 'T2' that could be missing; its channels: T1, T1 post, FLAIR"),
    (2, ("T1 post", "FLAIR"), "the input has 2"),
])  # fmt: skip
def test_what_cannot_be_done_without_is_refused(three, channels, missing, said):
    with pytest.raises(RequestError, match=said):
        segment(three, scan(channels), missing=missing)


def test_a_guess_needs_what_its_model_needs(three, tmp_path):
    arguments = {"in_channels": 3, "out_channels": 3, "channels": 4, "width": 8, "detail": 4}
    package = write_tiny_model(tmp_path / "ours", "medsegdiff_3d", arguments, channels=(T1, POST, FLAIR),
                               preprocessing=three.package.preprocessing)  # fmt: skip
    guess = write_tiny_model(tmp_path / "guess", "unet", three.package.network["arguments"],
                             channels=(T1, {"name": "T1 post"}, FLAIR),
                             preprocessing=three.package.preprocessing)  # fmt: skip
    options = {"samples": 1, "steps": 2, "truncation": 0.5, "guess": str(guess.folder)}
    segment(package.folder, scan(3), **options)
    with pytest.raises(RequestError, match="cannot guess for .*: their channels that may be missing differ"):
        segment(package.folder, scan(2), missing=["T1 post"], **options)


def test_calibration_holds_for_all_channels_only(three):
    entry = {"expected_dice": {"1": [0.1, 0.9]}, "relative_volume_error": {"1": 0.1}}
    model = recalibrated(three, entry)
    said = segment(model, scan(2), samples=1, missing=["FLAIR"]).report["warnings"]
    assert any("fitted for other options (missing FLAIR instead of none)" in warning for warning in said)
    assert not any("other options" in warning for warning in segment(model, scan(3), samples=1).report["warnings"])


def test_channels_on_other_grids_are_brought_to_the_first(tmp_path):
    def field(shape, affine):  # grey values that tell the place
        places = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
        return (places @ (3, 2, 1) + 500).astype(np.float32)

    first, turned = AFFINES["anisotropic"], AFFINES["oblique"].copy()
    # one middle
    turned[:3, 3] += first[:3, :3] @ (14.5, 11.5, 3.5) + first[:3, 3] - (turned @ (44.5, 34.5, 24.5, 1))[:3]
    write_volume(tmp_path / "t1.nii.gz", field((30, 24, 8), first), first)
    write_volume(tmp_path / "t2.nrrd", field((90, 70, 50), turned), turned)
    image = read_image([tmp_path / "t1.nii.gz", tmp_path / "t2.nrrd"])
    np.testing.assert_allclose(image.affine, first, atol=1e-4)
    there = image.array[1] != image.array[1].min()
    assert there.mean() > 0.9 and image.channel_names == ("t1", "t2")
    inside = ndimage.binary_erosion(there, iterations=2, border_value=1)
    np.testing.assert_allclose(image.array[1][inside], image.array[0][inside], atol=1.0)
    assert len(image.notes) == 1 and "t2.nrrd was resampled to the grid of" in image.notes[0]


def test_channels_that_do_not_meet_are_refused(tmp_path):
    away = np.eye(4)
    away[0, 3] = 7
    for name, affine in (("t1", np.eye(4)), ("t2", away)):
        write_volume(tmp_path / f"{name}.nii.gz", np.ones((10, 10, 10), np.float32), affine)
    with pytest.raises(RequestError, match="t2.nii.gz shows 30 % of what .*t1.nii.gz shows"):
        read_image([tmp_path / "t1.nii.gz", tmp_path / "t2.nii.gz"])


def test_command_line_names_missing_channels_and_batch_reads_them_off_the_numbers(three, tmp_path, capsys):
    cases = tmp_path / "cases"
    cases.mkdir()
    for number in (0, 2):
        write_volume(cases / f"a_{number:04d}.nii.gz", scan(3).array[number], np.eye(4))
    files = [str(path) for path in sorted(cases.iterdir())]
    model, out = str(three.package.folder), str(tmp_path / "a.nii.gz")
    assert main(["segment", *files, "-m", model, "-o", out, "--samples", "1"]) == 2
    assert "name those that are missing (--missing), of T1 post, FLAIR" in capsys.readouterr().err
    report = str(tmp_path / "a.json")
    assert (
        main(["segment", *files, "-m", model, "-o", out, "--missing", "T1 post", "--samples", "1", "--report", report])
        == 0
    )
    assert "T1 post: missing" in capsys.readouterr().err
    assert main(["batch", str(cases), "-m", model, "-o", str(tmp_path / "out"), "--samples", "1"]) == 0
    one, other = (json.loads(path.read_text()) for path in (tmp_path / "a.json", tmp_path / "out/a.json"))
    assert one["missing"] == other["missing"] == ["T1 post"] and one["segments"] == other["segments"]


def test_one_file_of_all_channels_lacks_none(three, tmp_path):
    """A batch's colour picture or vector volume CASE_0000: its number does not tell its channels."""
    cases = tmp_path / "cases"
    cases.mkdir()
    write_volume(cases / "a_0000.nrrd", np.moveaxis(scan(3).array, 0, -1), np.eye(4))
    assert (
        main(["batch", str(cases), "-m", str(three.package.folder), "-o", str(tmp_path / "out"), "--samples", "1"]) == 0
    )
    assert json.loads((tmp_path / "out/a.json").read_text())["missing"] == []


def test_a_guess_may_spell_out_what_is_usual(three, tmp_path):
    arguments = {"in_channels": 3, "out_channels": 3, "channels": 4, "width": 8, "detail": 4}
    written = {**three.package.preprocessing, "crop": None, "resampling": "linear"}
    assert written != three.package.preprocessing
    package = write_tiny_model(tmp_path / "ours", "medsegdiff_3d", arguments, channels=(T1, POST, FLAIR),
                               preprocessing=three.package.preprocessing)  # fmt: skip
    guess = write_tiny_model(tmp_path / "guess", "unet", three.package.network["arguments"],
                             channels=(T1, POST, FLAIR), preprocessing=written)  # fmt: skip
    segment(package.folder, scan(3), samples=1, steps=2, truncation=0.5, guess=str(guess.folder))
