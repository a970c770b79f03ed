"""What a training crop goes through before the network sees it (MONAI transforms)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from monai import transforms as T
from monai.data import set_track_meta


def training_transforms(
    patch: tuple[int, int, int], optional: Sequence[int] = (), modality_dropout: float = 0.0
) -> T.Compose:  # fmt: skip
    """Random crop to `patch`, mirror, rotation, scale, changes of contrast, sharpness, resolution and noise, and
    channels left out.

    Input: {"image": (C, i, j, k), "label": (R, i, j, k)} float32 arrays, image z-scored. Output: tensors of `patch`,
    the label (1, ...) that of a random rater, another one each time; of a flat patch (i, j, 1), a slice for 2D
    networks, tensors (C, i, j).
    optional: numbers of the channels that each crop lacks with the probability `modality_dropout`, see ModalityDropout.
    The intensity changes are wide on purpose: other scanners, field strengths and averaged templates must not surprise
    the network (the augmentation families are nnU-Net's, Isensee et al., 2021).
    """
    set_track_meta(False)
    both, angle = ["image", "label"], math.radians(18)
    flat = patch[2] == 1
    axes = 2 if flat else 3
    elastic = {"prob": 0.1, "mode": ["bilinear", "nearest"], "padding_mode": "zeros"}
    return T.Compose(
        [
            RandomRater(),
            T.ToTensord(both),
            T.SpatialPadd(both, patch),
            T.RandSpatialCropd(both, patch, random_size=False),
            *([T.SqueezeDimd(both, dim=-1)] if flat else []),
            T.RandFlipd(both, prob=0.5, spatial_axis=0),
            T.RandAffined(
                both, prob=0.3, rotate_range=[angle] * (1 if flat else 3), scale_range=[0.2] * axes,
                shear_range=[0.05] * axes, translate_range=[5] * axes, mode=["bilinear", "nearest"],
                padding_mode="zeros",
            ),
            T.Rand2DElasticd(both, spacing=(24, 24), magnitude_range=(1, 4), **elastic)
            if flat
            else T.Rand3DElasticd(both, sigma_range=(4, 6), magnitude_range=(60, 200), **elastic),
            T.RandBiasFieldd("image", prob=0.15, degree=2, coeff_range=(-0.2, 0.2)),
            T.RandAdjustContrastd("image", prob=0.3, gamma=(0.6, 1.7), retain_stats=True),
            T.RandAdjustContrastd("image", prob=0.15, gamma=(0.6, 1.7), retain_stats=True, invert_image=True),
            T.RandGaussianSmoothd("image", prob=0.25, sigma_x=(0.3, 1.2), sigma_y=(0.3, 1.2), sigma_z=(0.3, 1.2)),
            T.RandSimulateLowResolutiond(
                "image", prob=0.15, zoom_range=(0.5, 1.0), upsample_mode="bilinear" if flat else "trilinear"
            ),
            T.RandGaussianNoised("image", prob=0.3, std=0.2),
            T.RandScaleIntensityd("image", prob=0.5, factors=0.3),
            T.RandShiftIntensityd("image", prob=0.5, offsets=0.3),
            ModalityDropout(optional, modality_dropout),
        ]
    )  # fmt: skip


class RandomRater(T.Randomizable, T.Transform):
    """The label of one of the raters, each as likely: {"label": (R, ...)} -> {"label": (1, ...)}; other entries
    stay."""

    def __call__(self, pair: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        rater = self.R.randint(len(pair["label"]))
        return {**pair, "label": pair["label"][rater : rater + 1]}


class ModalityDropout(T.Randomizable, T.Transform):
    """Channels of "image" (C, ...) as those that a case lacks: 0. Each of `optional`, numbers, has the same
    probability, but never does a crop lack all (after Neverova et al., "ModDrop", 2016, arXiv:1501.00102)."""

    def __init__(self, optional: Sequence[int], probability: float):
        self._optional, self._probability = list(optional), probability

    def __call__(self, pair: dict) -> dict:
        lacking = [number for number in self._optional if self.R.random_sample() < self._probability]
        if len(lacking) == len(pair["image"]):
            lacking.pop(self.R.randint(len(lacking)))
        image = pair["image"].clone()
        image[lacking] = 0
        return {**pair, "image": image}
