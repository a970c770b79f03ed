"""What the command line writes about structures, alternatives and places to look at."""

import json
from dataclasses import replace
from time import perf_counter

import numpy as np
import pytest
import SimpleITK as sitk
from medsegdiff.cli.findings import in_words
from medsegdiff.cli.main import main
from medsegdiff.cli.outputs import Outputs
from medsegdiff.cli.targets import Targets
from medsegdiff.errors import RequestError
from medsegdiff.image import Image
from medsegdiff.image.writing import write_volume
from medsegdiff.inference.request import SegmentRequest
from medsegdiff.inference.result import SegmentResult
from medsegdiff.models.package import Label
from medsegdiff.uncertainty.accumulator import OpinionAccumulator
from medsegdiff.uncertainty.measures import binary_entropy
from tiny_models import write_tiny_model

AFFINE = np.array([[-1.1, 0, 0, 20], [0, 0.9, 0, -30], [0, 0, 1.3, 5], [0, 0, 0, 1.0]])
SHAPE = (18, 20, 16)


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "scan.nii.gz"
    write_volume(path, np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32), AFFINE)
    return path


@pytest.fixture
def model(tmp_path):
    return write_tiny_model(tmp_path / "tiny").folder


def two_meanings():
    """Three members see a block, one sees half of it and is unsure about a few voxels."""
    opinions = OpinionAccumulator(2, SHAPE)
    for last in (12, 12, 12, 7):
        labelmap = np.zeros(SHAPE, np.uint8)
        labelmap[2:last, 4:12, 4:12] = 1
        front = np.where(labelmap == 1, 0.9, 0.05).astype(np.float32)
        opinions.add(np.stack([1 - front, front]), labelmap)
    result = SegmentResult.of(opinions, "mean", None, AFFINE, (Label(1, "lesion"),), {})
    result.report.update(seconds={"total": 0.0}, warnings=[])
    return result


def test_alternatives_and_regions_of_a_case(tmp_path):
    result = two_meanings()
    targets = Targets(tmp_path / "o.nii.gz", alternatives=tmp_path / "a.nii.gz", report=tmp_path / "r.json")
    image = Image(np.zeros((1, *SHAPE), np.float32), AFFINE)
    with Outputs() as outputs:
        targets.write(outputs, SegmentRequest("toy"), result, image, ["scan.nii.gz"], perf_counter())
    report = json.loads((tmp_path / "r.json").read_text())

    voxel = 1.1 * 0.9 * 1.3
    assert [one["probability"] for one in report["alternatives"]] == [0.75, 0.25]
    assert [one["members"] for one in report["alternatives"]] == [[0, 1, 2], [3]]
    volumes = [one["volumes_mm3"]["lesion"] for one in report["alternatives"]]
    assert volumes == pytest.approx([640 * voxel, 320 * voxel])
    written = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.nii.gz")))
    assert written.shape == (2, 16, 20, 18) and list(written.sum((1, 2, 3))) == [640, 320]

    said = in_words(report)
    assert said[0] == "alternatives: 75% lesion 0.824 ml; 25% lesion 0.412 ml"
    assert said[1].startswith("look first at: lesion, RAS ") and len(said) == 2
    i, j, k = report["regions"][0]["index"]
    assert said[1].endswith(f" mm (voxel {i}, {j}, {k}, counted from 0)")  # nothing of its Dice is known
    report["segments"][0]["expected_dice_withheld"] = None
    assert in_words(report)[1] == f"{said[1]}, where its Dice may rise by {report['regions'][0]['dice_change']:.3f}"

    (region,) = report["regions"]
    p = (3 * 0.9 + 0.05) / 4
    assert region["structure"] == "lesion" and region["voxels"] == 320
    assert region["removed_mm3"] == pytest.approx(320 * (1 - p) * voxel, rel=1e-4)
    assert AFFINE @ [*region["index"], 1] == pytest.approx([*region["position"], 1])
    (segment,) = report["segments"]
    assert segment["surface_area_mm2"] > 0 and segment["worst_uncertainty"] == segment["uncertainty"]["worst"]


def test_options_reach_the_files(scan, model, tmp_path):
    arguments = ["segment", str(scan), "-m", str(model), "-o", str(tmp_path / "o.nrrd"), "--samples", "3",
                 "--device", "cpu", "--quiet", "--fusion", "multilabel-staple"]  # fmt: skip
    outputs = ["--uncertainty", str(tmp_path / "u.nrrd"), "--probability", str(tmp_path / "p.nrrd"),
               "--alternatives-out", str(tmp_path / "a.nrrd"), "--report", str(tmp_path / "r.json")]  # fmt: skip
    assert main([*arguments, *outputs, "--label", "two"]) == 0
    p = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "p.nrrd")))[..., 2]
    plain = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "u.nrrd")))
    np.testing.assert_allclose(plain, binary_entropy(p), atol=1e-5)
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["measure"], report["measure_label"], report["measure_normalised"]) == ("entropy", "two", False)
    assert report["fusion"] == "multilabel-staple"
    assert sum(one["probability"] for one in report["alternatives"]) == pytest.approx(1)
    assert {region["structure"] for region in report["regions"]} <= {"one", "two"}

    assert main([*arguments, *outputs, "--label", "two", "--normalised"]) == 0
    beyond = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "u.nrrd")))
    assert (beyond <= plain + 1e-6).all() and beyond.sum() < plain.sum()


def test_unknown_structures_are_refused_before_the_work(scan, model, tmp_path, capsys):
    arguments = ["segment", str(scan), "-m", str(model), "-o", str(tmp_path / "o.nrrd"), "--label", "three"]
    assert main(arguments) == 2
    assert "'one' (1), 'two' (2)" in capsys.readouterr().err
    folder = tmp_path / "cases"
    folder.mkdir()
    scan.rename(folder / scan.name)
    assert main(["batch", str(folder), "-m", str(model), "-o", str(tmp_path / "out"), "--label", "three"]) == 2
    assert "'one' (1), 'two' (2)" in capsys.readouterr().err


def test_measures_that_are_not_kept_are_refused_before_inference(scan, model, tmp_path, monkeypatch, capsys):
    def asked(*_, **__):
        raise AssertionError("inference began")

    options = ["-m", str(model), "--device", "cpu", "--quiet", "--uncertainty", "u.nrrd", "--label", "two"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("medsegdiff.uncertainty.accumulator.LABEL_MOMENTS_BYTES", 100)
    monkeypatch.setattr("medsegdiff.inference.engine.segment_image", asked)
    for measure in ("mutual-information", "variance", "expected-entropy"):
        assert main(["segment", str(scan), "-o", "o.nrrd", *options, "--measure", measure]) == 2
        assert f"the image is too large for the {measure} of a single structure" in capsys.readouterr().err
    folder = tmp_path / "cases"
    folder.mkdir()
    scan.rename(folder / scan.name)
    assert main(["batch", str(folder), "-o", "out", *options, "--measure", "variance"]) == 1
    assert "leave --label out" in capsys.readouterr().err


def test_measures_of_what_is_kept_are_not_refused(tmp_path):
    large, two = (512, 512, 512), (Label(1, "one"), Label(2, "two"))
    wanted = Targets(tmp_path / "o.nrrd", uncertainty=tmp_path / "u.nrrd", measure="variance", label="one")
    with pytest.raises(RequestError):
        wanted.check_measure(two, large)
    wanted.check_measure(two[:1], large)
    wanted.check_measure(two, (256, 256, 256))
    for other in ({"measure": "entropy"}, {"label": None}, {"uncertainty": None}):
        replace(wanted, **other).check_measure(two, large)
