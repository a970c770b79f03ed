"""The default version of MedSegDiff's released code ("new"; not the paper's V2): loads its checkpoints, and trains."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, cat
from torch.nn import functional as F

from .denoised import Denoised
from .released_highway import Highway
from .released_trunk import ReleasedNetwork


class ConditionV2Released(NamedTuple):
    """What depends on the image alone: all but the trunk.

    image: (B, C, I, J).  half, quarter: (B, width, I/2, J/2) and (B, 2 width, I/4, J/4), features of the highway
    network's decoder, which the released code calls anchors.  mask: (B, M, I, J) in [0, 1], its segmentation.
    """

    image: Tensor
    half: Tensor
    quarter: Tensor
    mask: Tensor


class MedSegDiffV2Released(ReleasedNetwork):
    """A diffusion U-Net on image and noisy mask, to whose first features those of a U-Net on the image are added.

    encode: image (B, in_channels, I, J), sides divisible by 32 at the default depths -> ConditionV2Released; raises
      RequestError for other sizes.
    denoise: x_t (B, M, I, J), noised masks in {0, 1}, t (B,) in training steps 0 - 999 -> Denoised; its mask is the
      highway network's, the same at every step.
    highway_depth: its poolings, at least 3. Its width is channels / 4, so that its features fit.
    Further arguments: see ReleasedNetwork.

    After github.com/KidsWithTokens/MedSegDiff, commit 60850bf, version "new", which has neither the SS-Former nor the
    uncertain attention of MedSegDiff-V2 (Wu et al., AAAI 2024, arXiv:2301.11798); these are in medsegdiff_v2. As in
    that code, the noise's loss does not train the highway network.
    """

    def __init__(self, in_channels: int, out_channels: int = 2, *, highway_depth: int = 5, **options):
        super().__init__(in_channels, out_channels, **options)
        if highway_depth < 3:
            raise ValueError(f"highway_depth {highway_depth} must be 3 or more: features at two scales are used")
        width = self.trunk.widths[0] // 4
        self.highway = Highway(in_channels, self.masks, width, highway_depth)

    def encode(self, image: Tensor) -> ConditionV2Released:
        self._check(image, max(self.trunk.divisor, 2 ** len(self.highway.decoder)))
        seen = self.highway(self.highway.first(image))
        return ConditionV2Released(image, seen.decoded[-2].detach(), seen.decoded[-3].detach(), seen.mask)

    def denoise(self, x_t: Tensor, t: Tensor, condition: ConditionV2Released) -> Denoised:
        half = F.interpolate(condition.half, scale_factor=2, mode="bilinear", align_corners=False)
        quarter = F.interpolate(condition.quarter, scale_factor=4, mode="bilinear", align_corners=False)
        anchors = cat([half, half, quarter], 1)
        features, emb = self.trunk.down(cat([condition.image, x_t], 1), t, anchors)
        return self._denoised(self.trunk.up(features[-1], features, emb), condition.mask)
