"""From an image to a network's input and exactly back: orientation, voxel size, intensities, padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import prod
from typing import Any

import numpy as np

from ..errors import RequestError
from ..image import Image
from ..image.orientation import AXES, nearest_axes
from ..uncertainty.painting import paint
from .grid_change import Box, GridChange
from .normalization import Normalization, check_normalization, normalize
from .strips import Strip, restore_strip, unorient_strip

SAME_SPACING = 0.01  # relative; a difference below is not worth blurring the image for
LARGEST_VALUE = 1e37  # of an intensity; float32 holds few beyond
SHADES = 256  # that an image's values should keep as float32
_ROUNDING = 1e-12  # relative; values that differ less are the same
_ANY = (None, None, None)
LARGEST, MOST = 4096, 2**32  # voxels along an axis, and in all; more is a mistaken spacing, not an image
CROPS = (None, "nonzero")
RESAMPLINGS = ("linear", "nnunet")


@dataclass(frozen=True)
class Preprocessing:
    """What a model needs done to its images: plain data from the model package.

    orientation: where the array's axes should point, as three letters; the nearest such orientation is reached by
        swapping and flipping axes only, so oblique images stay unblurred.
        2D models run along the third axis: RAS gives them axial slices, RSA coronal, ASR sagittal ones.
        Or the numbers of the axes as they are stored, in the wanted order, whatever side they point to (nnU-Net).
    spacing: voxel size in mm along those axes, or None to keep the image's (as a whole, or along an axis).
    size: voxels along those axes, whatever their spacing (the image is squeezed or stretched), for networks of a fixed
        size; None leaves it to the spacing (as a whole, or along an axis).
    normalization, of all channels or one for each: "zscore" (mean 0, deviation 1 over all voxels; a constant image
        becomes 0), "zscore-nonzero" (over those that are not 0, of "nnunet" resampling those of the crop's mask; the
        others stay), "percentile" (0.5 % to 99.5 % mapped to 0 to 1 and clipped; a constant image becomes 0), "minmax"
        (mapped to 0 to 1), "8bit" (0 to 255 mapped to 0 to 1), "none", or {"low", "high", "mean", "deviation"}: clipped
        to low and high, less the mean, by the deviation.
    divisible: padded to multiples of this along every axis; one number, or three (1 for the third axis of a 2D model).
    crop: "nonzero" looks at the box of the voxels that are not 0 in all channels alone, holes filled (the mask);
        outside is background.
    resampling: "linear", blurred before where voxels grow; or "nnunet": after the normalization, by cubic splines,
        along an axis of much longer voxels by the nearest slice (nnU-Net's default).
    window: voxels along those axes that the network sees at once (None: all there are); smaller images are padded. The
        windows lie half a window apart or closer, what they say (the logits) is averaged with Gaussian weights, and
        brought to the image's grid, before it becomes probabilities: nnU-Net's way. None: see tiling.
    Raises RequestError for any other value.
    """

    orientation: str | tuple[int, int, int] = "RAS"
    spacing: tuple[float | None, float | None, float | None] | None = (1.0, 1.0, 1.0)
    normalization: Normalization | tuple[Normalization, ...] = "zscore"
    divisible: int | tuple[int, int, int] = 8
    size: tuple[int | None, int | None, int | None] | None = None
    crop: str | None = None
    resampling: str = "linear"
    window: tuple[int | None, int | None, int | None] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.orientation, (list, tuple)):
            object.__setattr__(self, "orientation", tuple(self.orientation))
            good = sorted(self.orientation) == [0, 1, 2]
        else:
            axes = sorted(AXES[letter][0] for letter in self.orientation if letter in AXES)
            good = axes == [0, 1, 2] and len(self.orientation) == 3
        if not good:
            raise RequestError(
                f"orientation {self.orientation!r} must be three letters, one each of L/R, P/A and I/S, or the axes 0, "
                "1, 2"
            )
        several = isinstance(self.normalization, (list, tuple))
        for one in self.normalization if several else [self.normalization]:
            check_normalization(one)
        if several:
            object.__setattr__(self, "normalization", tuple(self.normalization))
        for name, known in (("crop", CROPS), ("resampling", RESAMPLINGS)):
            if getattr(self, name) not in known:
                raise RequestError(f"{name} {getattr(self, name)!r} is unknown; use {', '.join(map(str, known))}")
        for name, kind in (("spacing", float), ("size", int), ("window", int)):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _three(getattr(self, name), name, kind, partial=True))
        if isinstance(self.divisible, (list, tuple)):
            object.__setattr__(self, "divisible", _three(self.divisible, "divisible", int))
        else:
            _three([self.divisible] * 3, "divisible", int)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Preprocessing:
        """From a model package's JSON. Raises RequestError for keys or values it does not know."""
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(data) - set(known))
        if unknown:
            raise RequestError(f"unknown preprocessing {', '.join(unknown)}; known: {', '.join(known)}")
        return cls(**data)

    @property
    def divisors(self) -> tuple[int, int, int]:
        """`divisible`, axis by axis."""
        return self.divisible if isinstance(self.divisible, tuple) else (self.divisible,) * 3

    def prepare(self, image: Image) -> Prepared:
        """The network's input, 0 in channels that are missing, and the way back. Raises RequestError where the voxel
        size makes it absurdly large, the number of channels is another, or float32 does not hold the values."""
        mask = None if self.crop is None else _nonzero(image.array)
        plan = self._plan(image.shape, image.affine, mask)
        array = plan.orient(image.array)[(slice(None), *plan.box)]
        _check_values(array)
        array = array.astype(np.float32)
        mask = None if mask is None else plan.orient(mask[None])[(0, *plan.box)]
        if self.resampling == "nnunet":
            self._normalize(array, mask)
            array = plan.resample(array)
        else:
            array = plan.resample(array)
            self._normalize(array, None)
        array[list(image.missing)] = 0
        return Prepared(plan.pad(array), plan)

    def _normalize(self, array: np.ndarray, mask: np.ndarray | None) -> None:
        several = isinstance(self.normalization, tuple)
        if several and len(self.normalization) != len(array):
            raise RequestError(f"there are {len(self.normalization)} normalizations for {len(array)} channels")
        for channel, how in zip(array, self.normalization if several else (self.normalization,) * len(array)):
            normalize(channel, how, mask)

    def _plan(self, shape: tuple[int, int, int], affine: np.ndarray, mask: np.ndarray | None) -> GridChange:
        if isinstance(self.orientation, str):
            order, flips = nearest_axes(affine, self.orientation)
        else:
            order, flips = self.orientation, (False, False, False)
        oriented = tuple(shape[axis] for axis in order)
        box = _box_of(mask, order, flips) if mask is not None and mask.any() else tuple(slice(0, n) for n in oriented)
        cropped = tuple(part.stop - part.start for part in box)
        spacing = tuple(np.linalg.norm(affine[:3, :3], axis=0)[list(order)].tolist())
        wanted = tuple(have if want is None else want for have, want in zip(spacing, self.spacing or _ANY))
        same = 0 if self.resampling == "nnunet" else SAME_SPACING
        resampled = tuple(
            size or _count(count, have / want, same)
            for count, have, want, size in zip(cropped, spacing, wanted, self.size or _ANY)
        )
        if max(resampled) > LARGEST or prod(resampled) > MOST:
            raise RequestError(
                f"at the model's voxel size the image would have {'x'.join(map(str, resampled))} voxels; "
                "check its spacing"
            )
        total = [
            max(-count % divisor, (least or 0) - count)
            for count, divisor, least in zip(resampled, self.divisors, self.window or _ANY)
        ]
        padding = tuple((extra // 2, extra - extra // 2) for extra in total)
        own = tuple(have * before / after for have, before, after in zip(spacing, cropped, resampled))
        spline = self.resampling == "nnunet"
        return GridChange(order, flips, oriented, box, resampled, padding, own, spacing, wanted, spline)


def _check_values(array: np.ndarray) -> None:
    """Raises RequestError where a channel's values would be infinite, or no longer differ, as float32."""
    if np.can_cast(array.dtype, np.float32):
        return
    for channel in array:
        low, high = float(channel.min()), float(channel.max())
        highest = max(abs(low), abs(high))
        if highest > LARGEST_VALUE:
            what = f" reach {highest:.3g}, more than {LARGEST_VALUE:g}"
        elif high - low > _ROUNDING * highest and SHADES * np.spacing(np.float32(highest)) > high - low:
            what = f", from {low:.12g} to {high:.12g}, differ too little for their size"
        else:
            continue
        raise RequestError(f"the image's values{what}; subtract the smallest from all, or rescale them")


def _count(count: int, factor: float, same: float) -> int:
    """Voxels along an axis whose voxels become smaller by `factor`; as many as before where it is nearly 1."""
    return count if abs(factor - 1) <= same else max(1, int(round(count * factor)))


def _nonzero(array: np.ndarray) -> np.ndarray:
    """(I, J, K) bool, where any channel is not 0, without holes."""
    from scipy.ndimage import binary_fill_holes

    return binary_fill_holes((array != 0).any(0))


def _box_of(mask: np.ndarray, order: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Box:
    """Of a mask's voxels, on the oriented axes."""
    box = []
    for axis, flip in zip(order, flips):
        there = np.flatnonzero(mask.any(tuple(other for other in range(3) if other != axis)))
        start, stop = int(there[0]), int(there[-1]) + 1
        box.append(slice(mask.shape[axis] - stop, mask.shape[axis] - start) if flip else slice(start, stop))
    return tuple(box)


@dataclass(frozen=True)
class Prepared:
    """A network's input, float32 (C, i, j, k), and the way back to the image it came from."""

    array: np.ndarray
    plan: GridChange

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size of the array in mm."""
        return self.plan.spacing

    @property
    def inside(self) -> Box:
        """The part of (i, j, k) that is no padding."""
        return self.plan.inside

    def place(self, index: tuple[float, float, float]) -> tuple[float, float, float]:
        """A voxel (I, J, K) of the image's own grid -> its place (i, j, k) on the prepared one, maybe between
        voxels."""
        return self.plan.place(index)

    def restore(self, array: np.ndarray, logits: bool = False, painted: Sequence[int] = ()) -> np.ndarray:
        """Results (N, i, j, k) on the prepared grid, back on the image's own grid (N, I, J, K).

        Floating-point values, label probabilities, are interpolated linearly, integers (label maps) take the nearest
        voxel; without a change of voxel size both are exact copies. What was cropped away is background, the first
        label.
        logits: the array holds these; they become probabilities on the image's grid.  painted: the labels in the order
        of painting, where they are of regions that overlap (see uncertainty.painting).
        """
        if array.shape[1:] != self.array.shape[1:]:
            raise ValueError(f"results of shape {array.shape[1:]} do not fit the prepared grid {self.array.shape[1:]}")
        array = self.plan.unresample(array)
        return self.plan.unorient(_probabilities(array, painted) if logits else array)

    def restore_strip(
        self, array: np.ndarray | None, labels: int, axis: int, strip: Strip, logits: bool = False,
        painted: Sequence[int] = ()
    ) -> np.ndarray:  # fmt: skip
        """As restore, of a strip alone: (L, I, J, K) of its box, see strips.image_box.

        array: (L, i, j, k) float32 of the strip's source rows; None where it was cropped away.  axis: that of the
          strips.
        """
        if array is not None:
            array = restore_strip(self.plan, array, axis, strip)
            array = _probabilities(array, painted) if logits else array
        return unorient_strip(self.plan, array, labels, axis, strip)


def _probabilities(logits: np.ndarray, painted: Sequence[int]) -> np.ndarray:
    """Softmax over the first axis; of logits of regions after painting them."""
    logits = logits.copy() if painted else logits
    paint(logits, painted)
    shifted = logits - logits.max(0)
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(0)
    return shifted


def _three(values: Any, name: str, kind: type, partial: bool = False) -> tuple:
    """Three positive numbers; partial: None among them means that an axis is left alone."""
    message = f"{name} {values!r} must be three positive {'whole ' if kind is int else ''}numbers"
    try:
        result = tuple(None if partial and value is None else kind(value) for value in values)
    except (TypeError, ValueError) as error:
        raise RequestError(message) from error
    given = [value for value in result if value is not None]
    if len(result) != 3 or not all(0 < value < float("inf") for value in given) or result != tuple(values):
        raise RequestError(message + (" (null: as the image)" if partial else ""))
    return result
