"""The fits of a calibration: right on made data, modest on few, honest on what was not seen."""

import numpy as np
import pytest
from medsegdiff.training.scaling_fit import Collector, Voxels, cross_validated_ece, fit_scaling, reliability
from medsegdiff.uncertainty.calibration import (
    covered, dice_features, fit_expected_dice, fit_relative_errors, folds, predict_dice,
)  # fmt: skip

NAN = float("nan")


def made_cases(count, seed=0, slope=0.5):
    """Features and Dice of two structures; the Dice follows the soft Dice, with noise."""
    rng = np.random.default_rng(seed)
    soft = rng.normal([0.9, 0.8], 0.02, (count, 2))
    features = np.stack([soft, rng.normal(0.95, 0.01, soft.shape), rng.normal(7, 0.1, soft.shape)], 2)
    return features, [0.85, 0.75] + slope * (soft - [0.9, 0.8]) + rng.normal(0, 0.003, soft.shape)


def test_expected_dice_learns_what_matters():
    features, dice = made_cases(60)
    entries = fit_expected_dice(features, dice)
    new, true = made_cases(40, seed=1)
    predicted = np.array([[predict_dice(e, list(x)) for e, x in zip(entries, row)] for row in new])
    assert np.abs(predicted - true).mean() < 0.005
    assert np.corrcoef(predicted[:, 0], true[:, 0])[0, 1] > 0.8


def test_expected_dice_never_rises_with_doubt():
    features, dice = made_cases(40, slope=-0.5)
    entry = fit_expected_dice(features, dice)[0]
    assert all(slope >= 0 for _, slope in entry["features"].values())
    assert "soft_dice" not in entry["features"]


def test_one_bad_case_does_not_move_the_line():
    features, dice = made_cases(40)
    calm = fit_expected_dice(features, dice)[0]
    dice[0] = 0.1
    moved = fit_expected_dice(features, dice)[0]
    assert moved["dice"] == pytest.approx(calm["dice"], abs=0.002)
    assert moved["features"]["soft_dice"][1] == pytest.approx(calm["features"]["soft_dice"][1], abs=0.12)


def test_expected_dice_is_not_better_than_any_seen_and_falls_far_from_the_usual():
    features, dice = made_cases(40)
    entry = fit_expected_dice(features, dice)[0]
    assert predict_dice(entry, [1.0, 1.0, 20.0]) == entry["highest"] == pytest.approx(dice[:, 0].max(), abs=1e-5)
    assert predict_dice(entry, [0.3, 0.2, 2.0]) < 0.6


def test_few_cases_and_absent_structures():
    features, dice = made_cases(2)
    features[:, 1], dice[:, 1] = NAN, NAN
    first, second = fit_expected_dice(features, dice)
    assert first["dice"] == pytest.approx(dice[:, 0].mean(), abs=1e-5) and second is None
    assert predict_dice(first, dice_features(None, None, 0.0)) is None
    assert predict_dice(first, dice_features(0.9, None, 0.0)) == pytest.approx(first["dice"], abs=0.02)


def test_entries_of_old_packages():
    assert predict_dice([0.1, 0.8], [0.5, NAN, NAN]) == pytest.approx(0.5)
    assert predict_dice(None, [0.7, NAN, NAN]) is None


def test_intervals_cover_95_percent_of_new_cases():
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(60):
        reference = rng.normal(1000, 100, (80, 2))
        volume = reference + rng.normal(0, [60, 20], (80, 2))
        half = np.full((80, 2), 10.0)
        errors = fit_relative_errors(volume[:40], half[:40], reference[:40])
        assert errors[0] > 2 * errors[1]
        shares.append(covered(volume[40:], half[40:], reference[40:], errors).mean(0))
    assert (np.mean(shares, 0) > 0.93).all() and (np.mean(shares, 0) < 0.98).all()


@pytest.mark.parametrize("cases", [3, 6, 12])
def test_intervals_from_few_cases_cover_95_percent_too(cases):
    rng = np.random.default_rng(cases)
    shares = []
    for _ in range(300):
        reference = rng.normal(1000, 50, (cases + 20, 2))
        volume = reference * (1 + rng.normal(0, [0.06, 0.02], reference.shape))
        errors = fit_relative_errors(volume[:cases], 0 * volume[:cases], reference[:cases])
        shares.append(covered(volume[cases:], 0 * volume[cases:], reference[cases:], errors).mean(0))
    assert (np.mean(shares, 0) > 0.92).all() and (np.mean(shares, 0) < 0.98).all()


@pytest.mark.parametrize("cases", [5, 20, 40])
@pytest.mark.parametrize("left", [0.0, 0.001, 0.12])
def test_one_missed_structure_does_not_widen_all_intervals(cases, left):
    rng = np.random.default_rng(0)
    reference = rng.normal(1000, 100, (cases, 2))
    volume = reference * (1 + rng.normal(0, [0.05, 0.02], (cases, 2)))
    half = np.full((cases, 2), 1.0)
    calm = fit_relative_errors(volume, half, reference)
    volume[1, 0] = left * reference[1, 0]
    moved = fit_relative_errors(volume, half, reference)
    assert (moved > 0).all() and (moved < 3.5 * calm).all()


def test_absent_structures_have_no_interval_to_judge():
    volume = np.array([[1.0, NAN], [2.0, NAN], [3.0, NAN]])
    errors = fit_relative_errors(volume, np.zeros((3, 2)), 1.1 * volume)
    assert errors[0] == pytest.approx(0.1 * 3.1824, rel=1e-4) and errors[1] == 0  # Student's t with 3 cases
    assert np.isnan(covered(volume, np.zeros((3, 2)), volume, errors)[:, 1]).all()


def test_folds_hold_each_case_out_once():
    parts = list(folds(7, 3))
    assert sorted(np.concatenate([out for _, out in parts])) == list(range(7))
    assert all(not set(fit) & set(out) and len(fit) + len(out) == 7 for fit, out in parts)
    assert list(folds(2)) == []


def overconfident(cases, seed=0):
    """Opinions three times as sure as they should be."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(cases):
        logits = rng.normal(0, 1, (3, 3000))
        true = np.array([rng.choice(3, p=p) for p in (np.exp(logits) / np.exp(logits).sum(0)).T])
        sure = np.exp(3 * logits)
        made.append(Voxels((sure / sure.sum(0))[None].astype(np.float32), true))
    return made


def test_scaling_mends_overconfidence():
    cases = overconfident(4)
    fitted = fit_scaling(cases)
    before = reliability(cases, {"temperature": 1.0, "power": 1.0, "label_scale": [1.0] * 3}).ece
    assert before > 0.15 and reliability(overconfident(2, seed=1), fitted).ece < 0.02
    assert cross_validated_ece([[case] for case in cases]) < 0.02
    assert fitted["temperature"] ** (1 / fitted["power"]) == pytest.approx(3, rel=0.15)


def test_collector_keeps_voxels_near_structures_only():
    reference = np.zeros((40, 8, 8), np.uint8)
    reference[:3] = 2
    collector = Collector(reference)
    told = np.zeros((3, 40, 8, 8), np.float32)
    told[0], told[1] = np.arange(40)[:, None, None], 7
    for _ in range(2):
        collector(told, reference)
    kept = collector.voxels()
    assert kept.probability.shape == (2, 3, 13 * 64)
    assert kept.probability[0, 0].max() == 12  # 10 voxels from the last one of the structure
    np.testing.assert_array_equal(kept.label, np.where(kept.probability[0, 0] < 3, 2, 0))
    assert Collector(np.zeros((4, 4, 4), np.uint8)).voxels() is None
