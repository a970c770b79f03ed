"""Images too large for the probabilities of all labels: what is swept strip by strip is what the whole would have
been."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from medsegdiff import segment
from medsegdiff.cli.targets import Targets
from medsegdiff.errors import RequestError
from medsegdiff.evaluation.calibration_error import calibration
from medsegdiff.image.image import Image
from medsegdiff.inference.engine import segment_image
from medsegdiff.inference.model import load_model
from medsegdiff.inference.request import SegmentRequest
from medsegdiff.inference.result import SegmentResult
from medsegdiff.inference.sweep import Band
from medsegdiff.models.package import Label
from medsegdiff.uncertainty import likeliest
from medsegdiff.uncertainty.likeliest_accumulator import LikeliestAccumulator
from medsegdiff.uncertainty.rules import FUSIONS, MEASURES
from medsegdiff.worker.result_size import result_bytes
from tiny_models import write_tiny_model

LABELS = 12
PREPROCESSING = {
    "plain": {"orientation": "RAS", "spacing": [1, 1, 1], "normalization": "zscore", "divisible": 8},
    "cropped": {"orientation": "PIR", "spacing": None, "normalization": "zscore-nonzero", "crop": "nonzero",
                "divisible": 4},
    "windows": {"orientation": [2, 0, 1], "spacing": [1.5, 1, 1], "normalization": "zscore", "divisible": 8,
                "resampling": "nnunet", "window": [32, 32, 16]},
    "slices": {"orientation": [2, 1, 0], "spacing": [4, 1, 1], "normalization": "zscore", "divisible": 8,
               "resampling": "nnunet", "window": [16, 32, 32]},
}  # fmt: skip


def model_of(folder, preprocessing: str, network: str = "unet", count: int = LABELS):
    arguments = {"in_channels": 1, "out_channels": count, "channels": [4, 8], "strides": [2], "num_res_units": 0}
    if network == "medsegdiff_3d":
        arguments = {"in_channels": 1, "out_channels": count, "channels": 4, "width": 8, "detail": 4}
    labels = tuple(Label(value, f"label {value}", (value, 200, 100)) for value in range(count))
    entries = {"labels": labels, "preprocessing": PREPROCESSING[preprocessing]}
    model = load_model(str(write_tiny_model(folder / "model", network, arguments, **entries).folder), device="cpu")
    with torch.no_grad():  # random weights are sure of nothing
        for last in list(model.network.parameters())[-2:]:
            last *= 60
    return model


@pytest.fixture
def image():
    """Blobs with noise, oblique, of long voxels, with a margin of zeros."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(6, 7, 4))
    array = np.kron(coarse, np.ones((9, 8, 6))) + rng.normal(0, 0.3, (54, 56, 24))
    array[:6], array[:, -5:] = 0, 0
    affine = np.array([[0.98, -0.17, 0, 3], [0.17, -0.98, 0, -2], [0, 0, 2.2, 5], [0, 0, 0, 1.0]])
    return Image(array[None].astype(np.float32), affine, ("T1",))


def both(monkeypatch, run):
    whole = run()
    monkeypatch.setattr(likeliest, "DENSE_BYTES", 0)
    monkeypatch.setattr("medsegdiff.inference.strips.STRIP_BYTES", 2**18)
    return whole, run()


def test_the_report_names_the_one_device_that_sweeps(tmp_path, image, monkeypatch):
    model = model_of(tmp_path, "plain", "medsegdiff_3d")
    model = replace(model, copies=(model.on(model.device),))
    whole, swept = both(monkeypatch, lambda: segment(model, image, samples=2, steps=1, sample_batch=1, tile=32))
    assert isinstance(swept.probability, likeliest.LikeliestLabels)
    assert (whole.report["device"], swept.report["device"]) == ("cpu, cpu", "cpu")


@pytest.mark.parametrize("preprocessing", PREPROCESSING)
def test_a_swept_image_has_the_labels_of_the_whole(tmp_path, image, monkeypatch, preprocessing):
    model = model_of(tmp_path, preprocessing)
    whole, swept = both(monkeypatch, lambda: segment(model, image, tile=32, tta=True))
    assert isinstance(swept.probability, likeliest.LikeliestLabels) and len(np.unique(whole.labelmap)) > 2
    assert (whole.samples == swept.samples).mean() > 0.9995, (
        "but for rounding: near ties are frequent in random networks"
    )
    assert np.abs(whole.probability[0] - swept.probability[0]).max() < 0.01
    assert (whole.labelmap == swept.labelmap).mean() > 0.99, "of two sure opinions that differ, rounding decides"


def test_what_follows_from_a_swept_result(tmp_path, image, monkeypatch):
    """Statistics, fusions, alternatives, regions, maps, clicks and the way to another process."""
    model = model_of(tmp_path, "plain")
    request = SegmentRequest(model.package.name, tile=32, variants=["mirror", "rotation", "intensity"])
    whole, swept = both(monkeypatch, lambda: segment_image(request, image, model=model))
    assert len(swept.samples) == len(whole.samples) == 6 and (whole.samples == swept.samples).mean() > 0.999
    assert (whole.labelmap == swept.labelmap).mean() > 0.999
    for measure in MEASURES:
        assert np.abs(whole.uncertainty(measure) - swept.uncertainty(measure)).mean() < 0.002
    for ours, theirs in zip(swept.statistics, whole.statistics):
        assert ours["volume_mm3"] == pytest.approx(theirs["volume_mm3"], rel=0.01, abs=50)
        for name in ("mean_uncertainty", "sample_agreement"):
            assert ours[name] == pytest.approx(theirs[name], abs=0.02)
        assert ours["uncertainty"]["boundary"] == pytest.approx(theirs["uncertainty"]["boundary"], abs=0.02)
    for fusion in FUSIONS:
        # what multi-label STAPLE finds out from the few voxels that it looks at depends on each of them
        least = 0.985 if fusion == "multilabel-staple" else 0.99
        assert (swept.refuse(fusion).labelmap == whole.refuse(fusion).labelmap).mean() > least, fusion
    assert (swept.refuse("mean", 0.3).labelmap == whole.refuse("mean", 0.3).labelmap).mean() > 0.999
    assert [a.members for a in swept.alternatives()] == [a.members for a in whole.alternatives()]
    ours, theirs = swept.regions(5), whole.regions(5)
    assert [r.structure for r in ours] == [r.structure for r in theirs]
    value = int(np.bincount(whole.labelmap.reshape(-1))[1:].argmax()) + 1
    assert np.abs(swept.uncertainty(label=value) - whole.uncertainty(label=value)).mean() < 0.005
    with pytest.raises(RequestError, match="only the entropy"):
        swept.uncertainty("variance", value)
    index = np.argwhere(whole.labelmap != value)[1000]
    click = ((*(image.affine[:3, :3] @ index + image.affine[:3, 3]).tolist(), value),)
    clicked = swept.with_clicks(click)
    assert clicked.labelmap[tuple(index)] == value and clicked.statistics[value - 1]["volume_mm3"] > 0
    assert (clicked.labelmap == whole.with_clicks(click).labelmap).mean() > 0.995
    ours, theirs = (calibration(result.probability, [whole.samples[1]]) for result in (swept, whole))
    assert (ours.brier, ours.nll) == pytest.approx((theirs.brier, theirs.nll), rel=0.05)
    arrays, meta = swept.to_arrays()
    asked = replace(request, model=str(model.package.folder), samples=6)
    assert sum(array.nbytes for array in arrays.values()) <= result_bytes(asked, image) + 500
    back = SegmentResult.from_arrays(arrays, meta)
    assert (back.refuse("majority").labelmap == swept.refuse("majority").labelmap).all()
    assert back.probability[value].tobytes() == swept.probability[value].tobytes()


def test_a_swept_diffusion_model_and_a_swept_ensemble(tmp_path, image, monkeypatch):
    first, second = model_of(tmp_path / "a", "plain", "medsegdiff_3d"), model_of(tmp_path / "b", "cropped")
    request = SegmentRequest("a", others=["b"], samples=(3, 1), tile=32, settle=1e-9, sample_batch=2)
    whole, swept = both(monkeypatch, lambda: segment_image(request, image, model=[first, second]))
    assert len(whole.samples) == 4 and (whole.samples == swept.samples).mean() > 0.999
    assert (whole.labelmap == swept.labelmap).mean() > 0.999
    np.testing.assert_allclose(swept.weights, whole.weights)
    told = [sum("one opinion at a time" in warning for warning in one.report["warnings"]) for one in (whole, swept)]
    assert told == [0, 1]


def test_memory_does_not_grow_with_labels_times_voxels(tmp_path, monkeypatch):
    monkeypatch.setattr(likeliest, "DENSE_BYTES", 0)
    monkeypatch.setattr(likeliest, "KEPT_BYTES", 0)
    monkeypatch.setattr("medsegdiff.inference.strips.STRIP_BYTES", 2**18)
    bands, make = [], Band.__init__

    def noted(self, *given):
        make(self, *given)
        bands.append(self._sums.nbytes)

    monkeypatch.setattr(Band, "__init__", noted)
    image, few, many = Image(np.zeros((1, 320, 32, 32), np.float32), np.eye(4)), 12, 112

    def most(count: int) -> int:
        model = model_of(tmp_path / str(count), "plain", count=count)
        tracemalloc.start()
        segment(model, image, tile=32, tta=False)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak + bands.pop()

    assert most(many) - most(few) < 0.4 * (many - few) * image.array.size * 4


def test_numbers_of_what_is_in_doubt_everywhere_take_little_more_than_the_opinions(monkeypatch):
    """Of a network that knows nothing."""
    monkeypatch.setattr("medsegdiff.uncertainty.measures.SLAB", 2**13)
    monkeypatch.setattr("medsegdiff.uncertainty.regions.AT_MOST", 2**10)
    monkeypatch.setattr(likeliest, "KEPT_BYTES", 0)  # as few structures are kept as of the largest images
    labels, rng = 40, np.random.default_rng(0)
    structures = tuple(Label(value, f"label {value}", (value, 200, 100)) for value in range(1, labels))

    def most(rows: int) -> tuple[int, int]:
        opinions = LikeliestAccumulator(labels, (rows, 48, 48))
        some = rng.random((labels, 8, 48, 48), np.float32)
        boxes = [(slice(at, at + 8), slice(None), slice(None)) for at in range(0, rows, 8)]
        opinions.add_parts((box, some / some.sum(0), some.argmax(0).astype(np.uint8)) for box in boxes)
        tracemalloc.reset_peak()
        result = SegmentResult.of(opinions, "mean", None, np.eye(4), structures, {})
        assert len(result.regions()) and result.statistics[0]["mean_uncertainty"] > 3
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    most(8)  # with all that is imported
    small, large = most(32), most(96)
    tracemalloc.stop()
    assert large - small < 90 * (96 - 32) * 48 * 48, (large - small) / (64 * 48 * 48)


def test_the_likeliest_structures_are_found_and_where_each_is():
    rng = np.random.default_rng(0)
    probability = rng.random((20, 5000), np.float32) ** 20
    probability[0, 100:300], probability[1:, 100:300] = 1, 0
    probability /= probability.sum(0)
    values, shares = likeliest.likeliest(probability, 6)
    expected = np.argsort(-probability[1:], 0, kind="stable")[:6]
    expected[:, 100:300] = -1
    np.testing.assert_array_equal(values, expected + 1)
    np.testing.assert_array_equal(shares, np.take_along_axis(probability[1:], expected, 0) * (expected >= 0))
    kept = likeliest.LikeliestLabels(
        values, shares.astype(np.float16), probability[0], probability[0], probability.sum(1)
    )
    some = np.arange(0, 5000, 2)
    for value in (1, 19):
        at, known = kept.take(some).known(value)
        np.testing.assert_array_equal(at, np.flatnonzero(kept[value][some]))
        np.testing.assert_array_equal(known, kept[value][some][at])


def test_of_few_structures_nothing_is_left_out(tmp_path, image, monkeypatch):
    """A sweep would take no less memory, one sample at a time, and give no probability maps."""
    monkeypatch.setattr(likeliest, "DENSE_BYTES", 0)
    model = model_of(tmp_path, "plain", count=5)
    Targets(tmp_path / "a.nrrd", probability=tmp_path / "p.nrrd").check_measure(
        model.package.foreground, (512, 512, 1000)
    )
    result = segment(model, image, tile=32)
    assert isinstance(result.probability, np.ndarray)
    assert not any("too large" in warning for warning in result.report["warnings"])


def test_what_cannot_be_had_of_a_swept_image_is_refused(tmp_path, image, monkeypatch):
    model = model_of(tmp_path, "plain")
    monkeypatch.setattr(likeliest, "DENSE_BYTES", 0)
    request = SegmentRequest(model.package.name)
    with pytest.raises(RequestError, match="12 labels of an image this large"):
        segment_image(request, image, model=model, watch=lambda *_: None)
    with pytest.raises(RequestError, match="probabilities of 11 structures"):
        Targets(tmp_path / "a.nrrd", probability=tmp_path / "p.nrrd").check_measure(
            model.package.foreground, image.shape
        )
