"""Results on images too large for the probabilities of all labels: nodes, and the places to look at of a loaded
scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest


@pytest.fixture
def added(scene, make_volume, make_result):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    shape, grid = (24, 20, 16), np.diag([3.0, 3, 3, 1])
    return add_result(scene, make_result(shape, grid), make_volume(np.zeros(shape, np.int16), grid))


def test_places_of_a_loaded_scene_are_the_same(added, monkeypatch):
    from medsegdiff.uncertainty import likeliest
    from MedSegDiffSlicerLib.nodes.saved_result import regions_of

    loaded = replace(added, result=None, probabilityVolumeNodes=[])
    whole = regions_of(loaded)
    monkeypatch.setattr(likeliest, "DENSE_BYTES", 0)
    monkeypatch.setattr(likeliest, "FEWEST", 1)
    found = regions_of(loaded)
    assert len(found) == len(whole) > 1
    for one, other in zip(found, whole):
        assert one.structure == other.structure and np.array_equal(one.at, other.at)


def test_there_are_no_probability_maps(added):
    from medsegdiff.uncertainty.likeliest_accumulator import LikeliestAccumulator
    from MedSegDiffSlicerLib.nodes.result_parts import parts_of

    gathered = LikeliestAccumulator(4, added.result.labelmap.shape)
    gathered.add(np.array(added.result.probability), added.result.labelmap)
    result = replace(added.result, probability=gathered.finish().mean)
    kinds = [part.kind for part in parts_of(result, ["entropy"])]
    assert kinds == ["map", "sample", "sample", "sample", "sample", "labelmap"]
