"""Volumes as people read them."""

from __future__ import annotations

import pytest
from medsegdiff.image.volume_text import in_ml

TOLD = [(604_200, "604.20"), (2469.4, "2.47"), (999.4, "0.999"), (100, "0.100"), (4.24, "0.00424"), (0, "0.00")]


@pytest.mark.parametrize(("volume", "told"), TOLD)
def test_volumes_are_told_in_ml(volume, told):
    assert in_ml(volume) == told
