"""The values that the colours of a map span."""

import math

import numpy as np
import pytest

from medsegdiff.uncertainty.map_range import span_of


def a_map(high: float, shape=(20, 20, 20)) -> np.ndarray:
    """Mostly nothing, a little somewhere; in Fortran order, as VTK wants it."""
    values = np.zeros(shape, np.float32, order="F")
    values[5:8, 5:8] = high * np.linspace(0.1, 1, 20)
    return values


@pytest.mark.parametrize(("measure", "most"), [("mutual-information", math.log(2) / 2), ("variance", 0.25)])
def test_disagreement_is_seen_however_small(measure, most):
    values = a_map(0.06)
    low, high, is_open = span_of(measure, 2, values)
    assert low == 0 and 0.5 * values.max() < high < 1.5 * values.max() and is_open
    assert span_of(measure, 2, a_map(10.0)).high == pytest.approx(most), "never more than it may be"
    assert span_of(measure, 2, a_map(1e-5)).high == pytest.approx(0.05 * most), "noise stays dark"
    assert span_of(measure, 2, np.zeros((4, 4, 4), np.float32)).high > 0


@pytest.mark.parametrize("measure", ["entropy", "expected-entropy"])
@pytest.mark.parametrize(("labels", "high", "is_open"), [
    (2, math.log(2), False),
    (3, math.log(3), False), (4, math.log(4), False), (105, math.log(4), True),
])  # fmt: skip
def test_entropies_look_alike_in_all_scans(measure, labels, high, is_open):
    for values in (a_map(0.1), a_map(0.6)):
        assert span_of(measure, labels, values) == (0.0, pytest.approx(high), is_open)
    assert math.log(2) >= 0.499 * high, "a boundary between two of many structures is seen"
