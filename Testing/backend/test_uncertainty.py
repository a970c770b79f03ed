"""Measures and statistics against hand-made cases."""

import math

import numpy as np
import pytest
import scipy.stats
from medsegdiff.uncertainty.accumulator import OpinionAccumulator
from medsegdiff.uncertainty.measures import entropy
from medsegdiff.uncertainty.packing import overlaps, pack_labelmap, unpack_labelmap
from medsegdiff.uncertainty.statistics import (
    find_doubt, mean_pairwise_dice, soft_dice, structure_statistics, surface_area, volume_interval,
)  # fmt: skip


def opinions(*rows):
    """One voxel, three labels: an accumulator fed with the given probabilities."""
    accumulator = OpinionAccumulator(3, (1, 1, 1))
    for row in rows:
        accumulator.add(np.array(row, np.float32).reshape(3, 1, 1, 1), np.zeros((1, 1, 1), np.uint8))
    return accumulator


def test_entropy_limits():
    assert entropy(np.full((3, 1), 1 / 3))[0] == pytest.approx(math.log(3), abs=1e-6)
    assert entropy(np.array([[1.0], [0.0], [0.0]]))[0] == pytest.approx(0, abs=1e-6)


def test_sure_but_contrary_opinions_are_epistemic():
    a = opinions((1, 0, 0), (0, 1, 0)).finish()
    assert entropy(a.mean)[0, 0, 0] == pytest.approx(math.log(2), abs=1e-5)
    assert a.expected_entropy[0, 0, 0] == pytest.approx(0, abs=1e-5)
    assert a.variance[0, 0, 0] == pytest.approx(0.5)  # 0.25 for each of two labels


def test_equal_doubts_are_aleatoric():
    a = opinions((0.5, 0.5, 0), (0.5, 0.5, 0)).finish()
    assert a.expected_entropy[0, 0, 0] == pytest.approx(math.log(2), abs=1e-5)
    assert a.variance[0, 0, 0] == pytest.approx(0, abs=1e-6)


def test_a_weight_counts_as_that_many_opinions():
    one, two = (0.7, 0.2, 0.1), (0.1, 0.1, 0.8)
    weighted, repeated = OpinionAccumulator(3, (1, 1, 1)), opinions(one, two, two, two)
    for row, weight in ((one, 0.5), (two, 1.5)):
        weighted.add(np.array(row, np.float32).reshape(3, 1, 1, 1), np.zeros((1, 1, 1), np.uint8), weight)
    assert weighted.weights == [0.5, 1.5] and list(weighted.shares) == [0.25, 0.75]
    np.testing.assert_allclose(weighted.mean(), repeated.mean(), atol=1e-6)
    for one, other in zip(weighted.finish(), repeated.finish()):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_memory_does_not_grow_but_for_bits():
    a = OpinionAccumulator(3, (8, 8, 8))
    for _ in range(20):
        a.add(np.full((3, 8, 8, 8), 1 / 3, np.float32), np.zeros((8, 8, 8), np.uint8))
    assert sum(p.nbytes for p in a.packed) == 20 * 2 * 8 * 8 * 8 // 8


def test_packing_round_trip():
    labelmap = np.random.default_rng(0).integers(0, 4, (5, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(unpack_labelmap(pack_labelmap(labelmap, 4), labelmap.shape), labelmap)


def test_pairwise_dice():
    a, b = np.zeros((1, 1, 8), np.uint8), np.zeros((1, 1, 8), np.uint8)
    a[..., :4], b[..., 2:6] = 1, 1
    packed = np.stack([pack_labelmap(x, 2)[0] for x in (a, b)])
    np.testing.assert_array_equal(overlaps(packed), [[4, 2], [2, 4]])
    assert mean_pairwise_dice(overlaps(packed)) == pytest.approx(0.5)
    assert mean_pairwise_dice(overlaps(packed[:1])) is None
    assert mean_pairwise_dice(overlaps(np.zeros((3, 1), np.uint8))) == 1.0


def test_soft_dice():
    mask = np.array([True, True, False])
    assert soft_dice(mask, np.array([1.0, 1.0, 0.0])) == 1.0
    assert soft_dice(mask, np.array([0.5, 0.5, 0.0])) == pytest.approx(2 * 1 / 3)
    assert soft_dice(np.zeros(3, bool), np.zeros(3)) is None


def test_interval_covers_new_draws():
    """A 95 % prediction interval of normal volumes covers a new draw 95 % of the time."""
    rng = np.random.default_rng(0)
    hit = 0
    for _ in range(2000):
        drawn = rng.normal(1000, 50, 9)
        low, high = volume_interval(drawn[:8].mean(), drawn[:8], 0.0)
        hit += low <= drawn[8] <= high
    assert 0.93 < hit / 2000 < 0.97


def test_no_interval_reaches_beyond_the_image():
    truth, mean = np.zeros((4, 5, 6), np.uint8), np.full((2, 4, 5, 6), 0.5, np.float32)
    truth[:2] = 1
    bits = np.stack([np.packbits(np.full(truth.size, value)) for value in (0, 1)])
    numbers = structure_statistics(1, truth, mean, mean[1], None, find_doubt(mean), overlaps(bits), np.eye(4), {})
    assert numbers["volume_interval_mm3"] == [0, truth.size]


def test_interval_of_one_opinion_rests_on_the_model():
    assert volume_interval(1000.0, np.array([1000.0]), 0.1) == pytest.approx([900, 1100])


def test_equal_weights_change_nothing():
    volumes, common = np.array([90.0, 110.0, 130.0, 95.0, 102.0, 99.0, 87.0]), np.diag(np.arange(1.0, 8)) + 3
    even = np.ones(7) / 7
    for weights in (even, even * (1 + 1e-14 * np.arange(7))):
        assert volume_interval(100.0, volumes, 0.1, weights) == volume_interval(100.0, volumes, 0.1)
        assert mean_pairwise_dice(common, weights) == mean_pairwise_dice(common)


def test_interval_of_weighted_opinions():
    volumes = np.array([90.0, 100.0, 120.0])
    weights = np.array([0.5, 0.3, 0.2])
    n, mean = 1 / 0.38, 99.0
    variance = (0.5 * 9**2 + 0.3 * 1**2 + 0.2 * 21**2) / (1 - 0.38)
    low, high = volume_interval(mean, volumes, 0.0, weights)
    assert (high - low) / 2 == pytest.approx(scipy.stats.t.ppf(0.975, n - 1) * math.sqrt(variance * (1 + 1 / n)))
    # weights close to the same give an interval close to that without
    nearly = volume_interval(mean, volumes, 0.0, np.array([0.333, 0.333, 0.334]))
    assert nearly == pytest.approx(volume_interval(mean, volumes, 0.0), rel=0.01)
    # a sample that hardly counts hardly widens it, and one that counts for nearly all leaves a number
    alike = np.array([100.0, 101.0, 99.0, 100.0, 200.0])
    narrow = volume_interval(100.0, alike, 0.0, np.array([0.2499, 0.2499, 0.2499, 0.2499, 0.0004]))
    assert narrow[1] - narrow[0] < (np.diff(volume_interval(100.0, alike, 0.0)) / 10).item()
    assert np.isfinite(volume_interval(100.0, alike[:2], 0.0, np.array([1.0, 1e-17]))).all()


def test_agreement_of_weighted_opinions():
    masks = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]], np.uint8)
    common = overlaps(np.stack([pack_labelmap(mask.reshape(1, 1, 4), 2)[0] for mask in masks]))
    assert mean_pairwise_dice(common) == pytest.approx(1 / 3)
    assert mean_pairwise_dice(common, np.array([0.4, 0.4, 0.2])) == pytest.approx(0.16 / (0.16 + 2 * 0.08))


def two_structures():
    """A truth with two boxes, probabilities that doubt its edges, and the packed bits of label 1 of two samples."""
    truth = np.zeros((12, 12, 12), np.uint8)
    truth[3:9, 3:9, 3:6], truth[3:9, 3:9, 6:9] = 1, 2
    mean = np.stack([np.where(truth == value, 0.8, 0.1) for value in range(3)]).astype(np.float32)
    smaller = np.where(np.arange(12) < 5, truth.T, 0).T.astype(np.uint8)
    return truth, mean, np.stack([pack_labelmap(x, 3)[0] for x in (truth, smaller)])


def test_statistics_in_mm3():
    truth, mean, packed = two_structures()
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    calibration, expected = {"expected_dice": {"1": [0.9, 0]}}, np.full(truth.shape, 0.3, np.float32)
    doubt = find_doubt(mean)
    numbers = structure_statistics(1, truth, mean, expected, expected / 3, doubt, overlaps(packed), affine, calibration)
    assert numbers["volume_mm3"] == 2.0 * (truth == 1).sum()
    low, high = numbers["volume_interval_mm3"]
    assert low < numbers["volume_mm3"] < high
    assert numbers["expected_dice"] == pytest.approx(0.9)
    assert numbers["sample_agreement"] == pytest.approx(0.5)  # 108 and 36 voxels, of which 36 are common
    assert numbers["mean_uncertainty"] == pytest.approx(entropy(np.array([[0.8], [0.1], [0.1]]))[0], abs=1e-5)
    assert numbers["mean_mutual_information"] == pytest.approx(numbers["mean_uncertainty"] - 0.3, abs=1e-5)
    sure, unsure = -0.8 * math.log(0.8) - 0.2 * math.log(0.2), -0.1 * math.log(0.1) - 0.9 * math.log(0.9)
    assert numbers["worst_uncertainty"] == pytest.approx(sure, abs=1e-5)
    assert numbers["uncertainty"]["mean"] == pytest.approx(sure, abs=1e-5)  # of "label 1 or not"
    assert numbers["mutual_information"]["mean"] == pytest.approx(sure - 0.1, abs=1e-5)
    assert numbers["uncertainty"]["relative_sum"] == pytest.approx(
        (108 * sure + (12**3 - 108) * unsure) / 108, rel=1e-5
    )
    alone = overlaps(packed[:1])
    numbers = structure_statistics(1, truth, mean, expected, expected / 3, doubt, alone, affine, calibration)
    told = ("mean_mutual_information", "mutual_information", "sample_agreement")
    assert [numbers[name] for name in told] == [None] * 3  # nobody is there to disagree


def test_statistics_of_an_absent_structure():
    empty, mean = np.zeros((4, 4, 4), np.uint8), np.zeros((2, 4, 4, 4), np.float32)
    mean[0] = 1
    bits = np.zeros((2, 8), np.uint8)
    numbers = structure_statistics(1, empty, mean, mean[1], None, find_doubt(mean), overlaps(bits), np.eye(4), {})
    assert numbers["volume_mm3"] == 0 and numbers["surface_area_mm2"] == 0
    assert numbers["mutual_information"] is None
    assert {numbers[key] for key in ("mean_uncertainty", "worst_uncertainty", "expected_dice")} == {None}


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 1.1, 1.6), (0.8, 0.8, 3.0)])
@pytest.mark.parametrize("oblique", [False, True])
def test_surface_of_a_ball(spacing, oblique):
    radius, turn = 12.0, np.eye(3)
    if oblique:
        turn = np.linalg.qr(np.array([[0.8, -0.5, 0.1], [0.6, 0.7, -0.3], [0.2, 0.3, 0.9]]))[0]
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing
    shape = [int(2 * radius / step) + 5 for step in spacing]
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) - (np.array(shape) - 1) / 2
    ball = np.linalg.norm(grid @ affine[:3, :3].T, axis=-1) <= radius
    assert surface_area(ball, affine) == pytest.approx(4 * math.pi * radius**2, rel=0.02)


def test_surface_counts_faces_at_the_edge_of_the_image():
    whole = np.ones((30, 30, 30), bool)
    assert surface_area(whole, np.eye(4)) == surface_area(np.pad(whole, 3), np.eye(4))


def test_dice_confidence_of_a_part_is_that_of_the_whole():
    mask, probability = np.zeros((6, 6), bool), np.full((6, 6), 0.1)
    mask[2:4, 2:4], probability[2:4, 2:4] = True, 0.7
    part = (slice(1, 5), slice(1, 5))
    assert soft_dice(mask[part], probability[part], probability.sum()) == pytest.approx(soft_dice(mask, probability))
