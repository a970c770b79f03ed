"""Uncertainty maps of a result: over all labels, of one structure, and beyond what is usual at a boundary."""

import math

import numpy as np
import pytest
from medsegdiff.errors import RequestError
from medsegdiff.inference.result import NOTHING_FOUND, SegmentResult
from medsegdiff.models.package import Label
from medsegdiff.uncertainty import accumulator as accumulating
from medsegdiff.uncertainty.accumulator import OpinionAccumulator
from medsegdiff.uncertainty.aggregation import aggregate
from medsegdiff.uncertainty.boundary_distance import REACH, excess, shell_numbers
from medsegdiff.uncertainty.logit_pool import LogitPool
from medsegdiff.uncertainty.measures import entropy
from medsegdiff.uncertainty.rules import MEASURES

LABELS = (Label(1, "front"), Label(2, "back"))


def result_of(*members, labels=LABELS, weights=None):
    """A result of members given as (L, I, J, K) probabilities."""
    opinions = OpinionAccumulator(len(labels) + 1, members[0].shape[1:])
    for member, weight in zip(members, weights or [1.0] * len(members)):
        opinions.add(member.astype(np.float32), member.argmax(0).astype(np.uint8), weight)
    return SegmentResult.of(opinions, "mean", None, np.eye(4), labels, {})


def two_members(shape=(4, 3, 2), labels=2):
    drawn = np.random.default_rng(0).dirichlet(np.ones(labels + 1), (2, *shape))
    return np.moveaxis(drawn, -1, 1)


def test_measures_of_one_label_are_those_of_label_or_not():
    members = two_members()
    both = result_of(*members)
    for value, name in ((1, "front"), (2, "back")):
        alone = result_of(*(np.stack([1 - m[value], m[value]]) for m in members), labels=(Label(1, name),))
        for measure in ("entropy", "expected-entropy", "mutual-information"):
            expected = alone.uncertainty(measure)
            np.testing.assert_allclose(both.uncertainty(measure, value), expected, atol=1e-5)
            np.testing.assert_allclose(alone.uncertainty(measure, 1), expected, atol=1e-6)
        spread = members[:, value].var(0)
        np.testing.assert_allclose(both.uncertainty("variance", name), spread, atol=1e-6)
        np.testing.assert_allclose(alone.uncertainty("variance", 1), spread, atol=1e-6)


def test_ranges():
    result = result_of(*two_members((8, 8, 8)))
    for label, top, most in ((None, math.log(3), 1.0), (1, math.log(2), 0.25)):
        for measure in ("entropy", "expected-entropy", "mutual-information"):
            found = result.uncertainty(measure, label)
            assert 0 <= found.min() <= found.max() <= top + 1e-6
        assert 0 <= result.uncertainty("variance", label).min() <= result.uncertainty("variance", label).max() <= most


def test_only_the_entropy_of_a_structure_is_known_of_large_images(monkeypatch):
    monkeypatch.setattr(accumulating, "LABEL_MOMENTS_BYTES", 100)
    result = result_of(*two_members())
    arrays, meta = result.to_arrays()
    again = SegmentResult.from_arrays(arrays, meta)
    assert [segment["mutual_information"] for segment in again.with_statistics().statistics] == [None, None]
    assert again.label_variance is None and again.uncertainty("entropy", 1).max() > 0
    with pytest.raises(RequestError, match="crop the image"):
        again.uncertainty("variance", 1)
    assert again.uncertainty("variance").max() > 0


@pytest.mark.parametrize("labels", [1, 2])
def test_disagreement_is_that_of_the_opinions_whatever_they_have_together(labels):
    """A sure opinion among others outweighs them in the mean of the logits, so that nothing would be left of it."""
    members = two_members((6, 5, 4), labels)
    members[0, 1:, :3], members[0, 0, :3] = 1e-5, 1 - labels * 1e-5
    names = LABELS[:labels]
    pool, opinions = LogitPool(), OpinionAccumulator(labels + 1, members[0].shape[1:])
    for member in members.astype(np.float32):
        opinions.add(member, member.argmax(0).astype(np.uint8))
        pool.add(member, 0.5)
    pooled = SegmentResult.of(opinions, "mean", None, np.eye(4), names, {}, pool.finish())
    again = SegmentResult.from_arrays(*pooled.to_arrays()).with_statistics()
    usual = result_of(*members, labels=names)
    assert np.abs(pooled.uncertainty("entropy") - usual.uncertainty("entropy")).max() > 0.1
    for result in (pooled, again):
        for label in (None, *range(1, labels + 1)):
            for measure in ("mutual-information", "expected-entropy", "variance"):
                expected = usual.uncertainty(measure, label)
                np.testing.assert_allclose(result.uncertainty(measure, label), expected, atol=1e-5)
        for name, segment in zip(names, result.statistics):
            disagreement = usual.uncertainty("mutual-information")[result.labelmap == name.value]
            assert segment["mean_mutual_information"] == pytest.approx(disagreement.mean(), abs=1e-5)
            own = aggregate(usual.uncertainty("mutual-information", name.value), result.labelmap == name.value)
            assert segment["mutual_information"] == pytest.approx(own, abs=1e-5)


def test_unknown_measures_and_labels_are_refused():
    result = result_of(*two_members())
    with pytest.raises(RequestError, match="mutual-information"):
        result.uncertainty("doubt")
    for label in ("side", 3, 0):
        with pytest.raises(RequestError, match=r"'front' \(1\), 'back' \(2\)"):
            result.uncertainty("entropy", label)


def test_weights_reach_the_fusion():
    sure = np.zeros((2, 3, 2, 2, 2))
    sure[0, 1], sure[1, 2] = 1, 1
    result = result_of(*sure, weights=[3.0, 1.0])
    assert list(result.weights) == [0.75, 0.25]
    for fusion in ("mean", "majority"):
        assert (result.refuse(fusion).labelmap == 1).all()
    again = SegmentResult.from_arrays(*result.to_arrays()).refuse("majority")
    np.testing.assert_array_equal(again.weights, result.weights)


def test_weights_reach_the_statistics():
    small, large = np.zeros((2, 2, 8, 8, 8))
    small[1, 2:4], large[1, 2:7] = 1, 1
    small[0], large[0] = 1 - small[1], 1 - large[1]
    one, members = (Label(1, "one"),), (small,) * 6 + (large,)
    (even,), (uneven,) = (result_of(*members, labels=one, weights=w).statistics for w in (None, [5.0] * 6 + [1.0]))
    assert uneven["sample_agreement"] > even["sample_agreement"]
    width = [entry["volume_interval_mm3"][1] - entry["volume_mm3"] for entry in (even, uneven)]
    assert width[0] > width[1] > 0


def test_refusing_warns_of_what_it_found():
    result = result_of(*two_members((8, 8, 8)))
    result.report["warnings"] = ["odd"]
    nothing = result.refuse("mean", threshold=0.9999)
    assert not nothing.labelmap.any() and nothing.report["warnings"] == ["odd", NOTHING_FOUND]
    assert nothing.refuse("mean", threshold=0.9999).report["warnings"] == ["odd", NOTHING_FOUND]
    assert nothing.refuse("mean").report["warnings"] == ["odd"] == result.report["warnings"]


def test_refused_result_has_new_statistics_and_the_same_opinions():
    members = two_members((8, 8, 8))
    result = result_of(*members)
    stricter = result.refuse("majority", threshold=0.9)
    assert stricter.report["fusion"] == "majority" and stricter.report["threshold"] == 0.9
    volume = sum(segment["volume_mm3"] for segment in stricter.statistics)
    assert volume == (stricter.labelmap > 0).sum() < (result.labelmap > 0).sum()
    fresh = SegmentResult.from_arrays(*stricter.to_arrays()).with_statistics()
    assert fresh.report == stricter.report


def ball(radius=8, size=31):
    """Distances (mm) from the centre, and a ball."""
    grid = np.linalg.norm(np.stack(np.meshgrid(*[np.arange(size) - size // 2] * 3, indexing="ij")), axis=0)
    return grid, (grid <= radius).astype(np.uint8)


def test_a_usual_shell_vanishes_and_what_is_odd_remains():
    distance, mask = ball()
    shell = np.exp(-((distance - 8.5) ** 2)).astype(np.float32)
    odd = shell.copy()
    odd[15, 15, 15], odd[27:29, 15, 15] = 0.5, 0.6
    assert excess(shell, mask, np.eye(4)).sum() < 0.2 * shell.sum()
    left = excess(odd, mask, np.eye(4))
    assert left[15, 15, 15] == pytest.approx(0.5, abs=0.01) and left[27, 15, 15] == pytest.approx(0.6, abs=0.01)
    assert (left <= odd).all() and left.min() >= 0
    total = np.unravel_index(odd.argmax(), odd.shape), np.unravel_index(left.argmax(), odd.shape)
    assert abs(distance[total[0]] - 8.5) < 1 and total[1] in ((27, 15, 15), (28, 15, 15))


def test_distances_are_in_mm():
    line = np.zeros((64, 1, 60), np.uint8)
    line[..., 20:40] = 1
    one, two = shell_numbers(line, np.array([1.0, 1.0, 1.0])), shell_numbers(line, np.array([1.0, 1.0, 2.0]))
    assert list(one[0, 0, 20:24]) == [REACH + 2, REACH + 3, REACH + 4, REACH + 5]
    assert list(two[0, 0, 20:24]) == [REACH + 3, REACH + 5, REACH + 7, REACH + 9]
    assert list(one[0, 0, 16:20]) == [4, 3, 2, 1] and one[0, 0, 5] == 0


def test_few_voxels_are_taken_together():
    line = np.zeros((16, 1, 60), np.uint8)
    line[..., 20:40] = 1
    inside = shell_numbers(line, np.ones(3))[0, 0, 20:30] - (REACH + 1)
    assert list(inside) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 9]  # 2 ends of 16 voxels a shell


def test_no_structure_nothing_usual():
    doubt = np.random.default_rng(0).random((5, 5, 5)).astype(np.float32)
    np.testing.assert_array_equal(excess(doubt, np.zeros((5, 5, 5), np.uint8), np.eye(4)), doubt)


def test_aggregates_follow_measure_and_label():
    members = two_members((8, 8, 8))
    result = result_of(*members)
    mask = result.labelmap == 2
    spread = result.uncertainty("variance", 2)[mask].mean()
    assert result.aggregates("variance", "back")["mean"] == pytest.approx(spread, rel=1e-5)
    whole = entropy(result.probability)[result.labelmap > 0].mean()
    assert result.aggregates()["mean"] == pytest.approx(whole, rel=1e-5)
    assert result.report["uncertainty"]["mean"] == pytest.approx(whole, rel=1e-3)
    assert result.aggregates(normalised=True)["mean"] < whole
    epistemic = result.aggregates("mutual-information", 2)["mean"]
    assert result.statistics[1]["mutual_information"]["mean"] == pytest.approx(epistemic, rel=1e-3)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_map_is_the_callers_own(measure):
    result = result_of(*two_members())
    before = result.uncertainty(measure)
    result.uncertainty(measure)[:] = 9
    np.testing.assert_array_equal(result.uncertainty(measure), before)
