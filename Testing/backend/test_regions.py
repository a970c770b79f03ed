"""Doubtful regions: found, ranked and measured as worked out by hand."""

import numpy as np
import pytest
from medsegdiff.uncertainty import regions as looking
from medsegdiff.uncertainty.regions import find_regions
from medsegdiff.uncertainty.statistics import find_doubt, soft_dice

NAMES = {1: "front", 2: "back"}


def sure(shape=(40, 30, 20)):
    """A block of each label without any doubt: probabilities (L, I, J, K)."""
    labelmap = np.zeros(shape, np.uint8)
    labelmap[5:15, 5:25, 5:15], labelmap[15:25, 5:25, 5:15] = 1, 2
    return np.stack([labelmap == value for value in range(3)]).astype(np.float32)


def doubted(probability, box, value, share):
    """The probabilities with `share` for a label in a box, the rest for background."""
    probability[(slice(None), *box)] = 0
    probability[(value, *box)], probability[(0, *box)] = share, 1 - share


def regions(probability, affine=np.eye(4), **options):
    return find_regions(probability.argmax(0).astype(np.uint8), find_doubt(probability), affine, NAMES, **options)


def test_no_doubt_no_region():
    assert regions(sure()) == []


def test_numbers_of_two_regions():
    probability = sure()
    doubted(probability, (slice(5, 8), slice(5, 8), slice(5, 8)), 1, 0.6)  # 27 voxels inside, 0.4 of them too many
    doubted(probability, (slice(30, 34), slice(5, 9), slice(5, 8)), 2, 0.3)  # 48 voxels outside, 0.3 of them missing
    affine = np.array([[0, 2.0, 0, 10], [1.0, 0, 0, 20], [0, 0, 3.0, 30], [0, 0, 0, 1]])
    found = {region.structure: region for region in regions(probability, affine)}
    assert set(found) == {"front", "back"} and len(regions(probability, affine)) == 2
    front, back = found["front"], found["back"]
    assert (front.label, front.voxels, front.volume_mm3) == (1, 27, 27 * 6)
    assert front.removed_mm3 == pytest.approx(0.4 * 27 * 6, rel=1e-5) and front.added_mm3 == 0
    assert front.volume_change_mm3 == -front.removed_mm3
    assert back.added_mm3 == back.volume_change_mm3 == pytest.approx(0.3 * 48 * 6, rel=1e-5) and back.removed_mm3 == 0
    assert front.index == (6, 6, 6) and front.slice == 6
    expected = np.zeros(probability.shape[1:], bool)
    expected[5:8, 5:8, 5:8] = True
    assert np.array_equal(front.at, np.flatnonzero(expected)) and "at" not in front.to_dict()
    assert front.position == (10 + 2 * 6, 20 + 6, 30 + 3 * 6)
    # front: 2000 voxels of which 10.8 are too many; back: 2000, of which 14.4 are missing
    assert front.dice_change == pytest.approx(1 - 2 * 1989.2 / (2000 + 1989.2), rel=1e-4)
    assert back.dice_change == pytest.approx(1 - 2 * 2000 / (2000 + 2014.4), rel=1e-4)


def test_position_is_in_the_slice_that_shows_most():
    """A wedge: its centre of gravity is at k = 7, but most of it is to be seen at k = 5."""
    probability = sure()
    doubted(probability, (slice(30, 36), slice(5, 11), slice(5, 6)), 2, 0.4)
    doubted(probability, (slice(31, 35), slice(6, 10), slice(6, 11)), 2, 0.4)
    affine = np.diag([1.0, 1, 3, 1])
    (wedge,) = regions(probability, affine)
    assert wedge.slice == wedge.index[2] == 5
    assert wedge.position == tuple(affine[:3, :3] @ wedge.index)
    assert np.ravel_multi_index(wedge.index, probability.shape[1:]) in wedge.at


def test_rank_by_dice_or_volume():
    probability = sure()
    probability[1, 7:15], probability[0, 7:15] = 0, 1  # the front keeps 400 of 2000 voxels
    doubted(probability, (slice(5, 7), slice(5, 8), slice(5, 8)), 1, 0.6)  # 18 voxels of a small structure
    doubted(probability, (slice(20, 25), slice(20, 24), slice(5, 9)), 2, 0.6)  # 80 voxels of a large one
    assert [region.structure for region in regions(probability)] == ["front", "back"]
    assert [region.structure for region in regions(probability, by="volume")] == ["back", "front"]
    assert [region.structure for region in regions(probability, most=1)] == ["front"]


def test_correcting_all_regions_gains_what_the_dice_lacks():
    rng = np.random.default_rng(0)
    probability = sure()
    for _ in range(5):
        i, j, k = rng.integers(5, 14), rng.integers(5, 24), rng.integers(5, 14)
        doubted(probability, (slice(i, i + 2), slice(j, j + 2), slice(k, k + 2)), 1, 0.7)
    found = regions(probability)
    lacking = 1 - soft_dice(probability.argmax(0) == 1, probability[1])
    assert sum(region.dice_change for region in found) == pytest.approx(lacking, rel=0.02)


def test_a_shell_is_cut_to_pieces_that_hold_together():
    distance = np.linalg.norm(np.stack(np.meshgrid(*[np.arange(60) - 30] * 3, indexing="ij")), axis=0)
    front = 1 / (1 + np.exp(2 * (distance - 20)))
    probability = np.stack([1 - front, front, np.zeros_like(front)]).astype(np.float32)
    found = regions(probability, most=1000)
    doubtful = np.minimum(front, 1 - front) >= 0.2
    assert sum(region.voxels for region in found) == doubtful.sum()
    assert len([region for region in found if region.voxels > 50]) > 10
    assert max(region.voxels for region in found) < doubtful.sum() / 5
    for region in found:
        assert doubtful[region.index]


def test_neighbours_by_corners_are_one_region():
    probability = sure()
    for n in range(4):
        doubted(probability, (slice(30 + n, 31 + n), slice(5 + n, 6 + n), slice(5 + n, 6 + n)), 2, 0.4)
    assert [region.voxels for region in regions(probability)] == [4]


def test_spots_far_apart_are_regions_of_their_own():
    probability = sure()
    for j in (6, 10, 14):
        doubted(probability, (slice(10, 12), slice(j, j + 2), slice(8, 10)), 1, 0.6)
    assert sorted(region.index[1] for region in regions(probability)) in ([6, 10, 14], [7, 11, 15])


def test_no_more_than_so_many_voxels_are_looked_at(monkeypatch):
    probability = sure()
    doubted(probability, (slice(30, 34), slice(5, 9), slice(5, 8)), 2, 0.3)  # 48 voxels
    doubted(probability, (slice(30, 33), slice(20, 23), slice(5, 8)), 2, 0.4)  # 27 voxels that are doubted more
    everything = regions(probability)
    monkeypatch.setattr(looking, "AT_MOST", 75)
    assert regions(probability) == everything
    monkeypatch.setattr(looking, "AT_MOST", 40)
    found = {region.voxels: region for region in regions(probability)}
    assert sum(found) == 40 and found[27] in everything
