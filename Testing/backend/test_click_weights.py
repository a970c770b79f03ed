"""Clicks on a result: which samples win, what changes where no sample agrees, and what never changes."""

from __future__ import annotations

import numpy as np
import pytest
from medsegdiff.errors import RequestError
from medsegdiff.inference.result import SegmentResult
from medsegdiff.models.package import Label
from medsegdiff.uncertainty.accumulator import OpinionAccumulator
from medsegdiff.uncertainty.packing import pack_box, pack_labelmap, unpack_box, unpack_labelmap

LABELS = (Label(1, "one"), Label(2, "two"))
SHAPE = (40, 24, 20)
BODY = (slice(4, 16), slice(4, 16), slice(4, 14))
TAIL = (slice(16, 36), slice(6, 14), slice(6, 12))  # that few samples contain
FAR = (slice(4, 14), slice(19, 22), slice(15, 18))  # about which samples differ otherwise


def result_of(maps: list[np.ndarray], affine: np.ndarray, softness: float = 0.8) -> SegmentResult:
    """Opinions whose probability is `softness` where their map has a label."""
    accumulator = OpinionAccumulator(3, SHAPE)
    for labels in maps:
        onehot = np.stack([labels == value for value in range(3)]).astype(np.float32)
        accumulator.add(softness * onehot + (1 - softness) / 3, labels)
    return SegmentResult.of(accumulator, "mean", None, affine, LABELS, {})


@pytest.fixture
def result(affine) -> SegmentResult:
    """Eight samples: all with the body (label one), the last two with a tail (two), the even ones with a speck."""
    maps = []
    for number in range(8):
        labels = np.zeros(SHAPE, np.uint8)
        labels[BODY] = 1
        if number >= 6:
            labels[TAIL] = 2
        if number % 2 == 0:
            labels[FAR] = 1
        maps.append(labels)
    return result_of(maps, affine)


def clicks_at(affine: np.ndarray, *places: tuple[tuple[int, int, int], int]) -> list[tuple]:
    return [(*(affine[:3, :3] @ index + affine[:3, 3]), label) for index, label in places]


def test_boxes_of_packed_samples():
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 3, (4, 7, 5, 9)).astype(np.uint8)
    packed, box = np.stack([pack_labelmap(labels, 3) for labels in maps]), (slice(2, 5), slice(1, 4), slice(0, 9))
    np.testing.assert_array_equal(unpack_box(packed, box, maps.shape[1:]), maps[(slice(None), *box)])
    new = rng.integers(0, 3, (4, 3, 3, 9)).astype(np.uint8)
    pack_box(packed, new, box, maps.shape[1:])
    maps[(slice(None), *box)] = new
    np.testing.assert_array_equal([unpack_labelmap(bits, maps.shape[1:]) for bits in packed], maps)


def test_samples_with_what_was_missed_win(result, affine):
    """Two of eight are enough, and the whole part comes with them, but nothing that they are not asked about."""
    assert not (result.labelmap == 2).any()
    out = result.with_clicks(clicks_at(affine, ((26, 10, 9), 2)))
    assert (out.labelmap[TAIL] == 2).all() and (out.labelmap[BODY] == 1).all()
    changed = out.labelmap != result.labelmap
    changed[TAIL] = False
    assert not changed.any()
    assert out.weights[6] == pytest.approx(2 * out.weights[0]) and out.weights.sum() == pytest.approx(1)
    assert out.statistics[1]["volume_mm3"] > 0 and (out.samples[:, 26, 10, 9] == 2).all()
    assert (out.samples[1][FAR] == 0).all() and (out.samples[0][FAR] == 1).all(), "opinions differ still elsewhere"
    np.testing.assert_allclose(out.probability.sum(0), 1, atol=1e-5)


def test_samples_without_what_is_too_much_win(affine):
    maps = []
    for number in range(8):
        labels = np.zeros(SHAPE, np.uint8)
        labels[BODY] = 1
        labels[TAIL] = 2 if number < 6 else 0
        maps.append(labels)
    result = result_of(maps, affine)
    out = result.with_clicks(clicks_at(affine, ((26, 10, 9), 0)))
    assert (result.labelmap[TAIL] == 2).all() and not out.labelmap[TAIL].any() and (out.labelmap[BODY] == 1).all()


def test_where_no_sample_agrees_the_probable_neighbourhood_changes(affine):
    """A part that no sample takes for likely enough, but that is likelier than the rest."""
    maps = [np.zeros(SHAPE, np.uint8)] * 3
    result = result_of(maps, affine)
    result.probability[:] = np.array([0.97, 0.02, 0.01]).reshape(3, 1, 1, 1)
    likely = (slice(10, 14), slice(8, 12), slice(8, 11))
    result.probability[(slice(None), *likely)] = np.array([0.7, 0.28, 0.02]).reshape(3, 1, 1, 1)
    out = result.with_clicks(clicks_at(affine, ((11, 9, 9), 1)))
    found = out.labelmap == 1
    inside = np.zeros(SHAPE, bool)
    inside[likely] = True
    assert found[11, 9, 9] and not found[~inside].any() and found.sum() > 1
    away = np.linalg.norm((np.argwhere(found) - (11, 9, 9)) @ affine[:3, :3].T, axis=1)
    assert away.max() <= 8.0, "mm"


@pytest.mark.parametrize("fusion", ["mean", "majority", "staple", "multilabel-staple"])
def test_clicked_voxels_have_the_clicked_labels_with_every_fusion(result, affine, fusion):
    """Also where clicks lie side by side, and where the next one would spread over them."""
    rng = np.random.default_rng(0)
    places = {tuple(int(rng.integers(n)) for n in SHAPE): int(rng.integers(3)) for _ in range(12)}
    places |= {(26, 10, 9): 2, (26, 10, 10): 0, (27, 10, 9): 1, (10, 10, 10): 0, (10, 10, 11): 1}
    clicked = result.with_clicks(clicks_at(affine, *places.items()))
    for out in (clicked, clicked.refuse(fusion), clicked.refuse("mean", 0.9), clicked.refuse("majority", 0.2)):
        assert all(out.labelmap[index] == label for index, label in places.items())
        assert len(out.report["clicks"]) == len(places) and out.report["segments"]


def test_clicks_that_say_what_is_known_change_nothing_else(result, affine):
    out = result.with_clicks(clicks_at(affine, ((10, 10, 9), 1), ((38, 22, 2), 0)))
    np.testing.assert_array_equal(out.labelmap, result.labelmap)
    np.testing.assert_array_equal(out.weights, result.weights)
    changed = (out.probability != result.probability).any(0)
    assert np.argwhere(changed).tolist() == [[10, 10, 9], [38, 22, 2]]


def test_clicks_come_on_top_of_each_other_and_leave_the_result_alone(result, affine):
    before = result.to_arrays()[0]
    kept = {name: array.copy() for name, array in before.items()}
    one, other = clicks_at(affine, ((26, 10, 9), 2), ((10, 10, 9), 0))
    out = result.with_clicks([one]).with_clicks([other])
    assert [click["label"] for click in out.report["clicks"]] == [2, 0] and out.report["clicks"][0]["name"] == "two"
    assert out.labelmap[26, 10, 9] == 2 and out.labelmap[10, 10, 9] == 0
    again = out.with_clicks([one, other])
    assert again.report["clicks"] == out.report["clicks"]
    np.testing.assert_array_equal(again.labelmap, out.labelmap)
    for name, array in result.to_arrays()[0].items():
        np.testing.assert_array_equal(array, kept[name])
    assert "clicks" not in result.report


def test_earlier_clicks_stay_heeded(result, affine):
    """Also where the next click would spread over them."""
    first, second = clicks_at(affine, ((10, 10, 9), 0), ((11, 10, 9), 2))
    out = result.with_clicks([first]).with_clicks([second])
    assert out.labelmap[10, 10, 9] == 0 and out.labelmap[11, 10, 9] == 2
    back = out.with_clicks(clicks_at(affine, ((10, 10, 9), 1)))
    assert back.labelmap[10, 10, 9] == 1, "the last word on a place counts"
    again = back.with_clicks([first]).with_clicks(clicks_at(affine, ((26, 10, 9), 2)))
    assert again.labelmap[10, 10, 9] == 0, "also where it repeats an earlier one"
    assert again.report["clicks"][-2]["label"] == 0


def test_less_is_in_doubt_after_a_click(result, affine):
    out = result.with_clicks(clicks_at(affine, ((26, 10, 9), 2)))
    for measure in ("entropy", "expected-entropy", "mutual-information", "variance"):
        assert out.uncertainty(measure)[26, 10, 9] == pytest.approx(0, abs=1e-5)
        assert (out.uncertainty(measure) >= -1e-6).all()
        assert out.uncertainty(measure, "two").max() <= 0.7
    assert out.uncertainty()[TAIL].mean() < result.uncertainty()[TAIL].mean()
    np.testing.assert_array_equal(out.uncertainty()[FAR], result.uncertainty()[FAR])


def test_what_is_no_click_is_refused(result):
    for clicks, about in (([(1, 2, 3)], "R, A, S"), ([(1e4, 0, 0, 1)], "outside"), ([(0, 0, 0, 7)], "label 7")):
        with pytest.raises(RequestError, match=about):
            result.with_clicks(clicks)
    assert result.with_clicks([]).labelmap is not result.labelmap
