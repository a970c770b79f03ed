"""MedSegDiff V1 as its authors released it: loads their checkpoints, and trains."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, cat, nn

from ..errors import RequestError
from .denoised import Denoised
from .released_highway import Highway
from .released_trunk import ReleasedNetwork

BOTTLENECKS = ("deterministic", "reference")


class ConditionV1(NamedTuple):
    """What depends on the image alone.

    image: (B, C, I, J).  first: (B, width, I, J), the highway network's first stage.
    """

    image: Tensor
    first: Tensor


class MedSegDiffV1(ReleasedNetwork):
    """A diffusion U-Net on image and noisy mask, whose features gate a second U-Net on the image through FF-Parsers.

    encode: image (B, in_channels, image_size, image_size) -> ConditionV1; raises RequestError for other sizes, because
      the FF-Parser's maps are bound to one.
    denoise: x_t (B, M, I, J), noised masks in {0, 1}, t (B,) in training steps 0 - 999 -> Denoised, with the highway
      network's mask, which sees x_t.
    highway_width, highway_depth: channels of its first stage, and poolings; None for as many as the trunk halves.
    bottleneck: the released code adds its highway network's deepest features to the trunk's through a 1x1 convolution
      that it draws anew at every call. "deterministic" adds what this is on average, nothing: its weights and biases
      are uniform around 0. "reference" replays the draw from torch's global CPU generator (which the engine seeds), the
      same numbers in order.
    Further arguments: see ReleasedNetwork.

    Wu et al., MedSegDiff: Medical Image Segmentation with Diffusion Probabilistic Model, MIDL 2024, arXiv:2211.00611;
    after github.com/KidsWithTokens/MedSegDiff, commit 60850bf, version "v1".
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 2,
        *,
        image_size: int = 256,
        highway_width: int = 32,
        highway_depth: int | None = None,
        bottleneck: str = "deterministic",
        **options,
    ):
        super().__init__(in_channels, out_channels, image_size=image_size, **options)
        levels = len(self.trunk.widths)
        depth = levels - 1 if highway_depth is None else highway_depth
        if bottleneck not in BOTTLENECKS:
            raise ValueError(f"bottleneck '{bottleneck}' is unknown; use {' or '.join(BOTTLENECKS)}")
        if not 1 <= depth <= levels:
            raise ValueError(f"highway_depth {depth} must be from 1 to {levels}, the trunk's levels")
        if bottleneck == "reference" and depth != levels - 1:
            raise ValueError(f"bottleneck 'reference' needs highway_depth {levels - 1}, the trunk's halvings")
        self.image_size, self.bottleneck = image_size, bottleneck
        self.replayable = bottleneck == "deterministic"
        self.highway = Highway(
            in_channels, self.masks, highway_width, depth, self.trunk.widths[: depth - 1], image_size
        )

    def encode(self, image: Tensor) -> ConditionV1:
        if image.shape[2:] != (self.image_size, self.image_size):
            size = "x".join(map(str, image.shape[2:]))
            raise RequestError(
                f"this MedSegDiff V1 takes images of {self.image_size}x{self.image_size} pixels only, not {size}: its "
                "FF-Parser is bound to that size; give the model's preprocessing that 'size'"
            )
        self._check(image, max(self.trunk.divisor, 2 ** len(self.highway.decoder)))
        return ConditionV1(image, self.highway.first(image))

    def denoise(self, x_t: Tensor, t: Tensor, condition: ConditionV1) -> Denoised:
        features, emb = self.trunk.down(cat([condition.image, x_t], 1), t)
        a_level = self.trunk.num_res_blocks + 1
        met = [features[(n + 1) * a_level] for n in range(len(self.highway.meetings))]
        seen = self.highway(condition.first, met)
        deepest = features[-1]
        if self.bottleneck == "reference":
            drawn = nn.Conv2d(seen.bottom.shape[1], deepest.shape[1], 1).requires_grad_(False).to(deepest.device)
            deepest = deepest + drawn(seen.bottom)
        return self._denoised(self.trunk.up(deepest, features, emb), seen.mask)
