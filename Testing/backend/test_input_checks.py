"""Warnings about images and results that are unlike the training cases, and none about those that are like them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from medsegdiff.image import Image
from medsegdiff.inference.describe_opinions import describe_member, describe_opinions
from medsegdiff.inference.geometry_checks import check_geometry, check_sides
from medsegdiff.inference.input_checks import Finding, check_input, check_opinions, checked, describe_image
from medsegdiff.inference.preprocessing import Preprocessing
from medsegdiff.inference.result import SegmentResult
from medsegdiff.inference.structure_ranges import border_share, faces, strictest
from medsegdiff.models.package import Label
from medsegdiff.uncertainty.accumulator import OpinionAccumulator
from medsegdiff.uncertainty.distribution import fit_distribution
from medsegdiff.uncertainty.scaling import Scaling
from scipy.ndimage import gaussian_filter

SHAPE = (24, 20, 16)
GEOMETRY = {"spacing": [[1.0, 1.0]] * 3, "extent": [[20.0, 28.0], [18.0, 24.0], [14.0, 18.0]]}


def scene(seed=0):
    """A bright ball in a darker, textured surrounding, at another place each time."""
    rng = np.random.default_rng(seed)
    place = np.array([12, 10, 8]) + rng.uniform(-1.5, 1.5, 3)
    ball = ((np.indices(SHAPE) - place[:, None, None, None]) ** 2).sum(0) < rng.uniform(20, 30)
    x = gaussian_filter(100.0 + 80 * ball + rng.normal(0, 30, SHAPE), 0.8) + rng.normal(0, 3, SHAPE)
    return x[None].astype(np.float32)


def prepared(array, affine=None):
    image = Image(array, np.eye(4) if affine is None else affine)
    return image, Preprocessing().prepare(image)


@pytest.fixture(scope="module")
def package():
    known = fit_distribution([describe_image(prepared(scene(seed))[1]) for seed in range(40)])
    structures = {"1": {"volume": [80.0, 160.0], "border": 0.0}}
    return SimpleNamespace(
        channels=({"name": "T1", "modality": "MR"},), name="ball",
        distribution={"geometry": GEOMETRY, "image": known, "structures": structures},
    )  # fmt: skip


def test_images_like_the_training_images_pass(package):
    findings = [check_input(package, *prepared(scene(seed))) for seed in range(100, 120)]
    assert sum(bool(f.warnings) for f in findings) <= 1
    assert all(f.score < 1.5 for f in findings)


@pytest.mark.parametrize(
    "corrupt",
    [
        lambda x, s: x + np.random.default_rng(0).normal(0, 20 * s, x.shape),
        lambda x, s: gaussian_filter(x, (0, s, s, s)),
        lambda x, s: x * np.exp(s * np.linspace(-1, 1, 24))[:, None, None],
    ],
    ids=["noise", "blur", "shading"],
)
def test_the_score_rises_with_the_severity(package, corrupt):
    findings = [check_input(package, *prepared(corrupt(scene(7), s).astype(np.float32))) for s in (0, 0.6, 1.2, 2.4)]
    scores = [finding.score for finding in findings]
    assert scores == sorted(scores) and scores[-1] > 2
    assert any("unlike" in warning for warning in findings[-1].warnings)


def test_inverted_contrast_is_named(package):
    warnings = check_input(package, *prepared(200 - scene(3))).warnings
    assert any("exchanged" in warning for warning in warnings)


def test_ct_numbers_in_a_model_of_mr_and_the_other_way(package):
    warnings = check_input(package, *prepared(scene(1) * 8 - 1024)).warnings
    assert any("look like those of a CT" in warning for warning in warnings)
    ct = SimpleNamespace(channels=({"name": "CT", "modality": "CT"},), distribution={})
    assert "Hounsfield" in check_input(ct, *prepared(scene(1))).warnings[0]
    assert check_input(ct, *prepared(scene(1) - 1024)).warnings == []


def test_modality_that_the_file_tells(package):
    image, ready = prepared(scene(1))
    for told, expected in (("CT", 1), ("US", 1), ("MR", 0), ("mr", 0), ("", 0)):
        said = [one for one in check_input(package, replace(image, modalities=(told,)), ready).warnings if told in one]
        warnings = [one for one in said if one.startswith("T1: its DICOM files say")]
        assert len(warnings) == expected and all(f"the image is {told}; MR is expected" in one for one in warnings)
    anything = SimpleNamespace(channels=({"name": "T1", "modality": "n/a"},), distribution={})
    assert check_input(anything, replace(image, modalities=("CT",)), ready).warnings == []


def test_constant_image(package):
    assert "constant" in check_input(package, *prepared(np.ones((1, *SHAPE), np.float32))).warnings[0]


def test_an_image_that_is_tiny_in_mm_is_not_called_constant():
    image = Image(scene(), np.diag([0.001, 0.001, 0.001, 1.0]))
    anything = SimpleNamespace(channels=({"name": "T1"},), distribution={})
    (warning,) = check_input(anything, image, Preprocessing(spacing=(1.0, 1.0, 1.0)).prepare(image)).warnings
    assert "voxels" in warning and "constant" not in warning


def test_channels_that_are_the_same_image_are_named():
    array = np.concatenate([scene(0), scene(1), scene(0)])
    image = Image(array, np.eye(4))
    for names, said in ((("T1", "FLAIR", "T2"), ["T1 and T2: these channels are the same"]), (("R", "G", "B"), [])):
        package = SimpleNamespace(channels=tuple({"name": name} for name in names), distribution={})
        told = check_input(package, image, Preprocessing().prepare(image)).warnings
        assert len(told) == len(said) and all(text.startswith(part) for text, part in zip(told, said))


@pytest.mark.parametrize("normalization", ["zscore", "percentile", "none"])
def test_a_blank_channel_is_named(normalization):
    several = SimpleNamespace(channels=({"name": "T1"}, {"name": "FLAIR"}), distribution={})
    for number, name in enumerate(("T1", "FLAIR")):
        array = np.concatenate([scene(0), scene(1)])
        array[number] = 1234.5
        image = Image(array, np.eye(4))
        (warning,) = check_input(several, image, Preprocessing(normalization=normalization).prepare(image)).warnings
        assert warning.startswith(f"{name}: this channel is constant")
    image = Image(np.full((2, *SHAPE), 7, np.float32), np.eye(4))
    (warning,) = check_input(several, image, Preprocessing(normalization=normalization).prepare(image)).warnings
    assert warning.startswith("the image is constant")


def test_voxel_size_and_field_of_view(affine):
    """In any orientation of the file: GEOMETRY is that of the axes right, front, up."""
    known = {**GEOMETRY, "spacing": [[0.5, 8.0]] * 3, "extent": [[1.0, 1000.0]] * 3}
    image, ready = prepared(scene(0), affine)
    assert check_geometry(known, image, ready) == []
    (warning,) = check_geometry({**known, "spacing": [[0.1, 0.2]] * 3}, image, ready)
    assert "voxels measure" in warning


@pytest.mark.parametrize(("factor", "said"), [((1, 1, 3), "crop it"), ((1, 0.4, 1), "may be cut")])
def test_each_axis_counts(factor, said):
    # the file's first axis points to the front, the second one to the right
    affine = np.diag([*factor, 1.0])[[1, 0, 2, 3]]
    image, ready = prepared(scene(0).transpose(0, 2, 1, 3), affine)
    warnings = check_geometry(GEOMETRY, image, ready)
    assert len(warnings) == 2 and "voxels measure" in warnings[0] and said in warnings[1]


def test_sides_unknown():
    image, _ = prepared(scene(0))
    assert check_sides(image) == []
    (warning,) = check_sides(Image(image.array, image.affine, placed=False))
    assert "left" in warning


TOLD = {"expected_dice": {"1": {"dice": 0.9, "highest": 0.97, "features": {}}}}


def result_of(mask, sure=0.9, label=Label(1, "ball")):
    opinions = OpinionAccumulator(2, mask.shape)
    foreground = np.where(mask, sure, 1 - sure).astype(np.float32)
    for _ in range(2):
        opinions.add(np.stack([1 - foreground, foreground]), mask.astype(np.uint8))
    result = SegmentResult.of(opinions, "mean", None, np.eye(4), (label,), TOLD)
    result.report["warnings"] = ["said before"]
    result.report.update({"models": [{"steps": 2}], "fusion": "mean", "threshold": None})
    return result


def box(*edges):
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(*e) for e in edges)] = True
    return mask


def test_usual_volume_inside_the_image(package):
    assert check_opinions(package, result_of(box((5, 10), (5, 10), (5, 9)))) == Finding([], None)


def test_implausible_volumes(package):
    (large,) = check_opinions(package, result_of(box((5, 15), (5, 15), (5, 9)))).warnings
    assert "0.400 ml" in large and "0.0800 to 0.160 ml" in large
    (absent,) = check_opinions(package, result_of(np.zeros(SHAPE, bool))).warnings
    assert "not found" in absent


def test_structures_that_the_image_cuts(package):
    (warning,) = check_opinions(package, result_of(box((0, 5), (5, 10), (5, 9)))).warnings
    assert "touches the edge" in warning
    assert border_share(box((0, 5), (5, 10), (5, 9))) == pytest.approx(0.2)
    assert border_share(np.ones((6, 6, 1), bool)) == pytest.approx(20 / 36)  # a slice is not cut across
    assert border_share(np.zeros(SHAPE, bool)) == 0 and border_share(np.ones((1, 1, 1), bool)) == 0
    numbers = np.arange(24 * 20 * 16).reshape(SHAPE)
    inside = numbers[1:-1, 1:-1, 1:-1].ravel()
    assert sorted(faces(numbers)) == sorted(set(numbers.ravel()) - set(inside))  # each voxel once


def test_opinions_less_sure_than_usual(package):
    rng = np.random.default_rng(0)
    mask = box((5, 10), (5, 10), (5, 9))
    rows = [describe_opinions(result_of(mask, rng.uniform(0.9, 0.95))) for _ in range(20)]
    known = fit_distribution(rows) | {"asked": {"steps": 2}}
    one = SimpleNamespace(distribution={"opinions": known})
    assert check_opinions(one, result_of(mask, 0.92), {"steps": 2}).score < 1.5
    doubtful = check_opinions(one, result_of(mask, 0.6), {"steps": 2})
    assert doubtful.score > 2 and "opinions are not as" in doubtful.warnings[0]
    assert check_opinions(one, result_of(mask, 0.6), {"steps": 50}).score is None  # other options, other opinions
    assert check_opinions(one, result_of(mask, 0.6), {"steps": 2, "threshold": 0.2}) == Finding([], None)
    assert describe_opinions(result_of(np.zeros(SHAPE, bool))) == {}


def test_a_model_among_several_is_described_as_alone():
    """Also where a calibration of all together was applied after its own."""
    mask, together = box((5, 10), (5, 10), (5, 9)), {"temperature": 1.7, "power": 0.8, "label_scale": [1.1, 0.9]}
    opinions = {calibrated: OpinionAccumulator(2, SHAPE) for calibrated in (False, True)}
    for calibrated, one in opinions.items():
        for seed in range(2):
            foreground = np.where(mask, 0.8, 0.1 + 0.1 * seed).astype(np.float32)
            said = np.stack([1 - foreground, foreground])
            if calibrated:
                said = Scaling(together, 2)(torch.from_numpy(said)[None])[0].numpy()
            one.add(said, mask.astype(np.uint8))
    alone = describe_member(opinions[False], 8.0)
    assert describe_member(opinions[True], 8.0, together) == pytest.approx(alone, rel=0.03)  # of their mean
    assert describe_member(opinions[True], 8.0)["mean"] > 1.1 * alone["mean"]
    result = SegmentResult.of(opinions[False], "mean", None, np.diag([2.0, 2, 2, 1]), (Label(1, "ball"),), {})
    assert alone == pytest.approx(describe_opinions(result), rel=1e-6)


def test_the_report_says_each_thing_once(package):
    result = result_of(np.zeros(SHAPE, bool))
    both = checked(result, [package, package], [Finding(["odd"], 0.5), Finding(["odd"], 2.0)])
    assert both.report["input_score"] == 2.0
    assert both.report["warnings"][:2] == ["said before", "odd"] and len(both.report["warnings"]) == 3


def expectations(package, mask, findings=()):
    """What is told of the Dice of a result, and why it is not."""
    out = checked(result_of(mask), [package], findings)
    ((told, why),) = [(segment["expected_dice"], segment["expected_dice_withheld"]) for segment in out.statistics]
    return out, told, why


def test_no_dice_is_expected_of_what_the_calibration_has_not_seen(package):
    usual, large = box((5, 10), (5, 10), (5, 9)), box((5, 15), (5, 15), (5, 9))
    result, told, why = expectations(package, usual, [check_input(package, *prepared(scene(3)))])
    assert told == 0.9 and why is None and result.report["warnings"] == ["said before"]
    unplaced = Image(scene(3), np.eye(4), placed=False)  # nothing that a fit would know of
    assert expectations(package, usual, [check_input(package, unplaced, prepared(scene(3))[1])])[1] == told
    assert expectations(package, large)[1:] == (None, "its volume is outside the range of the training cases")
    assert expectations(package, box((0, 5), (5, 10), (5, 9)))[1:] == (None, "the image may cut it")
    unlike = check_input(package, *prepared(scene(3) * 8 - 1024))
    result, told, why = expectations(package, usual, [unlike])
    assert told is None and why == "the image is unlike those that the model was trained on"
    assert expectations(package, usual, [unlike, Finding([], None, "later")])[2] == why
    again = result.refuse("majority").statistics[0]
    assert again["expected_dice"] is None and again["expected_dice_withheld"] == why


def test_a_structure_beyond_its_range_leaves_the_others_theirs(package):
    other = SimpleNamespace(distribution={"structures": {"7": {"volume": [1.0, 2.0], "border": 0.0}}})
    assert expectations(other, box((5, 15), (5, 15), (5, 9)))[1] is not None


SIZE, CUT = "its volume is outside the range of the training cases", "the image may cut it"


def two_sizes(package, threshold, findings=(), margin=2):
    """A checked run: 125 mm^3 with the mean; below a threshold of 0.3 all but a margin of the image."""
    probable = np.zeros((20, 20, 20), np.float32)
    probable[(slice(margin, 20 - margin),) * 3] = 0.3
    probable[5:10, 5:10, 5:10] = 0.9
    opinions = OpinionAccumulator(2, probable.shape)
    for _ in range(3):
        opinions.add(np.stack([1 - probable, probable]), (probable > 0.5).astype(np.uint8))
    result = SegmentResult.of(opinions, "mean", threshold, np.eye(4), (Label(1, "ball"),), TOLD)
    result.report.update({"warnings": [], "models": [{}], "fusion": "mean", "threshold": threshold, "clicks": []})
    return checked(result, [package], findings)


def expected(result):
    (segment,) = result.statistics
    return segment["expected_dice"], segment["expected_dice_withheld"]


@pytest.mark.parametrize("margin, why", [(2, SIZE), (0, CUT)])
def test_another_rule_is_judged_by_its_own_volume(package, margin, why):
    usual, large = two_sizes(package, None, margin=margin), two_sizes(package, 0.2, margin=margin)
    assert expected(usual) == (0.9, None) and expected(large) == (None, why)
    assert expected(usual.refuse("mean", 0.2)) == (None, why)
    assert expected(large.refuse("mean", None)) == (0.9, None)
    assert large.refuse("mean", None).report["warnings"] == large.report["warnings"] != []  # those of the run
    crossed = SegmentResult.from_arrays(*usual.to_arrays())  # from the worker
    assert expected(crossed.refuse("mean", 0.2)) == (None, why)
    assert expected(crossed.refuse("mean", 0.2).refuse("mean", None)) == (0.9, None)


def test_clicks_are_judged_by_the_volume_that_they_leave(package):
    narrow = SimpleNamespace(distribution={"structures": {"1": {"volume": [125.0 * 1.25, 200.0], "border": 0.0}}})
    usual = two_sizes(narrow, None)
    assert expected(usual) == (0.9, None)
    assert expected(usual.with_clicks([(7, 7, 7, 0)])) == (None, SIZE)
    narrow.distribution["structures"]["1"]["volume"] = [126.0 * 1.25, 200.0]
    assert expected(two_sizes(narrow, None)) == (None, SIZE)
    assert expected(two_sizes(narrow, None).with_clicks([(15, 15, 15, 1)])) == (0.9, None)


def test_what_is_odd_of_the_image_stays_with_another_rule(package):
    unlike = check_input(package, *prepared(scene(3) * 8 - 1024))
    for result in (two_sizes(package, None, [unlike]), two_sizes(package, 0.2, [unlike])):
        for threshold in (None, 0.2):
            told, why = expected(result.refuse("mean", threshold))
            assert told is None and why == "the image is unlike those that the model was trained on"


def test_results_that_know_no_ranges_keep_their_reasons(package):
    arrays, meta = two_sizes(package, 0.2).to_arrays()
    old = SegmentResult.from_arrays(arrays, {**meta, "calibration": TOLD})
    assert expected(old.refuse("mean", None)) == (None, SIZE)


def test_of_several_models_the_strictest_range_holds(package):
    other = SimpleNamespace(distribution={"structures": {"1": {"volume": [90.0, 200.0], "border": 0.1}}})
    unknown, labels = SimpleNamespace(distribution={}), (Label(1, "ball"), Label(2, "box"))
    assert strictest([package, other, unknown], labels) == {"1": {"volume": [90.0, 160.0], "border": 0.0}}
