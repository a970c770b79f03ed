"""Samples of many labels: the digits of the label instead of a plane a structure, with the same answers."""

from __future__ import annotations

import numpy as np
import pytest
from medsegdiff.uncertainty import packing
from medsegdiff.uncertainty.alternatives import find_alternatives, sample_distances
from medsegdiff.uncertainty.fusion import fused_labelmap
from medsegdiff.uncertainty.local_alternatives import local_alternatives
from medsegdiff.uncertainty.packing import overlaps, pack_box, pack_labelmap, plane_of, unpack_box, unpack_labelmap
from medsegdiff.uncertainty.rules import FUSIONS

SHAPE, LABELS = (9, 7, 5), 105


@pytest.fixture
def samples():
    """Six opinions on blocks of labels, four of them alike but for noise."""
    rng = np.random.default_rng(0)
    base = np.repeat(rng.integers(0, LABELS, (3, 7, 5)), 3, 0).astype(np.uint8)
    base[:2] = 0
    other = np.where(base > 50, 0, base)
    drawn = np.stack([base] * 4 + [other] * 2)
    noisy = rng.random(drawn.shape) < 0.02
    drawn[noisy] = rng.integers(0, LABELS, np.count_nonzero(noisy))
    return drawn


def test_a_sample_takes_a_byte_a_voxel_and_comes_back(samples):
    packed = np.stack([pack_labelmap(sample, LABELS) for sample in samples])
    assert packed.nbytes <= samples.nbytes + 8 * len(samples)
    np.testing.assert_array_equal([unpack_labelmap(bits, SHAPE) for bits in packed], samples)
    for value in (1, 50, 104):
        both = (samples.reshape(6, -1) == value).astype(float)
        np.testing.assert_array_equal(overlaps(plane_of(packed, value)), both @ both.T)
    box = (slice(2, 5), slice(1, 4), slice(0, 5))
    np.testing.assert_array_equal(unpack_box(packed, box, SHAPE), samples[(slice(None), *box)])
    new = np.full((6, 3, 3, 5), 77, np.uint8)
    pack_box(packed, new, box, SHAPE)
    samples[(slice(None), *box)] = 77
    np.testing.assert_array_equal([unpack_labelmap(bits, SHAPE) for bits in packed], samples)


def test_both_forms_have_the_same_answers(samples, monkeypatch):
    weights, mean, at = np.full(6, 1 / 6), np.zeros((LABELS, *SHAPE), np.float32), np.arange(100)

    def answers() -> tuple:
        packed = np.stack([pack_labelmap(sample, LABELS) for sample in samples])
        fused = [fused_labelmap(fusion, None, mean, packed, weights) for fusion in FUSIONS]
        alternatives = [(a.members, a.labelmap.tolist()) for a in find_alternatives(packed, SHAPE, weights)]
        local = [(a.probability, a.labels.tolist()) for a in local_alternatives(packed, weights, at)]
        return packed.shape[1], np.stack(fused), sample_distances(packed), alternatives, local

    planes, *digits = answers()
    monkeypatch.setattr(packing, "SINGLE", 200)
    monkeypatch.setattr("medsegdiff.uncertainty.alternatives.SINGLE", 200)
    more, *single = answers()
    assert (planes, more) == (8, 104)
    for one, other in zip(digits, single):
        np.testing.assert_array_equal(np.asarray(one, object), np.asarray(other, object))
    assert len(digits[2]) == 2, "both opinions are told apart"
