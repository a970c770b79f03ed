"""Temperature scaling of label probabilities: what it changes, and what it must not."""

import numpy as np
import pytest
import torch
from medsegdiff import segment
from medsegdiff.errors import JobError
from medsegdiff.image import Image
from medsegdiff.inference.model import load_model
from medsegdiff.uncertainty.scaling import Scaling
from tiny_models import write_tiny_model


def probabilities(seed=0, spread=3.0):
    logits = spread * torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(seed))
    return logits, torch.softmax(logits, 1)


def test_a_temperature_alone_divides_the_logits():
    logits, probability = probabilities(spread=1.5)
    scaled = Scaling({"temperature": 2.0}, 3)(probability)
    torch.testing.assert_close(scaled, torch.softmax(logits / 2, 1), atol=1e-5, rtol=1e-4)


def test_nothing_asked_changes_nothing():
    _, probability = probabilities()
    assert Scaling({}, 3)(probability) is probability


def test_the_likeliest_label_stays_and_the_sum_is_one():
    _, probability = probabilities(1)
    scaled = Scaling({"temperature": 4.0, "power": 1.5, "label_scale": [0.8, 1.3, 1.0]}, 3)(probability)
    assert torch.equal(scaled.argmax(1), probability.argmax(1))
    torch.testing.assert_close(scaled.sum(1), torch.ones(2, 50))


def test_a_power_softens_doubt_more_than_certainty():
    probability = torch.tensor([[0.8, 0.2], [0.9999, 0.0001]])
    plain = Scaling({"temperature": 2.0}, 2)(probability)
    power = Scaling({"temperature": 4.0, "power": 1.5}, 2)(probability)
    assert power[0, 0] < plain[0, 0] and power[1, 0] > plain[1, 0]


def test_labels_have_their_own_temperature():
    probability = torch.tensor([[0.8, 0.2], [0.2, 0.8]])
    scaled = Scaling({"temperature": 2.0, "label_scale": [1.0, 2.0]}, 2)(probability)
    assert scaled[0, 0] == pytest.approx(2 / 3) and scaled[1, 1] == pytest.approx(1 / (1 + 4**-0.25))


def test_what_is_no_number_does_not_become_sure_background():
    _, probability = probabilities()
    probability[:, :, 7] = float("nan")
    scaled = Scaling({"temperature": 2.0}, 3)(probability)
    assert scaled[:, :, 7].isnan().all() and scaled.isnan().sum() == 2 * 3


@pytest.mark.parametrize("calibration", [{}, {"temperature": 5.0}], ids=["plain", "scaled"])
@pytest.mark.parametrize("network", ["unet", "medsegdiff_3d", "window"])
def test_a_network_that_answers_no_numbers_is_a_failed_job(tmp_path, network, calibration):
    entries = {"calibration": calibration}
    if network == "window":
        network, entries["preprocessing"] = "unet", {"spacing": [1, 1, 1], "window": [16, 16, 16]}
    model = load_model(write_tiny_model(tmp_path / "tiny", network, **entries), "cpu")
    list(model.network.parameters())[-1].flatten()[0] = float("nan")
    image = Image(np.random.default_rng(0).normal(size=(1, 16, 16, 16)).astype(np.float32), np.eye(4))
    with pytest.raises(JobError, match="'tiny' answers with numbers that are not finite; try precision fp32"):
        segment(model, image, samples=1, tta=False)


@pytest.mark.parametrize("network", ["unet", "medsegdiff_3d"])
def test_labels_and_samples_do_not_depend_on_the_temperature(tmp_path, network):
    image = Image(np.random.default_rng(0).normal(size=(1, 16, 16, 16)).astype(np.float32), np.eye(4))
    results = []
    for name, calibration in (("plain", {}), ("soft", {"temperature": 5.0, "power": 1.2})):
        package = write_tiny_model(tmp_path / name, network, calibration=calibration)
        results.append(segment(load_model(package, "cpu"), image, samples=1, tta=False))
    plain, soft = results
    np.testing.assert_array_equal(plain.packed_samples, soft.packed_samples)
    np.testing.assert_array_equal(plain.labelmap, soft.labelmap)
    assert soft.uncertainty("entropy").mean() > 1.05 * plain.uncertainty("entropy").mean()
