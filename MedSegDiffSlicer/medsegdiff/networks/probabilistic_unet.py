"""The probabilistic U-Net: yardstick of the diffusion models where raters differ."""

from __future__ import annotations

from typing import NamedTuple

import torch
from monai.networks.blocks import Convolution, ResidualUnit
from monai.networks.nets import UNet
from torch import Tensor, nn

_NORM = ("group", {"num_groups": 4})
_DEVIATION = 4.0  # bound of the logarithm of a standard deviation, to both sides
_NARROW = -3.0  # what the posterior's starts from, before the bound bends it


class LatentCondition(NamedTuple):
    """What the network knows of an image before it draws; made once a case, used by every sample.

    features: (B, channels[0], *spatial) of the U-Net's last layer.
    mean, log_deviation: (B, latent) of the prior of z, a normal distribution with independent axes.
    """

    features: Tensor
    mean: Tensor
    log_deviation: Tensor


class ProbabilisticUNet(nn.Module):
    """A U-Net whose last layers are told a latent vector z, one for each segmentation to draw.

    encode: image (B, in_channels, *spatial), sizes divisible by 2 ** (len(channels) - 1) -> LatentCondition.
    draw: condition, z (B, latent), standard normal -> logits (B, out_channels, *spatial) of one segmentation each.
    forward: image -> logits at the prior's mean.
    learn: image, label (B, 1, *spatial) of one rater, as floats -> logits drawn from the posterior, and its divergence.
    spatial_dims: 2 or 3.  channels: of each level of U-Net, prior and posterior, multiples of 4; sizes halve from level
      to level.
    latent: axes of z.  Raises ValueError for other arguments.

    Kohl et al., "A Probabilistic U-Net for Segmentation of Ambiguous Images", NeurIPS 2018, arXiv:1806.05034: the prior
    sees the image, the posterior, which only training has, the image and one rater's mask; both are encoders like the
    U-Net's, averaged over the image; z joins the last features at every place, and three convolutions of one voxel
    follow. Here the U-Net and the encoders consist of MONAI's residual units, with 6 latent axes as in the paper. The
    prior starts as a standard normal distribution, the posterior as narrow ones whose means already tell masks apart:
    where it starts as wide as the prior, z is noise at first, the last layers learn to overlook it, and the samples
    stay alike for long.
    """

    diffusion = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spatial_dims: int = 2,
        channels: tuple[int, ...] = (16, 32, 64, 128),
        num_res_units: int = 2,
        latent: int = 6,
    ):
        super().__init__()
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims is {spatial_dims}, not 2 or 3")
        if (
            len(channels) < 2
            or any(c < 1 or c % 4 for c in channels)
            or min(in_channels, latent) < 1
            or out_channels < 2
        ):
            raise ValueError(
                "channels must be two or more multiples of 4, in_channels and latent 1, out_channels 2 at least"
            )
        self.spatial_dims, self.out_channels, self.latent = spatial_dims, out_channels, latent
        width, strides = channels[0], [2] * (len(channels) - 1)
        self.unet = UNet(
            spatial_dims, in_channels, width, channels, strides, num_res_units=num_res_units, norm="instance"
        )
        self.prior = _Gaussian(spatial_dims, in_channels, channels, num_res_units, latent)
        self.posterior = _Gaussian(spatial_dims, in_channels + out_channels, channels, num_res_units, latent)

        def place(cin: int, cout: int, last: bool = False) -> Convolution:
            return Convolution(spatial_dims, cin, cout, kernel_size=1, conv_only=last, norm=None, act="relu")

        self.combine = nn.Sequential(
            place(width + latent, width), place(width, width), place(width, out_channels, True)
        )
        nn.init.normal_(self.posterior.leave.weight[:latent], std=0.1)
        nn.init.constant_(self.posterior.leave.bias[latent:], _NARROW)

    def forward(self, image: Tensor) -> Tensor:
        condition = self.encode(image)
        return self._combined(condition.features, condition.mean)

    def encode(self, image: Tensor) -> LatentCondition:
        return LatentCondition(self.unet(image), *self.prior(image))

    def draw(self, condition: LatentCondition, z: Tensor) -> Tensor:
        return self._combined(condition.features, condition.mean + condition.log_deviation.exp() * z)

    def learn(self, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, out_channels, *spatial), and (B,) the Kullback-Leibler divergence of posterior from prior in
        nats."""
        condition = self.encode(image)
        onehot = nn.functional.one_hot(label[:, 0].long(), self.out_channels).movedim(-1, 1).to(image.dtype)
        mean, log_deviation = self.posterior(torch.cat([image, onehot - 0.5], 1))
        logits = self.draw(LatentCondition(condition.features, mean, log_deviation), torch.randn_like(mean))
        narrower = log_deviation - condition.log_deviation
        apart = (mean - condition.mean) / condition.log_deviation.exp()
        return logits, (0.5 * ((2 * narrower).exp() + apart**2 - 1) - narrower).sum(1)

    def _combined(self, features: Tensor, z: Tensor) -> Tensor:
        everywhere = z.reshape(*z.shape, *[1] * self.spatial_dims).expand(-1, -1, *features.shape[2:])
        return self.combine(torch.cat([features, everywhere.to(features.dtype)], 1))


class _Gaussian(nn.Module):
    """An image's normal distribution of z: (B, cin, *spatial) -> mean and log deviation, both (B, latent)."""

    def __init__(self, dims: int, cin: int, channels: tuple[int, ...], subunits: int, latent: int):
        super().__init__()
        ends = zip((cin, *channels), channels)
        self.levels = nn.Sequential(
            *(
                ResidualUnit(dims, low, high, strides=2 if level else 1, subunits=subunits, norm=_NORM, act="relu")
                for level, (low, high) in enumerate(ends)
            )
        )
        self.norm = nn.LayerNorm(channels[-1])
        self.leave = nn.Linear(channels[-1], 2 * latent)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        pooled = self.norm(self.levels(image).flatten(2).mean(2))
        mean, log_deviation = self.leave(pooled).float().chunk(2, 1)
        return mean, _DEVIATION * torch.tanh(log_deviation / _DEVIATION)
