"""MedSegDiff-V2 as published, in 2D and 3D, with any number of labels."""

from __future__ import annotations

from typing import NamedTuple

import torch
from monai.networks.blocks import Convolution, ResidualUnit
from monai.networks.nets.diffusion_model_unet import DiffusionUNetResnetBlock, get_timestep_embedding
from monai.networks.utils import pixelshuffle, pixelunshuffle
from torch import Tensor, nn

from .denoised import Denoised
from .ss_former import SSFormer
from .uncertain_attention import UncertainSpatialAttention

_ACT = ("leakyrelu", {"negative_slope": 0.01, "inplace": True})
_GROUPS = 4
_SINUSOIDS = 64
_EMBEDDING = 128


class ConditionV2(NamedTuple):
    """What the condition model knows of an image; made once a case, used by every step of every sample.

    anchor: (B, L, *spatial) logits of the first segmentation.
    attention: (B, 1, *spatial / patch) in (0, 1), the uncertain spatial attention.
    semantic: (B, channels[-1], *token grid), the tokens of the deepest features.
    """

    anchor: Tensor
    attention: Tensor
    semantic: Tensor


class MedSegDiffV2(nn.Module):
    """A U-Net that denoises the mask, told of the image by a second U-Net at its top and at its bottom.

    encode: image (B, in_channels, *spatial), sizes divisible by patch * 2 ** (len(channels) - 1) -> ConditionV2.
    denoise: x_t, t (B,) in training steps 0 - 999, condition; by `prediction`:
      "noise" (the paper's): x_t (B, L - 1, *spatial), the noised foreground masks -> Denoised, whose mask is the
        anchor's foreground probabilities and whose variance is None.
      "mask": x_t (B, L, *spatial), the noised one-hot mask in [-1, 1] -> logits (B, L, *spatial) of the clean one.
    spatial_dims: 2 or 3.  channels: of each level of both U-Nets, multiples of 4; sizes halve from level to level.
    patch: voxels along the edge of the cubes that are rearranged into channels, so that both U-Nets work at a lower
      resolution; 1, the paper's, rearranges nothing.
    heads, depth, max_tokens: attention heads, blocks and bound of the SSFormer; channels[-1] is a multiple of heads.
    Raises ValueError for other arguments.

    MedSegDiff-V2 (Wu et al., AAAI 2024, arXiv:2301.11798), whose code was not published, after the paper's abstract,
    its formulae of the uncertain spatial attention and of the loss, and what others quote of the rest; its full text
    was not at hand. From the paper: the condition model is a U-Net on the image, the diffusion model a U-Net on the
    noisy mask; the anchor condition, that the last decoder features of the one attend over the first encoder features
    of the other (UncertainSpatialAttention); the semantic condition, that their deepest features meet in the SSFormer
    under the step. The noise's squared error trains the diffusion, Dice and cross-entropy the anchor.
    These sources do not say of what the U-Nets consist; here of MONAI's blocks, one a level and side: residual units
    for the image, the residual blocks of its diffusion U-Net, to which the embedded step is added, for the mask. Nor
    how several labels share a diffusion; here each foreground label is a channel. Nor of a learned variance; here
    there is none. The paper supervises the anchor at every alpha-th step of the diffusion, with a weight beta of the
    cross-entropy; training here does so at each step, both weights 1.
    Ours: 3D; the condition computed once; patches (Shi et al., 2016, arXiv:1609.05158), which make 3D affordable on a
    CPU; the prediction "mask", the anchor's logits plus a correction, as in MedSegDiff3D.
    """

    diffusion = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spatial_dims: int = 3,
        channels: tuple[int, ...] = (8, 24, 48, 96),
        patch: int = 1,
        heads: int = 4,
        depth: int = 2,
        max_tokens: int = 512,
        prediction: str = "noise",
    ):
        super().__init__()
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims is {spatial_dims}, not 2 or 3")
        if prediction not in ("noise", "mask"):
            raise ValueError(f"prediction is '{prediction}', not 'noise' or 'mask'")
        if min(in_channels, patch, *channels) < 1 or out_channels < 2 or not channels:
            raise ValueError("in_channels, patch and channels must be at least 1, out_channels at least 2")
        if any(c % _GROUPS for c in channels):
            raise ValueError(f"channels {tuple(channels)} are not all multiples of {_GROUPS}")
        self.in_channels, self.out_channels, self.spatial_dims = in_channels, out_channels, spatial_dims
        self.patch, self.prediction = patch, prediction
        cube, state = patch**spatial_dims, out_channels if prediction == "mask" else out_channels - 1
        self.condition_model = _ConditionModel(spatial_dims, cube * in_channels, channels)
        self.anchor = Convolution(spatial_dims, channels[0], cube * out_channels, kernel_size=1, conv_only=True)
        self.attention = UncertainSpatialAttention(spatial_dims, channels[0])
        self.former = SSFormer(spatial_dims, channels[-1], _EMBEDDING, heads, depth, max_tokens)
        self.diffusion_model = _DiffusionModel(spatial_dims, cube * state, channels)

    def encode(self, image: Tensor) -> ConditionV2:
        decoded, deepest = self.condition_model(pixelunshuffle(image, self.spatial_dims, self.patch))
        anchor = pixelshuffle(self.anchor(decoded), self.spatial_dims, self.patch)
        return ConditionV2(anchor, self.attention(decoded), self.former.embed(deepest))

    def denoise(self, x_t: Tensor, t: Tensor, condition: ConditionV2) -> Denoised | Tensor:
        out = self.diffusion_model(pixelunshuffle(x_t, self.spatial_dims, self.patch), t, condition, self.former)
        out = pixelshuffle(out, self.spatial_dims, self.patch)
        if self.prediction == "mask":
            return condition.anchor + out
        return Denoised(out, None, torch.softmax(condition.anchor.float(), 1)[:, 1:])


def _resize(spatial_dims: int, cin: int, cout: int, up: bool) -> nn.Module:
    """Halves or doubles the size."""
    if up:
        return (nn.ConvTranspose2d, nn.ConvTranspose3d)[spatial_dims - 2](cin, cout, 2, 2)
    return (nn.Conv2d, nn.Conv3d)[spatial_dims - 2](cin, cout, 3, 2, 1)


class _ConditionModel(nn.Module):
    """Residual U-Net on the image -> features of its last and of its deepest layer."""

    def __init__(self, dims: int, cin: int, channels: tuple[int, ...]):
        super().__init__()

        def unit(cin: int, cout: int, stride: int = 1, subunits: int = 2) -> ResidualUnit:
            return ResidualUnit(dims, cin, cout, strides=stride, subunits=subunits, norm="instance", act=_ACT)

        steps = list(zip(channels, channels[1:]))
        self.first = unit(cin, channels[0])
        self.down = nn.ModuleList(unit(high, low, 2) for high, low in steps)
        self.up = nn.ModuleList(_resize(dims, low, high, True) for high, low in reversed(steps))
        self.merge = nn.ModuleList(unit(2 * high, high, subunits=1) for high, _ in reversed(steps))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        levels = [self.first(image)]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = deepest = levels.pop()
        for up, merge in zip(self.up, self.merge):
            x = merge(torch.cat([up(x), levels.pop()], 1))
        return x, deepest


class _DiffusionModel(nn.Module):
    """Residual U-Net on the noisy mask, told the step at every level, the anchor at its top, the image at its end."""

    def __init__(self, dims: int, state: int, channels: tuple[int, ...]):
        super().__init__()

        def block(cin: int, cout: int) -> DiffusionUNetResnetBlock:
            return DiffusionUNetResnetBlock(dims, cin, _EMBEDDING, cout, norm_num_groups=_GROUPS)

        steps = list(zip(channels, channels[1:]))
        self.time = nn.Sequential(nn.Linear(_SINUSOIDS, _EMBEDDING), nn.SiLU(), nn.Linear(_EMBEDDING, _EMBEDDING))
        self.enter = Convolution(dims, state, channels[0], conv_only=True)
        self.first = block(channels[0], channels[0])
        self.down = nn.ModuleList(_resize(dims, high, low, False) for high, low in steps)
        self.encode = nn.ModuleList(block(low, low) for _, low in steps)
        self.up = nn.ModuleList(_resize(dims, low, high, True) for high, low in reversed(steps))
        self.decode = nn.ModuleList(block(2 * high, high) for high, _ in reversed(steps))
        self.leave = nn.Sequential(
            nn.GroupNorm(_GROUPS, channels[0]), nn.SiLU(), Convolution(dims, channels[0], state, conv_only=True)
        )
        for parameter in self.leave[2].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x_t: Tensor, t: Tensor, condition: ConditionV2, former: SSFormer) -> Tensor:
        time = self.time(get_timestep_embedding(t, _SINUSOIDS))
        x = self.enter(x_t)
        x = self.first(x + x * condition.attention, time)
        levels = [x]
        for down, encode in zip(self.down, self.encode):
            levels.append(encode(down(levels[-1]), time))
        x = former(levels.pop(), condition.semantic, time)
        for up, decode in zip(self.up, self.decode):
            x = decode(torch.cat([up(x), levels.pop()], 1), time)
        return self.leave(x)
