"""A volume that shows far more than a model was trained on is doubted before it is run."""

from __future__ import annotations

import numpy as np
import pytest
from medsegdiff.models.ensembles import find_installed

SHIPPED = ("hippocampus-medsegdiff", "hippocampus-ensemble")


@pytest.mark.parametrize("model", SHIPPED)
def test_whole_heads_are_too_much_and_crops_are_not(make_volume, model):
    from MedSegDiffSlicerLib.jobs.field_of_view import too_much

    package = find_installed(model)
    crop = make_volume(np.zeros((40, 56, 40), np.int16))
    head = make_volume(np.zeros((180, 220, 170), np.int16))
    assert too_much(package, crop) == too_much(package, None) == ""
    assert "180 x 220 x 170 mm" in too_much(package, head)


def test_sides_are_told_apart_whatever_the_axes_order(make_volume):
    from MedSegDiffSlicerLib.jobs.field_of_view import too_much

    package = find_installed(SHIPPED[0])
    turned = np.eye(4)[[1, 0, 2, 3]]
    long = make_volume(np.zeros((40, 220, 40), np.int16), turned)
    assert "220 x 40 x 40 mm" in too_much(package, long)


def test_nothing_is_said_where_the_model_does_not_tell(make_volume):
    from MedSegDiffSlicerLib.jobs.field_of_view import too_much

    package = find_installed(SHIPPED[0])
    package.distribution.pop("geometry")
    assert too_much(package, make_volume(np.zeros((180, 220, 170), np.int16))) == ""
