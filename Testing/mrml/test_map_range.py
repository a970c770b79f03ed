"""The values that the colours of a map span."""

import math

import numpy as np
import pytest
from MedSegDiffSlicerLib.nodes.map_range import RANGES, range_of


def a_map(high: float, shape=(20, 20, 20)) -> np.ndarray:
    """Mostly nothing, a little somewhere; in Fortran order, as VTK wants it."""
    values = np.zeros(shape, np.float32, order="F")
    values[5:8, 5:8] = high * np.linspace(0.1, 1, 20)
    return values


@pytest.mark.parametrize("measure", ["mutual-information", "variance"])
def test_disagreement_is_seen_however_small(measure):
    values = a_map(0.06)
    low, high = range_of(measure, values)
    assert low == 0 and 0.5 * values.max() < high < 1.5 * values.max()
    assert range_of(measure, a_map(10.0)) == RANGES[measure], "never more than it may be"
    assert range_of(measure, a_map(1e-5))[1] == pytest.approx(0.05 * RANGES[measure][1]), "noise stays dark"
    assert range_of(measure, np.zeros((4, 4, 4), np.float32))[1] > 0


@pytest.mark.parametrize("measure", ["entropy", "expected-entropy"])
def test_entropies_look_alike_in_all_scans(measure):
    assert range_of(measure, a_map(0.1)) == range_of(measure, a_map(0.6)) == (0.0, math.log(2))
