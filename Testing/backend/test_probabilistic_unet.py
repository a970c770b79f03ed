"""The probabilistic U-Net: its latent vector, its divergence, and the samples that the engine draws from it."""

import numpy as np
import pytest
import torch
from medsegdiff import load_model, segment
from medsegdiff.errors import RequestError
from medsegdiff.image import Image
from medsegdiff.networks.nested import for_samples
from medsegdiff.networks.registry import build_network
from medsegdiff.networks.slicewise import Slicewise
from tiny_models import write_tiny_model
from torch.distributions import Normal, kl_divergence

ARGUMENTS = {"in_channels": 1, "out_channels": 3, "channels": [8, 16], "num_res_units": 1, "latent": 4}


def network(**changes):
    """With something to say of z: a fresh prior is a standard normal distribution."""
    torch.manual_seed(0)
    net = build_network("probabilistic_unet", {**ARGUMENTS, **changes}).eval()
    for part in (net.prior, net.posterior):
        torch.nn.init.normal_(part.leave.weight, std=0.1)
    return net


def test_the_prior_starts_standard_normal_and_the_posterior_narrow_enough_to_tell_masks_apart():
    torch.manual_seed(0)
    net, image = build_network("probabilistic_unet", ARGUMENTS).eval(), torch.randn(1, 1, 16, 16)
    condition = net.encode(image)
    assert not condition.mean.any() and not condition.log_deviation.any()
    masks = torch.zeros(2, 3, 16, 16)
    for mask, edge in zip(masks, (4, 10)):
        mask[1, :edge, :edge] = 1
    masks[:, 0] = 1 - masks[:, 1]
    mean, log_deviation = net.posterior(torch.cat([image.expand(2, -1, -1, -1), masks - 0.5], 1))
    assert ((mean[0] - mean[1]).abs() > log_deviation[0].exp()).any()


@pytest.mark.parametrize("size", [(16, 8), (8, 16, 4)])
def test_shapes(size):
    net, image = network(spatial_dims=len(size)), torch.randn(2, 1, *size)
    condition = net.encode(image)
    assert condition.mean.shape == condition.log_deviation.shape == (2, 4)
    assert net(image).shape == net.draw(condition, torch.randn(2, 4)).shape == (2, 3, *size)
    logits, divergence = net.learn(image, torch.randint(3, (2, 1, *size)).float())
    assert logits.shape == (2, 3, *size) and divergence.shape == (2,)


def test_divergence_is_that_of_the_two_normals():
    net, image, label = network(), torch.randn(2, 1, 16, 16), torch.randint(3, (2, 1, 16, 16)).float()
    condition = net.encode(image)
    onehot = torch.nn.functional.one_hot(label[:, 0].long(), 3).movedim(-1, 1).float()
    mean, log_deviation = net.posterior(torch.cat([image, onehot - 0.5], 1))
    prior = Normal(condition.mean, condition.log_deviation.exp())
    expected = kl_divergence(Normal(mean, log_deviation.exp()), prior).sum(1)
    assert (expected > 0).all()
    torch.testing.assert_close(net.learn(image, label)[1], expected, rtol=1e-4, atol=1e-6)


def test_every_parameter_learns():
    net, label = network(), torch.randint(3, (2, 1, 16, 16)).float()
    logits, divergence = net.learn(torch.randn(2, 1, 16, 16), label)
    (logits.square().mean() + divergence.mean()).backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_slices_are_drawn_as_if_alone():
    net, volume, z = network(), torch.randn(1, 1, 16, 16, 3), torch.randn(2, 4)
    whole = Slicewise(net)
    drawn = whole.draw(for_samples(whole.encode(volume), 2), z)
    for k in range(3):
        alone = net.draw(for_samples(net.encode(volume[..., k]), 2), z)
        torch.testing.assert_close(drawn[..., k], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("changes", [{"spatial_dims": 1}, {"channels": [4, 6]}, {"channels": [4]}, {"latent": 0}])
def test_other_arguments_are_refused(changes):
    with pytest.raises(RequestError, match="cannot be built"):
        network(**changes)


@pytest.fixture(scope="module", params=[2, 3])
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "latent"
    return load_model(
        write_tiny_model(folder, "probabilistic_unet", {**ARGUMENTS, "spatial_dims": request.param}).folder
    )


@pytest.fixture(scope="module")
def image() -> Image:
    return Image(np.random.default_rng(0).normal(100, 20, (1, 21, 30, 9)).astype(np.float32), np.eye(4))


def test_engine_draws_as_many_samples_as_asked(model, image):
    result = segment(model, image, samples=5)
    assert result.report["samples"] == 5 and result.report["network_evaluations"] == 1 + 5
    (warning,) = result.report["warnings"]
    assert result.report["steps"] is None and "not calibrated" in warning
    assert all((result.samples[0] != other).any() for other in result.samples[1:])


def test_a_sample_depends_on_seed_and_number_only(model, image):
    base, again = segment(model, image, samples=4, seed=7), segment(model, image, samples=4, seed=7)
    np.testing.assert_array_equal(base.probability, again.probability)
    one_by_one = segment(model, image, samples=6, seed=7, sample_batch=1)
    np.testing.assert_array_equal(base.samples, one_by_one.samples[:4])
    assert (segment(model, image, samples=4, seed=8).samples != base.samples).any()


def test_steps_change_nothing_and_that_is_told(model, image):
    result = segment(model, image, samples=2, steps=7)
    assert "no diffusion model: steps changes nothing" in result.report["warnings"][0]
