"""The loss of each kind of network on one batch."""

from __future__ import annotations

import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn
from torch.nn import functional as F

from ..diffusion.schedule import TRAIN_STEPS, Schedule, share_of


class SegmentationLoss:
    """Dice + cross-entropy on logits; for diffusion models on the anchor and on the predicted clean mask.

    noise_draws: noisy masks an image, so that the encoder's work serves several denoising tasks.
    """

    def __init__(self, schedule: Schedule, noise_draws: int):
        self.schedule = schedule
        self.noise_draws = noise_draws
        self.dice_ce = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)

    def __call__(self, network: nn.Module, image: Tensor, label: Tensor) -> Tensor:
        """Scalar loss; image (B, C, ...), label (B, 1, ...) with label values as floats."""
        if not network.diffusion:
            return self.dice_ce(network(image).float(), label)
        condition = network.encode(image)
        n = self.noise_draws
        many, labels = type(condition)(*(t.repeat_interleave(n, 0) for t in condition)), label.repeat_interleave(n, 0)
        onehot = F.one_hot(labels[:, 0].long(), network.out_channels).movedim(-1, 1).to(image.dtype)
        t = torch.randint(TRAIN_STEPS, (len(labels),), device=image.device)
        mask = 2 * onehot - 1
        noisy = self.schedule.add_noise(mask, torch.randn_like(mask), t)
        predicted = network.denoise(noisy, share_of(t), many)
        return self.dice_ce(condition.anchor.float(), label) + self.dice_ce(predicted.float(), labels)
