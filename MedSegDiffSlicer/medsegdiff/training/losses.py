"""The loss of each kind of network on one batch."""

from __future__ import annotations

import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn
from torch.nn import functional as F

from ..diffusion.process import process_for
from ..diffusion.samplers import between
from ..diffusion.schedule import Schedule
from ..networks.nested import each
from ..networks.supervision import Supervised

CLICK_WEIGHT = 0.5  # of the cross-entropy around clicks
OPINION_WEIGHT = 10.0  # of MedSegDiff's direct opinion beside the noise (released code)


class SegmentationLoss:
    """Dice + cross-entropy on logits; for diffusion models on the anchor, where there is one, and the diffusion's own
    loss; for networks that are supervised in several places the weighted sum (networks.supervision); for networks with
    a latent vector the evidence lower bound (Kohl et al., 2018, arXiv:1806.05034), in nats a voxel.

    Prediction "mask": Dice + cross-entropy of the clean mask. Prediction "noise": mean squared error of the noise, the
    variational bound of a learned variance (Nichol & Dhariwal, 2021, arXiv:2102.09672) and, without an anchor, ten
    times the mean squared error of the direct opinion (MedSegDiff's released code).
    noise_draws: noisy masks an image, so that the encoder's work serves several denoising tasks.
    dice: False leaves the Dice term out: cross-entropy alone is least where the probability is the raters' share, and
      with "mask" where samples are distributed as the raters' masks are; Dice wants one mask.
    """

    def __init__(self, schedule: Schedule, noise_draws: int, dice: bool = True):
        self.schedule = schedule
        self.noise_draws = noise_draws
        self.mask_loss = DiceCELoss(
            to_onehot_y=True, softmax=True, include_background=False, batch=True, lambda_dice=1.0 if dice else 0.0
        )

    def __call__(self, network: nn.Module, image: Tensor, label: Tensor, focus: Tensor | None = None) -> Tensor:
        """Scalar loss; image (B, C, ...), label (B, 1, ...) with label values as floats.

        focus: (B, 1, ...) from 0 on, where the cross-entropy of masks counts once more (around clicks), its mean with
          these weights.
        """
        if getattr(network, "latent", 0):
            logits, divergence = network.learn(image, label)
            return F.cross_entropy(logits.float(), label[:, 0].long()) + divergence.mean() / label[0].numel()
        if not network.diffusion:
            said = (
                network.supervised(image) if hasattr(network, "supervised") else Supervised((network(image),), (1.0,))
            )
            return self._of_opinions(said, label, focus)
        condition = network.encode(image)
        anchor = getattr(condition, "anchor", None)
        loss = 0.0 if anchor is None else self._of_mask(anchor, label, focus)
        n = self.noise_draws
        many = each(lambda x: x.repeat_interleave(n, 0), condition)
        labels = label.repeat_interleave(n, 0)
        onehot = F.one_hot(labels[:, 0].long(), network.out_channels).movedim(-1, 1).to(image.dtype)
        state = process_for(network.prediction, network.out_channels).state_of(onehot)
        t = torch.randint(len(self.schedule.alpha_bar), (len(labels),), device=image.device)
        noise = torch.randn_like(state)
        noisy = self.schedule.add_noise(state, noise, t)
        answer = network.denoise(noisy, t.float(), many)
        if network.prediction == "mask":
            return loss + self._of_mask(answer, labels, None if focus is None else focus.repeat_interleave(n, 0))
        loss = loss + F.mse_loss(answer.noise.float(), noise)
        if answer.mask is not None and anchor is None:
            loss = loss + OPINION_WEIGHT * F.mse_loss(answer.mask.float(), state)
        if answer.variance is not None:
            loss = loss + self._bound(answer, noisy, state, t)
        return loss

    def _of_opinions(self, said: Supervised, label: Tensor, focus: Tensor | None) -> Tensor:
        loss = said.penalty
        for logits, weight in zip(said.logits, said.weights):
            size = logits.shape[2:]
            near = None if focus is None else F.interpolate(focus, size)
            loss = loss + weight * self._of_mask(logits, F.interpolate(label, size), near)
        return loss

    def _of_mask(self, logits: Tensor, label: Tensor, focus: Tensor | None) -> Tensor:
        loss = self.mask_loss(logits.float(), label)
        if focus is None or not focus.any():
            return loss
        wrong = F.cross_entropy(logits.float(), label[:, 0].long(), reduction="none")
        return loss + CLICK_WEIGHT * (wrong * focus[:, 0]).sum() / focus.sum()

    def _bound(self, answer, noisy: Tensor, state: Tensor, t: Tensor) -> Tensor:
        """Kullback-Leibler divergence, in bits, of the step's true posterior from the predicted one; only the learned
        variance gets a gradient from it."""
        share = self.schedule.alpha_bar.to(state.device)
        shape = (-1, *[1] * (state.ndim - 1))
        now, then = share[t.clamp(min=1)].reshape(shape), share[(t - 1).clamp(min=0)].reshape(shape)
        low, high = torch.log((1 - then) / (1 - now) * (1 - now / then)), torch.log(1 - now / then)
        predicted = (noisy - (1 - now).sqrt() * answer.noise.detach()) / now.sqrt()
        apart = then.sqrt() * (1 - now / then) / (1 - now) * (state - predicted)  # of the two posteriors' means
        chosen = between(answer.variance.float(), low, high)
        nats = 0.5 * (chosen - low + torch.exp(low - chosen) + apart**2 * torch.exp(-chosen) - 1)
        nats = nats * (t > 0).reshape(shape)  # the last step is not drawn from
        return (nats.mean() / torch.log(torch.tensor(2.0))).to(answer.noise.dtype)
