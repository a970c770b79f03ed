"""Several models in one run: what each counts, what is refused, when enough have been asked."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from medsegdiff import load_model, segment
from medsegdiff.errors import RequestError
from medsegdiff.image import Image
from medsegdiff.inference.engine import segment_image
from medsegdiff.inference.ensemble import model_shares, recalibrated
from medsegdiff.inference.model import Model
from medsegdiff.inference.request import SegmentRequest
from medsegdiff.inference.settling import Settling, largest_change
from medsegdiff.models.agreement import check_agreement
from medsegdiff.models.package import Label
from medsegdiff.uncertainty.accumulator import OpinionAccumulator
from medsegdiff.uncertainty.measures import most_probable
from tiny_models import NETWORKS, write_tiny_model

SPACING = {"orientation": "LPS", "spacing": [1.5, 1, 2], "normalization": "percentile", "divisible": 4}


def dice(value: float) -> dict:
    return {"validation": {"cases": 3, "dice": {"one": value + 0.1, "two": value - 0.1}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ensemble")


@pytest.fixture(scope="module")
def plain(folder) -> Model:
    """A convolutional network with a preprocessing of its own."""
    package = write_tiny_model(folder / "plain", "unet", preprocessing=SPACING, training=dice(0.5))
    return load_model(package.folder, device="cpu")


@pytest.fixture(scope="module")
def transformer(folder) -> Model:
    """Diffusion with a spectrum-space transformer."""
    arguments = NETWORKS["medsegdiff_v2"]
    return load_model(write_tiny_model(folder / "transformer", "medsegdiff_v2", arguments).folder, device="cpu")


@pytest.fixture(scope="module")
def image() -> Image:
    rng = np.random.default_rng(0)
    return Image(rng.normal(100, 20, (1, 21, 30, 17)).astype(np.float32), np.diag([-1.0, 1.0, 1.0, 1.0]))


def test_each_model_has_its_share_whatever_the_number_of_its_opinions(model, plain, image):
    both = segment([model, plain], image, samples=[5, 1], weights=[3, 1])
    one, other = segment(model, image, samples=5), segment(plain, image)
    np.testing.assert_allclose(both.probability, 0.75 * one.probability + 0.25 * other.probability, atol=1e-5)
    np.testing.assert_allclose(both.weights, [*[0.15] * 5, 0.25])
    np.testing.assert_array_equal(both.packed_samples, [*one.packed_samples, *other.packed_samples])
    expected = 0.75 * one.expected_entropy + 0.25 * other.expected_entropy
    np.testing.assert_allclose(both.expected_entropy, expected, atol=1e-5)


def test_report_tells_what_was_asked_of_whom(model, plain, image):
    report = segment([model, plain], image, samples=[3, 2], variants=["mirror"]).report
    assert json.loads(json.dumps(report)) == report
    assert (report["model"], report["model_sha256"]) == (model.package.name, model.package.weights_sha256)
    assert report["samples"] == 5 and report["tta"] and report["network_evaluations"] == 2 + 3 * 2 + 2
    first, second = report["models"]
    assert (first["name"], first["samples"], first["steps"], first["weight"]) == ("tiny", 3, 2, 0.5)
    assert (second["name"], second["samples"], second["sampler"]) == ("plain", 2, None)
    assert second["sha256"] == plain.package.weights_sha256 and second["variants"] == ["as it is", "mirrored"]
    assert any("these models together are not calibrated" in warning for warning in report["warnings"])
    calibrated = recalibrated(model, {"relative_volume_error": {"1": 0.1}})
    report = segment([calibrated, plain], image, samples=[1, 1]).report
    assert any("calibrated for tiny alone" in warning for warning in report["warnings"])
    assert not any("not calibrated" in warning for warning in report["warnings"])


def test_several_models_are_checked_once(model, plain, image, monkeypatch):
    checked = []
    for module in ("engine", "ensemble"):
        monkeypatch.setattr(
            f"medsegdiff.inference.{module}.check_agreement", lambda packages: checked.append(len(packages))
        )
    request = SegmentRequest(str(model.package.folder), others=[str(plain.package.folder)], samples=(1, 1))
    segment_image(request, image)
    segment_image(request, image, model=[model, plain])
    assert checked == [2, 2]


def test_three_kinds_of_networks_by_name(model, plain, transformer, image):
    request = SegmentRequest(str(model.package.folder), others=[str(x.package.folder) for x in (plain, transformer)])
    result = segment_image(request, image)
    assert [told["samples"] for told in result.report["models"]] == [4, 1, 4]
    np.testing.assert_allclose(result.probability.sum(0), 1, atol=1e-4)
    assert len(result.samples) == 9 and result.weights[4] == pytest.approx(1 / 3)


def test_networks_of_slices_and_of_volumes_together(model, image, tmp_path):
    """Each in its own way: the plane is that of slices, truncation is for diffusion models."""
    arguments = {**NETWORKS["unet"], "spatial_dims": 2}
    flat = load_model(write_tiny_model(tmp_path / "flat", "unet", arguments).folder, device="cpu")
    asked = {"samples": 2, "variants": ["rotation"]}
    both = segment([model, flat], image, plane="coronal", truncation=0.5, **asked)
    coronal, solid = segment(flat, image, plane="coronal", **asked), segment(model, image, truncation=0.5, **asked)
    np.testing.assert_allclose(both.probability, (coronal.probability + solid.probability) / 2, atol=1e-5)
    assert not any("changes nothing" in warning for warning in both.report["warnings"])
    with pytest.raises(RequestError, match="has no plane"):
        segment(model, image, plane="coronal")


def test_models_draw_from_different_noise(model, image, tmp_path):
    """A copy of the model with other preprocessing would otherwise give the same opinions."""
    twin = {**model.package.preprocessing, "spacing": None}  # which changes nothing for this image
    copy = load_model(write_tiny_model(tmp_path / "twin", preprocessing=twin).folder, device="cpu")
    result = segment([model, copy], image, samples=2)
    assert len({bits.tobytes() for bits in result.packed_samples}) == 4


def test_adding_a_model_keeps_the_opinions_of_the_first(model, transformer, image):
    alone, both = segment(model, image, samples=2), segment([model, transformer], image, samples=2)
    np.testing.assert_array_equal(both.packed_samples[:2], alone.packed_samples)


def test_no_opinion_of_a_plain_network_counts_twice(plain, image):
    for samples, variants, opinions in ((8, (), 1), (8, ("mirror", "intensity"), 4), (2, ("mirror", "intensity"), 2)):
        report = segment(plain, image, samples=samples, variants=variants).report
        assert report["samples"] == report["network_evaluations"] == opinions
        said = "deterministic" if opinions < samples else "ask for 4"
        assert any(said in warning for warning in report["warnings"])


def test_weights_by_quality(plain, model, tmp_path):
    better = write_tiny_model(tmp_path / "better", training=dice(0.8))
    request = SegmentRequest("a", others=("b",), weights="quality")
    np.testing.assert_allclose(model_shares(request, [plain.package, better]), [2 / 7, 5 / 7])  # errors 0.5 and 0.2
    with pytest.raises(RequestError, match="'tiny' tells no Dice of validation cases.*give the weights as numbers"):
        model_shares(request, [plain.package, model.package])


def test_models_that_disagree_are_refused(model, plain, image, tmp_path):
    other = tuple(Label(i, name) for i, name in enumerate(("background", "one", "three")))
    stranger = write_tiny_model(tmp_path / "stranger", labels=other)
    with pytest.raises(RequestError, match=r"their labels differ \(one, two and one, three\)"):
        segment([model, str(stranger.folder)], image)
    arguments = {**NETWORKS["unet"], "in_channels": 2}
    two = write_tiny_model(tmp_path / "two", "unet", arguments, channels=({"name": "T1"}, {"name": "T2"}))
    with pytest.raises(RequestError, match=r"their number of channels differ \(1 and 2\)"):
        check_agreement([plain.package, two])


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [([("T1", "MR")], [("T1", "CT")], r"channels differ \(MR and CT\)"),
     ([("T1", "MR"), ("T2", "MR")], [("T2", "MR"), ("T1", "MR")], r"channels differ \(T1, T2 and T2, T1\)"),
     ([("scan", "MR")], [("scan", None)], None), ([("T1", "MR")], [("t1", "mr")], None),
     ([("scan", "PT")], [("scan", "PET")], None)],
)  # fmt: skip
def test_models_of_other_channels_are_refused(model, plain, ours, theirs, said):
    def with_channels(package, channels):
        entries = [{"name": name} | ({} if modality is None else {"modality": modality}) for name, modality in channels]
        return replace(package, channels=tuple(entries))

    packages = [with_channels(model.package, ours), with_channels(plain.package, theirs)]
    with pytest.raises(RequestError, match=said) if said else nullcontext():
        check_agreement(packages)


def test_a_model_named_twice_is_refused(model, plain, image):
    with pytest.raises(RequestError, match="the same model is named twice .*ask it for more samples"):
        segment([model, plain, model], image)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"samples": (1, 2, 3)}, "one for each of 2"), ({"samples": (0, 1)}, "samples must"), ({"others": "b"}, "list"),
     ({"weights": (1, -1)}, "from 1e-09 to"), ({"weights": "best"}, "quality"),
     ({"weights": (1, float("inf"))}, "from 1e-09 to"), ({"weights": (1e-300, 1e300)}, "from 1e-09 to"),
     ({"weights": (1e308, 1e308)}, "from 1e-09 to"),
     ({"weights": (1,)}, "1 weights"), ({"variants": ("flip",)}, "mirror, rotation, intensity"),
     ({"variants": "mirror"}, "list"), ({"variants": ("mirror",), "tta": True}, "one of them"),
     ({"variants": ("mirror", "mirror")}, "once"), ({"settle": 0}, "settle"), ({"settle": 1}, "settle"),
     ({"dropout": 1}, "true or false"), ({"samples": (None, 2)}, "one")],
)  # fmt: skip
def test_requests_that_make_no_sense_are_refused(options, message):
    with pytest.raises(RequestError, match=message):
        SegmentRequest(**{"model": "a", "others": ("b",), **options})


def test_request_of_several_models_crosses_processes():
    options = {"weights": [1, 0.5], "variants": ["mirror"], "dropout": True, "settle": 0.01}
    request = SegmentRequest("a", others=["b"], samples=[8, 4], **options)
    data = request.to_dict()
    assert json.loads(json.dumps(data)) == data, "equal after a round trip: batch compares reports"
    assert SegmentRequest.from_dict(data) == request and [request.samples_of(n) for n in (0, 1)] == [8, 4]
    assert SegmentRequest("a", others=["b"], samples=[8]).samples == 8


def test_joined_opinions_are_as_if_added_one_by_one():
    """Whatever an accumulator keeps."""
    opinions = np.random.default_rng(0).dirichlet([1, 1, 1], (5, 4, 3, 2)).astype(np.float32)
    first, second, all_of_them = (OpinionAccumulator(3, (4, 3, 2)) for _ in range(3))
    for n, opinion in enumerate(np.moveaxis(opinions, -1, 1)):
        (first if n < 2 else second).add(opinion, most_probable(opinion))
        all_of_them.add(opinion, most_probable(opinion), weight=0.7 / 2 if n < 2 else 0.3 / 3)
    first.join(second, 0.3 / 0.7)
    np.testing.assert_allclose(first.shares, all_of_them.shares)
    np.testing.assert_array_equal(first.packed, all_of_them.packed)
    joined, expected = first.finish(), all_of_them.finish()
    for name in joined._fields:
        np.testing.assert_allclose(getattr(joined, name), getattr(expected, name), atol=1e-6, err_msg=name)


def test_largest_change_is_that_of_the_worst_structure():
    before, after = np.zeros((2, 10, 1, 1), np.uint8)
    before[:4, 0, 0], after[:4, 0, 0] = 1, 1
    before[4:8, 0, 0], after[5:7, 0, 0] = 2, 2
    assert largest_change(before, after, 3) == pytest.approx(1 - 2 * 2 / 6)
    assert largest_change(before, before, 3) == 0 == largest_change(before * 0, before * 0, 3)


def test_settled_after_two_quiet_members_and_all_variants():
    def watch(masks, least=1):
        settling, opinions = Settling(0.1, None, least), OpinionAccumulator(2, (4, 1, 1))
        for number, mask in enumerate(masks, start=1):
            one = np.float32(mask).reshape(4, 1, 1)
            opinions.add(np.stack([1 - one, one]), one.astype(np.uint8))
            if settling.settled(opinions):
                return number
        return None

    same, other = [1, 1, 0, 0], [0, 0, 1, 1]
    assert watch([same] * 5) == 3 and watch([same] * 9, least=6) == 6
    assert watch([same, other, other, other, other, other]) == 5, "the mean changes sides with the third"
    assert watch([same, other] * 2) is None and watch([same, same]) is None


@pytest.mark.parametrize("options", [{}, {"variants": ("mirror", "intensity")}])
def test_same_stopping_member_whatever_the_batch(model, image, options):
    asked = {"samples": 40, "settle": 0.12, **options}
    first, *others = [segment(model, image, **asked, sample_batch=batch) for batch in (1, 3, 16)]
    told = first.report["models"][0]
    assert told["settled"] and 3 <= told["samples"] < told["samples_asked"] == 40
    assert first.report["samples"] == told["samples"] == len(first.samples)
    for other in others:
        assert other.report["models"][0]["samples"] == told["samples"]
        assert (first.samples == other.samples).mean() > 0.999
    if not options:
        whole = segment(model, image, samples=told["samples"])
        np.testing.assert_array_equal(whole.packed_samples[:2], first.packed_samples[:2])
    assert first.report["network_evaluations"] < others[-1].report["network_evaluations"], "the others were drawn ahead"


def test_each_model_settles_by_itself_and_keeps_its_share(model, plain, transformer, image):
    result = segment([model, plain, transformer], image, samples=30, settle=0.12, sample_batch=1)
    told = result.report["models"]
    assert told[0]["samples"] < 30 and told[1]["samples"] == 1
    at = np.cumsum([x["samples"] for x in told])[:-1]
    np.testing.assert_allclose([part.sum() for part in np.split(result.weights, at)], [1 / 3] * 3)


def test_what_does_not_settle_is_told(model, image):
    report = segment(model, image, samples=3, settle=1e-6).report
    assert report["models"][0]["settled"] is False and report["samples"] == 3
    assert any("had not settled after 3 sample(s)" in warning for warning in report["warnings"])


def test_progress_of_several_models_rises_to_one(model, plain, image):
    seen = []
    segment([model, plain], image, samples=2, progress=seen.append)
    shares = [p.fraction for p in seen]
    assert shares == sorted(shares) and shares[-1] == 1
    assert {p.message.partition(":")[0] for p in seen[1:]} == {"tiny", "plain"}
    assert max(p.fraction for p in seen if p.message.startswith("tiny")) == 0.5
