"""Fusion of opinions against hand-made cases and SimpleITK."""

from contextlib import nullcontext
from unittest.mock import patch

import numpy as np
import pytest
import SimpleITK as sitk
from medsegdiff.errors import RequestError
from medsegdiff.uncertainty import staple as rules
from medsegdiff.uncertainty.fusion import decide, fused_labelmap, judge_disputed
from medsegdiff.uncertainty.packing import disputed, overlaps, pack_labelmap, unpack_labelmap
from medsegdiff.uncertainty.rules import FUSIONS


def samples():
    rng = np.random.default_rng(1)
    truth = np.zeros((12, 12, 12), np.uint8)
    truth[3:9, 3:9, 3:6], truth[3:9, 3:9, 6:9] = 1, 2
    drawn = []
    for _ in range(5):
        flipped = rng.random(truth.shape) < 0.08
        drawn.append(np.where(flipped, rng.integers(0, 3, truth.shape), truth).astype(np.uint8))
    packed = np.stack([pack_labelmap(s, 3) for s in drawn])
    mean = np.stack([(np.stack(drawn) == value).mean(0) for value in range(3)]).astype(np.float32)
    return truth, np.stack(drawn), packed, mean


def fuse(fusion, mean, packed, weights=None):
    """(L, I, J, K) label probabilities by a rule: 0 or 1 where the samples agree."""
    if fusion == "mean":
        return mean
    agreed = unpack_labelmap(packed[0], mean.shape[1:])
    out = np.stack([agreed == value for value in range(len(mean))]).astype(np.float32)
    for indices, probability in judge_disputed(fusion, len(mean), mean.shape[1:], packed, weights, {}):
        out.reshape(len(mean), -1)[:, indices] = probability
    return out


@pytest.mark.parametrize("fusion", FUSIONS)
def test_fusion_beats_its_members(fusion):
    truth, drawn, packed, mean = samples()
    probability = fuse(fusion, mean, packed)
    assert probability.shape == mean.shape
    np.testing.assert_allclose(probability.sum(0), 1, atol=1e-5)
    wrong = (decide(probability, None) != truth).mean()
    assert wrong < min((s != truth).mean() for s in drawn)


def test_majority_counts_votes():
    _, drawn, packed, mean = samples()
    np.testing.assert_allclose(fuse("majority", np.zeros_like(mean), packed), mean, atol=1e-6)


def test_threshold_moves_the_foreground():
    mean = np.array([0.55, 0.15, 0.30], np.float32).reshape(3, 1, 1, 1)
    assert decide(mean, None)[0, 0, 0] == 0
    assert decide(mean, 0.4)[0, 0, 0] == 2
    assert decide(mean, 0.5)[0, 0, 0] == 0
    assert decide(np.array([1 / 3, 1 / 3, 1 / 3]), None) == 0  # the first one of several


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("threshold", [None, 0.3])
def test_label_map_is_that_of_the_probabilities(fusion, threshold):
    _, _, packed, mean = samples()
    shares = np.array([0.1, 0.2, 0.4, 0.1, 0.2])
    expected = decide(fuse(fusion, mean, packed, shares), threshold)
    np.testing.assert_array_equal(fused_labelmap(fusion, threshold, mean, packed, shares), expected)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_another_threshold_needs_no_new_judgement(fusion):
    _, _, packed, mean = samples()
    judged = {}
    for threshold in (None, 0.3, 0.7):
        with patch.dict("medsegdiff.uncertainty.fusion._JUDGES", clear=True) if judged else nullcontext():
            again = fused_labelmap(fusion, threshold, mean, packed, judged=judged)
        np.testing.assert_array_equal(again, fused_labelmap(fusion, threshold, mean, packed))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_samples_that_agree_are_taken_as_they_are(fusion):
    truth, _, _, _ = samples()
    mean = np.stack([truth == value for value in range(3)]).astype(np.float32)
    packed = np.stack([pack_labelmap(truth, 3)] * 3)
    np.testing.assert_array_equal(fuse(fusion, mean, packed), mean)


def test_disputed_voxels_and_what_is_said_there():
    _, drawn, packed, _ = samples()
    at, votes = disputed(packed)
    np.testing.assert_array_equal(at, np.flatnonzero((drawn != drawn[0]).any(0)))
    np.testing.assert_array_equal(votes, drawn.reshape(5, -1)[:, at])


def test_overlaps_of_many_samples():
    rng = np.random.default_rng(0)
    masks = rng.random((20, 3, 5, 7)) < 0.5
    packed = np.stack([pack_labelmap(mask.astype(np.uint8), 2)[0] for mask in masks])
    flat = masks.reshape(20, -1).astype(int)
    np.testing.assert_array_equal(overlaps(packed), flat @ flat.T)


def judged(size=16, seed=0):
    """A random truth with two labels, and five label maps of it: two mostly right, three often wrong; and a mean."""
    rng, shape = np.random.default_rng(seed), (size,) * 3
    truth = rng.integers(0, 3, shape)
    wrong = [(truth + rng.integers(1, 3, shape)) % 3 for _ in range(5)]
    rights = (0.9, 0.85, 0.55, 0.5, 0.5)
    maps = [np.where(rng.random(shape) < right, truth, other) for right, other in zip(rights, wrong)]
    return truth.astype(np.uint8), np.array(maps, np.uint8), np.full((3, *shape), 1 / 3, np.float32)


def packed_of(maps, labels=3):
    return np.stack([pack_labelmap(labelmap, labels) for labelmap in maps])


def test_staple_is_that_of_simpleitk():
    _, maps, mean = judged()
    masks = (maps > 0).astype(np.uint8)
    theirs = sitk.GetArrayFromImage(sitk.STAPLE([sitk.GetImageFromArray(mask) for mask in masks], 1.0, 1, 100))
    ours, differ = fuse("staple", mean[:2], packed_of(masks, 2))[1], (masks != masks[0]).any(0)
    np.testing.assert_allclose(ours[differ], theirs[differ], atol=1e-4)
    np.testing.assert_array_equal(ours[~differ], masks[0][~differ])


def test_multilabel_staple_is_that_of_simpleitk():
    truth, maps, mean = judged()
    theirs = sitk.GetArrayFromImage(sitk.MultiLabelSTAPLE([sitk.GetImageFromArray(one) for one in maps]))
    ours = fused_labelmap("multilabel-staple", None, mean, packed_of(maps))
    assert (ours == theirs).mean() > 0.999
    majority = fused_labelmap("majority", None, mean, packed_of(maps))
    assert (ours == truth).mean() > (majority == truth).mean() + 0.02  # it learnt whom to trust


@pytest.mark.parametrize("fusion", ["staple", "multilabel-staple"])
def test_an_even_share_of_voxels_tells_the_same(fusion, monkeypatch):
    _, maps, mean = judged(24)
    all_of_them = fuse(fusion, mean, packed_of(maps))
    monkeypatch.setattr(rules, "LOOKED_AT", 3000)
    np.testing.assert_allclose(fuse(fusion, mean, packed_of(maps)), all_of_them, atol=0.05)


@pytest.mark.parametrize("fusion", ["staple", "multilabel-staple"])
def test_staple_does_not_depend_on_the_background_around(fusion):
    _, _, packed, mean = samples()
    _, drawn, _, _ = samples()
    around = ((3, 5), (2, 0), (4, 1))
    wide = packed_of([np.pad(labelmap, around) for labelmap in drawn])
    shape = tuple(n + sum(more) for n, more in zip(mean.shape[1:], around))
    inside = (slice(None), *(slice(low, low + 12) for low, _ in around))
    wide_mean = np.zeros((3, *shape), np.float32)
    np.testing.assert_allclose(fuse(fusion, wide_mean, wide)[inside], fuse(fusion, mean, packed), atol=1e-6)


@pytest.mark.parametrize("fusion", ["majority", "staple", "multilabel-staple"])
def test_a_heavy_sample_wins(fusion):
    _, drawn, packed, mean = samples()
    fused = fused_labelmap(fusion, None, mean, packed, np.array([0.96, 0.01, 0.01, 0.01, 0.01]))
    assert (fused != drawn[0]).mean() < 0.01 < (drawn[1] != drawn[0]).mean()


def test_votes_count_by_weight():
    one, two = (pack_labelmap(np.full((1, 1, 1), value, np.uint8), 3) for value in (1, 2))
    fused = fuse("majority", np.zeros((3, 1, 1, 1), np.float32), np.stack([one, two]), np.array([3.0, 1.0]))
    np.testing.assert_allclose(fused.ravel(), [0, 0.75, 0.25])


def test_unknown_rules_are_refused():
    _, _, packed, mean = samples()
    with pytest.raises(RequestError, match="multilabel-staple"):
        fused_labelmap("vote", None, mean, packed)


@pytest.mark.parametrize("heavy", [0, 4])
def test_labels_too_rare_to_be_picked(heavy, monkeypatch):
    """A spot of 2 voxels that no picked voxel shows: one of eight opinions does not carry it, five do."""
    maps = np.zeros((8, 24, 24, 24), np.uint8)
    maps[:, 4:16, 4:16, 4:16] = 1
    maps[::2, 16, 4:16, 4:16] = 1
    maps[: 1 + heavy, 22, 22, 22:] = 2
    monkeypatch.setattr(rules, "LOOKED_AT", 40)
    packed, mean = packed_of(maps), np.zeros((3, 24, 24, 24), np.float32)
    probability = fuse("multilabel-staple", mean, packed)
    np.testing.assert_allclose(probability.sum(0), 1, atol=1e-5)
    assert (decide(probability, None)[22, 22, 22:] == (2 if heavy else 0)).all()
    assert np.isfinite(fuse("staple", mean, packed)).all()


@pytest.mark.parametrize("votes, of, threshold", [(1, 10, 0.1), (7, 20, 0.35), (9, 10, 0.9)])
def test_at_least_the_threshold_in_spite_of_rounding(votes, of, threshold):
    packed = packed_of([np.full((1, 1, 2), [n < votes, 0], np.uint8) for n in range(of)], 2)
    mean = np.zeros((2, 1, 1, 2), np.float32)
    assert fused_labelmap("majority", threshold, mean, packed).ravel().tolist() == [1, 0]
    assert fused_labelmap("majority", threshold + 0.01, mean, packed).ravel().tolist() == [0, 0]


def test_no_foreground_where_its_probability_is_0():
    assert not decide(np.array([[1.0], [0.0]], np.float32), 1e-6).any()
