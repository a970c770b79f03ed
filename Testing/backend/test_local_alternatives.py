"""What samples say at one place: labellings and their probabilities as put in, and bits read where they are."""

import numpy as np
import pytest
from medsegdiff.uncertainty.local_alternatives import local_alternatives
from medsegdiff.uncertainty.packing import labels_at, pack_labelmap

SHAPE = (9, 7, 5)


def packed_of(samples):
    return np.stack([pack_labelmap(sample, 4) for sample in samples])


def test_labels_are_read_at_the_voxels_asked_for():
    rng = np.random.default_rng(3)
    samples = rng.integers(0, 4, (6, *SHAPE)).astype(np.uint8)
    at = rng.permutation(np.prod(SHAPE))[:50]
    assert np.array_equal(labels_at(packed_of(samples), at), samples.reshape(6, -1)[:, at])


def test_labellings_of_a_place_whatever_the_samples_say_elsewhere():
    rng = np.random.default_rng(4)
    place = np.zeros(SHAPE, bool)
    place[2:6, 2:5, 1:4] = True
    samples = rng.integers(0, 4, (10, *SHAPE)).astype(np.uint8)
    for number, sample in enumerate(samples):  # 5 say 1, 3 say 2, 2 say nothing; one voxel of each is astray
        sample[place] = (1, 1, 1, 1, 1, 2, 2, 2, 0, 0)[number]
        sample[2 + number % 4, 2, 1] = 3
    found = local_alternatives(packed_of(samples), np.full(10, 0.1), np.flatnonzero(place))
    assert [round(one.probability, 9) for one in found] == [0.5, 0.3, 0.2]
    for one, value in zip(found, (1, 2, 0)):
        assert one.labels.shape == (place.sum(),) and np.count_nonzero(one.labels != value) <= 2


def test_probability_is_the_weight_of_the_samples():
    samples = [np.full(SHAPE, value, np.uint8) for value in (1, 2, 2)]
    found = local_alternatives(packed_of(samples), np.array([0.7, 0.2, 0.1]), np.arange(20))
    assert [(one.labels[0], round(one.probability, 9)) for one in found] == [(1, 0.7), (2, 0.3)]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_samples_that_agree_have_one_labelling(count):
    samples = [np.full(SHAPE, 2, np.uint8)] * count
    (only,) = local_alternatives(packed_of(samples), np.full(count, 1 / count), np.arange(30))
    assert only.probability == pytest.approx(1) and (only.labels == 2).all()


def test_two_samples_that_differ_are_two_labellings():
    samples = [np.full(SHAPE, value, np.uint8) for value in (0, 3)]
    found = local_alternatives(packed_of(samples), np.full(2, 0.5), np.arange(30))
    assert [one.probability for one in found] == [0.5, 0.5] and {one.labels[0] for one in found} == {0, 3}


def test_even_votes_within_a_group_give_one_sample_not_a_mixture():
    one, two, far = (np.zeros(SHAPE, np.uint8) for _ in range(3))
    one[:2], two[1:3], far[:] = 1, 1, 2
    samples = [one, two, far, far, np.full(SHAPE, 3, np.uint8)]
    found = local_alternatives(packed_of(samples), np.full(5, 0.2), np.arange(np.prod(SHAPE)))
    says = [tuple(one.labels) for one in found]
    assert tuple(one.reshape(-1)) in says or tuple(two.reshape(-1)) in says
