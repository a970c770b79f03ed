"""A multi-class MedSegDiff, in 3D and 2D, whose image is encoded once."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from monai.networks.blocks import Convolution, ResidualUnit
from monai.networks.layers.factories import Conv, Norm
from monai.networks.utils import pixelshuffle, pixelunshuffle
from torch import Tensor, nn
from torch.nn import functional as F

from .spectral import SpectralFilter

LAST_STEP = 999  # the noisiest training step
_ACT = ("leakyrelu", {"negative_slope": 0.01, "inplace": True})


class Condition(NamedTuple):
    """What the encoder knows of an image; made once a case, used by every step of every sample.

    anchor: (B, L, *spatial) logits of the first opinion.
    half, quarter: image features (B, width, *spatial / 2) and (B, 2 width, *spatial / 4), fitted to the denoiser.
    half_response, quarter_response: (B, ...) what the denoiser's spectral filters do at these sizes (see
      SpectralFilter).
    """

    anchor: Tensor
    half: Tensor
    quarter: Tensor
    half_response: Tensor
    quarter_response: Tensor


class MedSegDiff3D(nn.Module):
    """Segmentation-conditioned diffusion with a heavy encoder that runs once and a light denoiser that runs every step.

    encode: image (B, in_channels, *spatial), sizes divisible by 8 -> Condition.
    denoise: x_t (B, L, *spatial) the noisy one-hot mask scaled to [-1, 1], t (B,) training steps in [0, 999], condition
      -> logits (B, L, *spatial) of the clean mask; x0 = 2 softmax(logits) - 1.
    channels, width, detail: of the encoder, the denoiser and the full-resolution path.  spatial_dims: 3 (volumes) or 2.
    Raises ValueError for other spatial_dims.

    From MedSegDiff V1 (Wu et al., MIDL 2024, arXiv:2211.00611): a mask diffused under the condition of image features
    that meet the features of the noisy mask at every scale by multiplication; the FF-Parser in that meeting place.
    From MedSegDiff-V2 (Wu et al., AAAI 2024, arXiv:2301.11798): an anchor, a first segmentation supervised by the mask,
    that conditions the diffusion. From SegDiff (Amit et al., 2021, arXiv:2112.00390): the image has an encoder of its
    own. The encoder is a residual U-Net of MONAI's blocks (Kerfoot et al., 2018).
    Ours: volumes, several labels; the network predicts x0 as the anchor's logits plus a correction; the denoiser sees
    no image and works at half resolution on a space-to-depth rearrangement (Shi et al., 2016, arXiv:1609.05158) of the
    full-resolution mask, so that a step costs a small share of the encoder and no detail of the mask is lost.
    """

    diffusion = True
    prediction = "mask"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: int = 24,
        width: int = 32,
        detail: int = 8,
        spatial_dims: int = 3,
    ):
        super().__init__()
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims is {spatial_dims}, not 2 or 3")
        self.out_channels, self.spatial_dims = out_channels, spatial_dims
        self.encoder = _Encoder(spatial_dims, in_channels, out_channels, channels, detail, width)
        self.denoiser = _Denoiser(spatial_dims, out_channels, width)

    def encode(self, image: Tensor) -> Condition:
        anchor, half, quarter = self.encoder(image)
        responses = self.denoiser.fuse_half.response(half), self.denoiser.fuse_quarter.response(quarter)
        return Condition(anchor, half, quarter, *responses)

    def denoise(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return condition.anchor + self.denoiser(x_t, t, condition)


class _Encoder(nn.Module):
    """Residual U-Net that gives its decoder features away, with a full-resolution detail path for the anchor."""

    def __init__(self, dims: int, cin: int, labels: int, c: int, detail: int, width: int):
        super().__init__()

        def unit(cin: int, cout: int, stride: int = 1, subunits: int = 2) -> ResidualUnit:
            return ResidualUnit(dims, cin, cout, strides=stride, subunits=subunits, norm="instance", act=_ACT)

        def up(cin: int, cout: int) -> Convolution:
            return Convolution(dims, cin, cout, strides=2, is_transposed=True, norm="instance", act=_ACT)

        self.detail = Convolution(dims, cin, detail, norm="instance", act=_ACT)
        self.down1 = unit(cin, c, 2)
        self.down2 = unit(c, 2 * c, 2)
        self.down3 = unit(2 * c, 4 * c, 2)
        self.bottom = unit(4 * c, 8 * c)
        self.up3, self.merge3 = up(12 * c, 2 * c), unit(2 * c, 2 * c, subunits=1)
        self.up2, self.merge2 = up(4 * c, c), unit(c, c, subunits=1)
        self.up1 = up(2 * c, detail)
        self.refine = unit(2 * detail, detail, subunits=1)
        conv = Conv["conv", dims]
        self.anchor = conv(detail, labels, 1)
        self.to_quarter = conv(2 * c, 2 * width, 1)
        self.to_half = conv(2 * c, width, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Anchor, half and quarter of the Condition."""
        e1 = self.down1(image)
        e2 = self.down2(e1)
        e3 = self.down3(e2)
        d3 = self.merge3(self.up3(torch.cat([e3, self.bottom(e3)], 1)))
        d2 = self.merge2(self.up2(torch.cat([e2, d3], 1)))
        top = torch.cat([e1, d2], 1)
        fine = self.refine(torch.cat([self.detail(image), self.up1(top)], 1))
        return self.anchor(fine), self.to_half(top), self.to_quarter(d3)


class _Denoiser(nn.Module):
    """Two-scale network on the rearranged mask; each scale meets the image's features of that scale."""

    def __init__(self, dims: int, labels: int, width: int, embedding: int = 64):
        super().__init__()
        conv, rearranged = Conv["conv", dims], 2**dims * labels
        self.dims, self.embedding = dims, embedding
        self.time = nn.Sequential(nn.Linear(embedding, 4 * width), nn.SiLU(), nn.Linear(4 * width, 6 * width))
        self.enter = conv(rearranged, width, 1)
        self.fuse_half = _Fusion(dims, width)
        self.down = conv(width, 2 * width, 3, stride=2, padding=1)
        self.fuse_quarter = _Fusion(dims, 2 * width)
        self.up = Conv["convtrans", dims](2 * width, width, 2, stride=2)
        norm = Norm["instance", dims](width, affine=True)
        self.last = nn.Sequential(norm, nn.SiLU(), conv(width, width, 3, padding=1))
        self.leave = nn.Sequential(nn.SiLU(), conv(width, rearranged, 1))
        nn.init.zeros_(self.leave[1].weight)
        nn.init.zeros_(self.leave[1].bias)
        self.width = width

    def forward(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        shift_half, scale_half, rest = self.time(time_embedding(t / LAST_STEP, self.embedding)).split(
            [self.width, self.width, 4 * self.width], 1
        )
        shift_quarter, scale_quarter = rest.chunk(2, 1)
        rearranged = pixelunshuffle(x_t, self.dims, 2)
        half = self.fuse_half(self.enter(rearranged), condition.half, condition.half_response, shift_half, scale_half)
        quarter = self.fuse_quarter(
            self.down(half), condition.quarter, condition.quarter_response, shift_quarter, scale_quarter
        )
        half = half + self.up(quarter)
        return pixelshuffle(self.leave(half + self.last(half)), self.dims, 2)


class _Fusion(nn.Module):
    """Mask features, filtered in Fourier space, gate the image features of their scale; then a residual convolution."""

    def __init__(self, dims: int, width: int):
        super().__init__()
        self.filter = SpectralFilter(width, spatial_dims=dims)
        self.gate = Conv["conv", dims](width, width, 1)
        self.norm = Norm["instance", dims](width)
        self.conv = Conv["conv", dims](width, width, 3, padding=1)

    def response(self, image: Tensor) -> Tensor:
        """Of the spectral filter to features of that size and batch."""
        return self.filter.response(image.shape[2:]).expand(len(image), *image.shape[1:-1], -1)

    def forward(self, mask: Tensor, image: Tensor, response: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        mask = mask + image * self.gate(self.filter(mask, response))
        scale, shift = (x.reshape(*x.shape, *[1] * (mask.ndim - 2)) for x in (scale, shift))
        x = self.norm(mask + image) * (1 + scale) + shift
        return mask + self.conv(F.silu(x))


def time_embedding(t: Tensor, size: int) -> Tensor:
    """Sinusoidal embedding (B, size) of t (B,) in [0, 1] (Vaswani et al., 2017; Ho et al., 2020)."""
    half = size // 2
    frequency = torch.exp(-math.log(10000) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
    angle = 1000 * t.float()[:, None] * frequency[None]
    return torch.cat([angle.cos(), angle.sin()], 1)
