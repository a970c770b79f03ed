"""Losses of the kinds of diffusion network."""

from typing import NamedTuple

import torch
from medsegdiff.diffusion.schedule import Schedule, schedule_of
from medsegdiff.networks.denoised import Denoised
from medsegdiff.training.losses import SegmentationLoss
from torch import nn


class Seen(NamedTuple):
    image: torch.Tensor


class Oracle(nn.Module):
    """Knows the mask, which is the image; says the noise exactly, up to `error`."""

    diffusion, prediction, out_channels = True, "noise", 2

    def __init__(self, variance=None, opinion_error=None, error=0.0):
        super().__init__()
        self.variance = None if variance is None else nn.Parameter(torch.tensor(float(variance)))
        self.opinion_error, self.error = opinion_error, error
        self.schedule = Schedule("linear")

    def encode(self, image):
        return Seen(image)

    def denoise(self, x_t, t, condition):
        share = self.schedule.alpha_bar[t.long()].float().reshape(-1, 1, 1, 1)
        noise = (x_t - share.sqrt() * condition.image) / (1 - share).sqrt() + self.error
        variance = None if self.variance is None else self.variance.expand_as(x_t)
        mask = None if self.opinion_error is None else condition.image + self.opinion_error
        return Denoised(noise, variance, mask)


def loss_of(network):
    torch.manual_seed(0)
    label = (torch.rand(8, 1, 16, 16) > 0.5).float()
    return SegmentationLoss(Schedule("linear"), 4)(network, label.clone(), label)


def test_exact_noise_costs_nothing():
    assert float(loss_of(Oracle())) < 1e-6
    assert abs(float(loss_of(Oracle(error=0.5))) - 0.25) < 1e-3


def test_steps_of_a_shorter_schedule_are_its_own():
    torch.manual_seed(0)
    network, label, seen = Oracle(), torch.ones(8, 1, 16, 16), []
    network.schedule, denoise = schedule_of({"schedule": "linear", "training_steps": 50}), network.denoise
    network.denoise = lambda x, t, condition: seen.append(t.max()) or denoise(x, t, condition)
    assert float(SegmentationLoss(network.schedule, 4)(network, label.clone(), label)) < 1e-6
    assert 25 < seen[0] < 50


def test_opinion_weighs_ten_times():
    assert abs(float(loss_of(Oracle(opinion_error=0.1))) - 10 * 0.01) < 1e-4


def test_bound_wants_the_posteriors_variance():
    """With exact noise the posterior's own variance is the best there is, and the gradient points to it."""
    best, wide = Oracle(variance=-1.0), Oracle(variance=0.5)
    with torch.no_grad():
        assert loss_of(best) < 1e-6 < loss_of(wide)
    loss_of(wide).backward()
    assert wide.variance.grad > 0
