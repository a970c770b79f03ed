"""Noise is addressed by place, sample and step."""

import numpy as np
from medsegdiff.diffusion.noise import NoiseField


def test_window_is_part_of_the_whole():
    field = NoiseField(7, 3)
    whole = field.window(2, 1, (0, 0, 0), (40, 33, 17))
    part = field.window(2, 1, (5, 14, 3), (20, 18, 11))
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(part, whole[:, 5:25, 14:32, 3:14])


def test_every_address_has_its_own_noise():
    def drawn(seed, sample, step, start):
        return NoiseField(seed, 1).window(sample, step, start, (16, 16, 16)).ravel()

    base = drawn(0, 0, 0, (0, 0, 0))
    others = [drawn(1, 0, 0, (0, 0, 0)), drawn(0, 1, 0, (0, 0, 0)), drawn(0, 0, 1, (0, 0, 0)),
              drawn(0, 0, 0, (16, 0, 0)),
              drawn(0, 0, 0, (0, 16, 0)), drawn(0, 0, 0, (0, 0, 16))]  # fmt: skip
    for other in others:
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.08


def test_noise_is_standard_normal():
    values = NoiseField(1, 2).window(0, 0, (0, 0, 0), (48, 48, 48))
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1) < 0.01
    assert abs((values**4).mean() - 3) < 0.05


def test_large_seed_and_sample():
    assert np.isfinite(NoiseField(2**63 - 1, 1).window(999, 999, (1000, 1000, 1000), (2, 2, 2))).all()
