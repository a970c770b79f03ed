"""What a calibration says holds for the options it was made with, and is said to hold for no others."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from medsegdiff.cli.table import format_segments
from medsegdiff.image import Image
from medsegdiff.inference.comparable_options import differing, fitting_calibration, options_of
from medsegdiff.inference.engine import segment_image
from medsegdiff.inference.model import load_model
from medsegdiff.inference.request import SegmentRequest
from medsegdiff.inference.result import SegmentResult
from medsegdiff.inference.structure_ranges import UNCALIBRATED
from medsegdiff.models.store import find_model
from tiny_models import write_tiny_model

TOLD = {"steps": 2, "sampler": "ddim", "samples": 8, "variants": ["as it is", "mirrored"], "dropout": False}
USUAL = {**TOLD, "eta": 0.0, "truncation": 1.0, "fusion": "mean", "threshold": None}
LINE = {"dice": 0.9, "highest": 0.95, "features": {"soft_dice": [0.9, 0.5], "sample_agreement": [0.9, 2.0]}}
CALIBRATION = {"temperature": 1.1, "expected_dice": {"1": LINE, "2": [0.1, 0.8]}, "relative_volume_error": {"1": 0.1}}
PACKAGE = SimpleNamespace(distribution={"opinions": {"asked": TOLD}}, calibration=CALIBRATION, name="tiny")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, []),
        ({"samples": 3}, []),
        ({"samples": 40}, []),
        ({"samples": 2}, ["samples 2 instead of 8"]),
        ({"steps": 16}, ["steps 16 instead of 2"]),
        ({"threshold": 0.2}, ["threshold 0.2 instead of none"]),
        ({"fusion": "staple", "dropout": True}, ["fusion staple instead of mean", "dropout on instead of off"]),
        ({"eta": 0.5, "truncation": 0.5}, ["eta 0.5 instead of 0.0", "truncation 0.5 instead of 1.0"]),
        ({"variants": ["as it is"]}, ["variants as it is instead of as it is + mirrored"]),
    ],
)
def test_each_option_that_differs_is_named(changed, said):
    assert sorted(differing(PACKAGE, {**USUAL, **changed})) == sorted(said)


@pytest.mark.parametrize("name", ["hippocampus-medsegdiff", "hippocampus-unet", "hippocampus-transformer"])
def test_shipped_models_are_asked_for_so_many_samples_as_they_were_calibrated_with(name):
    package = find_model(name)
    own, calibrated = package.sampling.get("samples", 1), package.distribution["opinions"]["asked"]["samples"]
    assert own == calibrated  # which the panel asks for


def test_models_without_diffusion_and_packages_that_tell_nothing():
    bare = SimpleNamespace(distribution={}, calibration=CALIBRATION)
    assert differing(bare, {**USUAL, "steps": None, "eta": None, "truncation": None}) == []
    assert differing(bare, {**USUAL, "fusion": "majority"}) == ["fusion majority instead of mean"]


def test_new_packages_tell_all_of_them():
    assert options_of({**USUAL, "name": "tiny"}, {**USUAL, "device": "cpu"}) == USUAL


def test_the_agreement_counts_for_the_same_options_only():
    assert fitting_calibration(PACKAGE, USUAL) == (CALIBRATION, [])
    fitted, (warning,) = fitting_calibration(PACKAGE, {**USUAL, "steps": 16})
    assert "steps 16 instead of 2" in warning
    assert fitted["expected_dice"]["1"]["features"] == {"soft_dice": [0.9, 0.5]}
    assert fitted["expected_dice"]["2"] == [0.1, 0.8] and fitted["temperature"] == 1.1
    assert "sample_agreement" in LINE["features"]
    uncalibrated = SimpleNamespace(distribution=PACKAGE.distribution, calibration={}, name="new")
    fitted, (warning,) = fitting_calibration(uncalibrated, {**USUAL, "steps": 16})
    assert fitted == {} and warning.startswith("new is not calibrated: ")
    partly = SimpleNamespace(distribution=PACKAGE.distribution, calibration={"expected_dice": {"1": LINE}}, name="new")
    fitted, (warning,) = fitting_calibration(partly, USUAL)
    assert fitted == partly.calibration and warning.startswith("new is not calibrated for volumes: ")
    fitted, (warning, other) = fitting_calibration(partly, {**USUAL, "steps": 16})
    assert "sample_agreement" not in fitted["expected_dice"]["1"]["features"] and "steps 16 instead of 2" in other


def test_a_run_with_other_options_says_so_once(tmp_path):
    sampling = {"samples": 3, "steps": 1, "sampler": "ddim"}
    package = write_tiny_model(tmp_path / "tiny", "medsegdiff_3d", sampling=sampling)
    asked = {**TOLD, "steps": 1, "samples": 3, "variants": ["as it is"]}
    line = {**LINE, "highest": 1.0, "features": {"sample_agreement": [0.5, 1.0]}}
    model = load_model(package.folder, "cpu")
    package = replace(model.package, distribution={"opinions": {**gaussian(), "asked": asked}},
                      calibration={"expected_dice": {"1": line}})  # fmt: skip
    model = replace(model, package=package)
    image = Image(np.random.default_rng(0).normal(size=(1, 16, 16, 16)).astype(np.float32), np.eye(4))

    def run(**options):
        report = segment_image(SegmentRequest("tiny", **options), image, model=model).report
        said = [warning for warning in report["warnings"] if "fitted for other options" in warning]
        return report["segments"][0], said, report["input_score"]

    usual, said, score = run()
    assert said == [] and score is not None
    assert usual["expected_dice"] == pytest.approx(np.clip(0.9 + usual["sample_agreement"] - 0.5, 0, 1))
    other, (warning,), score = run(steps=2)
    assert "steps 2 instead of 1" in warning and score is None
    assert other["expected_dice"] == pytest.approx(0.9)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """A model whose expected Dice depends on the agreement."""
    package = write_tiny_model(
        tmp_path_factory.mktemp("rule") / "tiny", sampling={"samples": 4, "steps": 1, "sampler": "ddim"},
        calibration={
            "expected_dice": {"1": {**LINE, "highest": 1.0, "features": {"sample_agreement": [0.5, 0.5]}}},
            "relative_volume_error": {"1": 0.0},
        },
    )  # fmt: skip
    return load_model(package.folder, "cpu")


IMAGE = Image(np.random.default_rng(0).normal(size=(1, 16, 16, 16)).astype(np.float32), np.eye(4))


@pytest.mark.parametrize("network", ["medsegdiff_3d", "unet"])
def test_what_is_not_calibrated_does_not_look_calibrated(tmp_path, network):
    """As every imported model: a single opinion of one even has an interval of no width."""
    model = load_model(write_tiny_model(tmp_path / "new", network).folder, "cpu")
    result = segment_image(SegmentRequest("new"), IMAGE, model=model)
    for one in (result, result.refuse("majority"), result.with_clicks([(5.0, 5.0, 5.0, 1)])):
        assert sum("new is not calibrated: " in warning for warning in one.report["warnings"]) == 1
        assert [segment["expected_dice"] for segment in one.statistics] == [None, None]
        assert {segment["expected_dice_withheld"] for segment in one.statistics} == {UNCALIBRATED}
        table = format_segments(one.statistics)
        assert f"no expected Dice of one, two: {UNCALIBRATED}" in table
    for segment, line in zip(result.statistics, format_segments(result.statistics).splitlines()[2:]):
        low, high = segment["volume_interval_mm3"]
        assert low <= segment["volume_mm3"] <= high and segment["volume_mm3"] > 0
        assert (f"{low / 1000:.2f} - {high / 1000:.2f}" in line) == (low < high) == (network == "medsegdiff_3d")


def test_without_a_volume_interval_a_result_says_so(tmp_path):
    model = load_model(
        write_tiny_model(tmp_path / "new", "unet", calibration={"expected_dice": {"1": [0.1, 0.8]}}).folder, "cpu"
    )
    result = segment_image(SegmentRequest("new"), IMAGE, model=model)
    for one in (result, result.refuse("majority")):
        assert sum("new is not calibrated for volumes: " in warning for warning in one.report["warnings"]) == 1


def test_a_calibrated_model_says_nothing_of_that(calibrated):
    result = segment_image(SegmentRequest("tiny"), IMAGE, model=calibrated)
    assert not any("not calibrated" in warning for warning in result.report["warnings"])
    one, two = result.statistics
    assert one["expected_dice"] is not None and one["expected_dice_withheld"] is None
    assert (two["expected_dice"], two["expected_dice_withheld"]) == (None, UNCALIBRATED)  # which no case has shown


@pytest.mark.parametrize("fusion, threshold", [("majority", 0.4), ("mean", 0.4), ("staple", None), ("mean", None)])
def test_a_rule_says_the_same_in_the_run_and_after_it(calibrated, fusion, threshold):
    usual = segment_image(SegmentRequest("tiny"), IMAGE, model=calibrated)
    run = segment_image(SegmentRequest("tiny", fusion=fusion, threshold=threshold), IMAGE, model=calibrated)
    for one, other in ((usual.refuse(fusion, threshold), run), (run.refuse(), usual)):
        assert one.statistics == other.statistics and sorted(one.report["warnings"]) == sorted(other.report["warnings"])
    changed = (fusion, threshold) != ("mean", None)
    assert (usual.statistics[0]["expected_dice"] != run.statistics[0]["expected_dice"]) == changed
    assert any("fitted for other options (" in warning for warning in run.report["warnings"]) == changed
    again = SegmentResult.from_arrays(*run.to_arrays()).refuse(fusion, threshold)  # from the worker
    assert again.report["warnings"] == run.report["warnings"] and again.statistics == run.statistics


def test_clicks_say_the_same_in_the_run_and_after_it(calibrated):
    click = [(5.0, 5.0, 5.0, 1)]
    after = segment_image(SegmentRequest("tiny"), IMAGE, model=calibrated).with_clicks(click)
    run = segment_image(SegmentRequest("tiny", clicks=click), IMAGE, model=calibrated)
    for result in (after, after.with_clicks(click), run):
        assert sum("not fitted for results with clicks" in warning for warning in result.report["warnings"]) == 1
        assert result.statistics[0]["expected_dice"] == pytest.approx(0.9)


def gaussian():
    return {"names": ["soft_dice"], "mean": [0.5], "deviation": [0.2], "correlation": [], "limit": 3.0}
