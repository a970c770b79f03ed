"""From an image to a network's input and exactly back: orientation, voxel size, intensities, padding."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..errors import RequestError
from ..image import Image
from ..image.orientation import AXES, nearest_axes

NORMALIZATIONS = ("zscore", "percentile", "8bit", "none")
PERCENTILES = (0.5, 99.5)
SAME_SPACING = 0.01  # relative; a difference below is not worth blurring the image for
_ANY = (None, None, None)
LARGEST = 4096  # voxels along an axis; more is a mistaken spacing, not an image


@dataclass(frozen=True)
class Preprocessing:
    """What a model needs done to its images: plain data from the model package.

    orientation: where the array's axes should point, as three letters; the nearest such orientation is reached by
        swapping and flipping axes only, so oblique images stay unblurred.
        2D models run along the third axis: RAS gives them axial slices, RSA coronal, ASR sagittal ones.
    spacing: voxel size in mm along those axes, or None to keep the image's (as a whole, or along an axis).
    size: voxels along those axes, whatever their spacing (the image is squeezed or stretched), for networks of a fixed
        size; None leaves it to the spacing (as a whole, or along an axis).
    normalization, a channel at a time: "zscore" (mean 0, deviation 1 over all voxels; a constant image becomes 0),
        "percentile" (0.5 % to 99.5 % mapped to 0 to 1 and clipped; a constant image becomes 0), "8bit" (0 to 255 mapped to
        0 to 1) or "none".
    divisible: padded to multiples of this along every axis; one number, or three (1 for the third axis of a 2D model).
    Raises RequestError for any other value.
    """

    orientation: str = "RAS"
    spacing: tuple[float | None, float | None, float | None] | None = (1.0, 1.0, 1.0)
    normalization: str = "zscore"
    divisible: int | tuple[int, int, int] = 8
    size: tuple[int | None, int | None, int | None] | None = None

    def __post_init__(self) -> None:
        axes = sorted(AXES[letter][0] for letter in self.orientation if letter in AXES)
        if axes != [0, 1, 2] or len(self.orientation) != 3:
            raise RequestError(f"orientation {self.orientation!r} must be three letters, one each of L/R, P/A and I/S")
        if self.normalization not in NORMALIZATIONS:
            raise RequestError(f"normalization {self.normalization!r} is unknown; use {', '.join(NORMALIZATIONS)}")
        if self.spacing is not None:
            object.__setattr__(self, "spacing", _three(self.spacing, "spacing", float, partial=True))
        if self.size is not None:
            object.__setattr__(self, "size", _three(self.size, "size", int, partial=True))
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
        """The network's input and the way back. Raises RequestError where the voxel size makes it absurdly large."""
        plan = self._plan(image.shape, image.affine)
        array = plan.resample(plan.orient(image.array).astype(np.float32))
        for channel in array:
            _normalize(channel, self.normalization)
        return Prepared(plan.pad(array), plan)

    def _plan(self, shape: tuple[int, int, int], affine: np.ndarray) -> _Plan:
        order, flips = nearest_axes(affine, self.orientation)
        oriented = tuple(shape[axis] for axis in order)
        spacing = np.linalg.norm(affine[:3, :3], axis=0)[list(order)]
        resampled = tuple(
            size or (count if want is None else _count(count, have / want))
            for count, have, want, size in zip(oriented, spacing, self.spacing or _ANY, self.size or _ANY)
        )
        if max(resampled) > LARGEST:
            raise RequestError(
                f"at the model's voxel size the image would have {'x'.join(map(str, resampled))} voxels; "
                "check its spacing"
            )
        total = [-count % divisor for count, divisor in zip(resampled, self.divisors)]
        padding = tuple((extra // 2, extra - extra // 2) for extra in total)
        own = tuple(float(have) * before / after for have, before, after in zip(spacing, oriented, resampled))
        return _Plan(order, flips, oriented, resampled, padding, own)


def _count(count: int, factor: float) -> int:
    """Voxels along an axis whose voxels become smaller by `factor`."""
    return count if abs(factor - 1) <= SAME_SPACING else max(1, int(round(count * factor)))


@dataclass(frozen=True)
class Prepared:
    """A network's input, float32 (C, i, j, k), and the way back to the image it came from."""

    array: np.ndarray
    plan: _Plan

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size of the array in mm."""
        return self.plan.spacing

    @property
    def inside(self) -> tuple[slice, slice, slice]:
        """The part of (i, j, k) that is no padding."""
        return self.plan.inside

    def place(self, index: tuple[float, float, float]) -> tuple[float, float, float]:
        """A voxel (I, J, K) of the image's own grid -> its place (i, j, k) on the prepared one, maybe between voxels."""
        return self.plan.place(index)

    def restore(self, array: np.ndarray) -> np.ndarray:
        """Results (N, i, j, k) on the prepared grid, back on the image's own grid (N, I, J, K).

        Floating-point values are interpolated linearly, integers (label maps) take the nearest voxel; without a change
        of voxel size both are exact copies.
        """
        if array.shape[1:] != self.array.shape[1:]:
            raise ValueError(f"results of shape {array.shape[1:]} do not fit the prepared grid {self.array.shape[1:]}")
        return self.plan.undo(array)


@dataclass(frozen=True)
class _Plan:
    """The steps for arrays (N, axes...): transpose, flip, resample, pad; and undone in reverse."""

    order: tuple[int, int, int]  # source axis of each oriented axis
    flips: tuple[bool, bool, bool]  # of the oriented axes
    oriented: tuple[int, int, int]
    resampled: tuple[int, int, int]
    padding: tuple[tuple[int, int], ...]
    spacing: tuple[float, float, float]  # of the resampled voxels, mm

    def orient(self, array: np.ndarray) -> np.ndarray:
        return self._flip(array.transpose(0, *(axis + 1 for axis in self.order)))

    def resample(self, array: np.ndarray) -> np.ndarray:
        return _resample(array, self.resampled, linear=True, smooth=True)

    def pad(self, array: np.ndarray) -> np.ndarray:
        padded = np.zeros((len(array), *(sum(ends, n) for n, ends in zip(self.resampled, self.padding))), array.dtype)
        padded[(slice(None), *self.inside)] = array
        return padded

    def undo(self, array: np.ndarray) -> np.ndarray:
        linear = np.issubdtype(array.dtype, np.floating)
        array = self._flip(_resample(array[(slice(None), *self.inside)], self.oriented, linear, smooth=False))
        return array.transpose(0, *(int(axis) + 1 for axis in np.argsort(self.order)))

    def place(self, index: tuple[float, float, float]) -> tuple[float, float, float]:
        ordered = (float(index[axis]) for axis in self.order)
        turned = (n - 1 - x if flip else x for x, n, flip in zip(ordered, self.oriented, self.flips))
        scaled = ((x + 0.5) * new / old - 0.5 for x, old, new in zip(turned, self.oriented, self.resampled))
        return tuple(x + before for x, (before, _) in zip(scaled, self.padding))

    @property
    def inside(self) -> tuple[slice, slice, slice]:
        """The part of a padded array's (i, j, k) that is no padding."""
        return tuple(slice(before, before + n) for (before, _), n in zip(self.padding, self.resampled))

    def _flip(self, array: np.ndarray) -> np.ndarray:
        return array[(slice(None), *(slice(None, None, -1 if flip else 1) for flip in self.flips))]


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


def _normalize(channel: np.ndarray, how: str) -> None:
    """In place, float32 (i, j, k)."""
    if how == "zscore":
        mean, deviation = channel.mean(dtype=np.float64), channel.std(dtype=np.float64)
        channel -= mean
        channel /= deviation if deviation > 1e-6 * abs(mean) else np.inf
    elif how == "percentile":
        low, high = np.percentile(channel, PERCENTILES)
        channel -= low
        channel /= high - low if high > low else np.inf
        np.clip(channel, 0, 1, out=channel)
    elif how == "8bit":
        channel /= 255


def _resample(array: np.ndarray, shape: tuple[int, int, int], linear: bool, smooth: bool) -> np.ndarray:
    """Array (N, ...) with `shape` voxels over the same extent; the array itself where nothing changes.

    smooth: before taking fewer voxels along an axis, blur it to their size (Gaussians of equal width at half maximum;
    Cardoso et al., "Scale factor point spread function matching", MICCAI 2015).
    """
    if array.shape[1:] == tuple(shape):
        return array
    import SimpleITK as sitk
    from scipy.ndimage import gaussian_filter1d

    factors = [old / new for old, new in zip(array.shape[1:], shape)]
    result = np.empty((len(array), *shape), dtype=array.dtype)
    for source, target in zip(array, result):
        source = source.astype(np.float32) if source.dtype == np.float16 else source  # ITK has no half precision
        for axis, factor in enumerate(factors):
            if smooth and factor > 1:
                sigma = np.sqrt((factor**2 - 1) / (8 * np.log(2)))
                source = gaussian_filter1d(source, sigma, axis=axis, mode="nearest", truncate=3.0)
        image = sitk.GetImageFromArray(np.ascontiguousarray(source.T))
        grid = sitk.ResampleImageFilter()
        grid.SetSize([int(count) for count in shape])
        grid.SetOutputSpacing(factors)
        grid.SetOutputOrigin([(factor - 1) / 2 for factor in factors])  # the outer edges of both grids coincide
        grid.SetInterpolator(sitk.sitkLinear if linear else sitk.sitkNearestNeighbor)
        grid.UseNearestNeighborExtrapolatorOn()  # a voxel centre on the very edge may round to outside
        target[...] = sitk.GetArrayFromImage(grid.Execute(image)).T
    return result
