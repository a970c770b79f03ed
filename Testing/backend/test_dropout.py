"""Monte-Carlo dropout: seeded opinions of thinned networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from medsegdiff import load_model, segment
from medsegdiff.errors import RequestError
from medsegdiff.image import Image
from medsegdiff.inference.dropout import SeededDropout, Thinning, has_dropout, with_dropout
from medsegdiff.inference.model import Model
from tiny_models import NETWORKS, write_tiny_model
from torch import nn

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Model:
    folder, arguments = tmp_path_factory.mktemp("dropout") / "plain", {**NETWORKS["unet"], "dropout": 0.3}
    return load_model(write_tiny_model(folder, "unet", arguments).folder, device="cpu")


@pytest.fixture(scope="module")
def image() -> Image:
    return Image(np.random.default_rng(0).normal(100, 20, (1, 16, 24, 16)).astype(np.float32), np.eye(4))


def test_plain_network_gives_as_many_opinions_as_asked_for(plain, image):
    result = segment(plain, image, dropout=True, samples=5)
    assert result.report["samples"] == result.report["network_evaluations"] == 5
    assert len({bits.tobytes() for bits in result.packed_samples}) == 5
    (warning,) = result.report["warnings"]
    assert result.report["models"][0]["dropout"] and "not calibrated" in warning
    assert segment(plain, image, dropout=True).report["samples"] == 8
    assert segment(plain, image).report["samples"] == 1, "the model itself is left as it was"


def test_mean_of_thinned_networks_is_near_the_whole_one(plain, image):
    whole, thinned = segment(plain, image), segment(plain, image, dropout=True, samples=40)
    others = segment(plain, image, dropout=True, samples=1)
    error = np.abs(thinned.probability - whole.probability).mean()
    assert error < 0.7 * np.abs(others.probability - whole.probability).mean()


@pytest.mark.parametrize("options", [{}, {"variants": ("mirror",)}])
def test_same_seed_same_result_whatever_the_batch(plain, image, options):
    asked = {"dropout": True, "samples": 4, **options}
    torch.manual_seed(1)
    first = segment(plain, image, seed=3, **asked, sample_batch=1)
    torch.manual_seed(2)
    again = segment(plain, image, seed=3, **asked, sample_batch=4)
    more = segment(plain, image, seed=3, **asked | {"samples": 6})
    np.testing.assert_array_equal(first.probability, again.probability)
    order = slice(4) if not options else [0, 1, 3, 4]  # variant by variant
    np.testing.assert_array_equal(more.packed_samples[order], first.packed_samples)
    assert (segment(plain, image, seed=4, **asked).probability != first.probability).any()


def test_devices_change_nothing(plain, image):
    two = replace(plain, copies=(plain.on(CPU),))
    one, many = segment(plain, image, dropout=True, samples=5), segment(two, image, dropout=True, samples=5)
    np.testing.assert_array_equal(one.packed_samples, many.packed_samples)


def test_settling_with_dropout(plain, image):
    report = segment(plain, image, dropout=True, samples=60, settle=0.15).report
    assert report["models"][0]["settled"] and 3 <= report["samples"] < 60
    assert report["network_evaluations"] == report["samples"], "none is computed for nothing"


def test_diffusion_model_with_dropout(model, image):
    """A look and steps of its own for each sample, all with the same features missing."""
    thin = replace(model, network=nn.Module.__new__(type(model.network)))
    thin.network.__dict__ = dict(model.network.__dict__)
    thin.network._modules = {**model.network._modules, "encoder": nn.Sequential(nn.Dropout(0.4), model.network.encoder)}
    result = segment(thin, image, dropout=True, samples=3)
    assert result.report["network_evaluations"] == 3 * (1 + 2)
    without = segment(thin, image, samples=3)
    assert without.report["network_evaluations"] == 1 + 3 * 2 and (without.probability != result.probability).any()


def test_networks_without_dropout_are_refused_or_told(model, plain, image):
    with pytest.raises(RequestError, match="dropout takes dropout layers, tiny has none; leave it out"):
        segment(model, image, dropout=True)
    report = segment([plain, model], image, dropout=True, samples=2).report
    assert "tiny has no dropout layers: it is asked without" in report["warnings"]
    assert [told["dropout"] for told in report["models"]] == [True, False]


def test_dropout_of_nothing_is_none(plain):
    assert has_dropout(plain.network) and not has_dropout(nn.Sequential(nn.Conv3d(1, 1, 1), nn.Dropout(0.0)))


def test_weights_are_shared_and_nothing_is_recorded(plain):
    thin = with_dropout(plain, 0)
    ours, theirs = thin.network.state_dict(), plain.network.state_dict()
    assert all(ours[name].data_ptr() == theirs[name].data_ptr() for name in theirs) and ours.keys() == theirs.keys()
    assert not thin.network.replayable and getattr(plain.network, "replayable", True)
    assert thin.on(CPU).network.thinning is not thin.network.thinning
    layers = [x for x in thin.on(CPU).network.modules() if isinstance(x, SeededDropout)]
    assert layers and len({layer._number for layer in layers}) == len(layers)


@pytest.mark.parametrize(("layer", "channels"), [(nn.Dropout(0.25), False), (nn.Dropout3d(0.25), True)])
def test_what_a_layer_drops(layer, channels):
    thinning = Thinning(0)
    drop = SeededDropout(layer, 0, thinning)
    out = drop(torch.ones(2, 64, 4, 4, 4))
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (out > 0).float().mean().item() == pytest.approx(0.75, abs=0.15)
    assert ((out == out[..., :1, :1, :1]).all().item()) == channels
    assert (out[0] == out[1]).all(), "slices of one opinion are seen by one network"
    thinning.sample = 1
    assert (drop(torch.ones(2, 64, 4, 4, 4)) != out).any()
    assert (SeededDropout(layer, 1, Thinning(0))(torch.ones(2, 64, 4, 4, 4)) != out).any()
