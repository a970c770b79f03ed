"""Numbers of images, and how far they lie from those of other images."""

import numpy as np
import pytest
from medsegdiff.uncertainty.distribution import distance, fit_distribution
from medsegdiff.uncertainty.image_statistics import image_statistics, inverted
from scipy.ndimage import gaussian_filter


def rows(count, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=count)
    return [{"a": x, "b": 100 + 5 * x + rng.normal(), "c": rng.normal(-3, 0.1)} for x in a]


def test_one_is_the_99th_percentile():
    entry = fit_distribution(rows(400))
    scores = np.array([distance(entry, row).score for row in rows(2000, seed=1)])
    assert 0.002 < (scores > 1).mean() < 0.03


def test_what_is_usual_alone_may_be_unusual_together():
    entry = fit_distribution(rows(200))
    assert distance(entry, {"a": 2.0, "b": 110.0, "c": -3.0}).score < 1
    assert distance(entry, {"a": 2.0, "b": 92.0, "c": -3.0}).score > 2


def test_it_names_the_oddest():
    away = distance(fit_distribution(rows(100)), {"a": 0.0, "b": 100.0, "c": -5.0})
    assert away.oddest == "c" and away.deviations < -10 and away.score > 3


def test_numbers_that_lack():
    entry = fit_distribution([{"a": 90.0, "b": np.nan, "c": -3.0}, *rows(20), {"c": -3.0}, {}])
    assert entry == fit_distribution(rows(20))  # bad rows do not count
    seldom = fit_distribution([*rows(5), *({"a": x, "c": -3.0 + x} for x in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6))])
    assert seldom["names"] == ["a", "c"]  # a number that few cases have neither
    assert distance(entry, {"c": -3.0}).score < 1
    assert distance(entry, {}) is None
    assert fit_distribution(rows(2)) is fit_distribution([]) is fit_distribution([{}, {}, {}]) is None


def test_more_numbers_than_cases():
    rng = np.random.default_rng(0)
    many = [{f"n{i}": x for i, x in enumerate(rng.normal(size=30))} for _ in range(10)]
    entry = fit_distribution(many)
    assert all(distance(entry, row).score < 1.5 for row in many)


def picture(seed=0):
    rng = np.random.default_rng(seed)
    return gaussian_filter(rng.normal(size=(40, 36, 32)), 1.5)


def test_units_of_the_intensities_do_not_count():
    one, other = image_statistics(picture()), image_statistics(1000 * picture() - 7)
    assert one.keys() == other.keys()
    assert list(one.values()) == pytest.approx(list(other.values()), abs=1e-3)


def test_noise_blur_shading_and_inversion_show():
    x = picture()
    plain = image_statistics(x)
    noisy = image_statistics(x + np.random.default_rng(1).normal(0, 0.3 * x.std(), x.shape))
    blurred = image_statistics(gaussian_filter(x, 1.5))
    shaded = image_statistics(x + 2 * x.std() * np.linspace(-1, 1, 40)[:, None, None])
    assert noisy["noise"] > plain["noise"] + 0.3 and noisy["same_1_i"] < plain["same_1_i"] - 0.05
    assert blurred["noise"] < plain["noise"] - 0.3 and blurred["same_3_k"] > plain["same_3_k"] + 0.05
    assert shaded["shading"] > plain["shading"] + 0.3
    assert image_statistics(-x)["skewness"] == pytest.approx(-plain["skewness"], abs=1e-4)
    assert inverted(plain) == pytest.approx(image_statistics(-x))
    assert inverted({f"1.{name}": value for name, value in plain.items()})["1.p1"] == pytest.approx(-plain["p99"])


def test_flat_images_and_constant_ones():
    flat = image_statistics(picture()[:, :, :1])
    assert "same_1_k" not in flat and "noise" in flat
    assert image_statistics(np.ones((8, 8, 8))) == {}
    assert "noise" not in image_statistics(picture()[:4, :4, :4])


def test_a_few_slices_are_looked_at_one_by_one():
    """Too few for neighbours across them to say anything; those within the slices still do."""
    x = picture()
    few, whole = image_statistics(x[:, :, :5]), image_statistics(x)
    assert "same_1_k" not in few and few["same_1_i"] == pytest.approx(whole["same_1_i"], abs=0.05)
    within = [image_statistics(x[:, :, k : k + 1]) for k in range(5)]
    for name in ("noise", "edges"):
        assert few[name] == pytest.approx(np.mean([one[name] for one in within]), abs=0.1)
