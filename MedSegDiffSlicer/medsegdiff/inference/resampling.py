"""Other voxel sizes over the same extent."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ..image.common_grid import blurred

ANISOTROPIC = 3.0  # times: an axis with voxels so much longer than the others' is not interpolated along by nnU-Net

Shape = tuple[int, int, int]


def resample(
    array: np.ndarray, shape: Shape, linear: bool, smooth: bool, along: tuple[int, float, float] | None = None
) -> np.ndarray:
    """Array (N, ...) with `shape` voxels over the same extent; the array itself where nothing changes.

    along: an axis of which only a part is here: the axis, old voxels a new one, and the place of the first new voxel's
      centre, in old ones from the centre of the first that is here.
    smooth: before taking fewer voxels along an axis, blur it to their size, see common_grid.blurred.
    """
    if array.shape[1:] == tuple(shape) and along is None:
        return array
    import SimpleITK as sitk

    factors = [old / new for old, new in zip(array.shape[1:], shape)]
    origin = [(factor - 1) / 2 for factor in factors]  # the outer edges of both grids coincide
    if along is not None:
        factors[along[0]], origin[along[0]] = along[1:]
    result = np.empty((len(array), *shape), dtype=array.dtype)
    for source, target in zip(array, result):
        source = source.astype(np.float32) if source.dtype == np.float16 else source  # ITK has no half precision
        source = blurred(source, factors) if smooth else source
        image = sitk.GetImageFromArray(np.ascontiguousarray(source.T))
        grid = sitk.ResampleImageFilter()
        grid.SetSize([int(count) for count in shape])
        grid.SetOutputSpacing(factors)
        grid.SetOutputOrigin(origin)
        grid.SetInterpolator(sitk.sitkLinear if linear else sitk.sitkNearestNeighbor)
        grid.UseNearestNeighborExtrapolatorOn()  # a voxel centre on the very edge may round to outside
        target[...] = sitk.GetArrayFromImage(grid.Execute(image)).T
    return result


def skipped_axis(spacing: Sequence[float], wanted: Sequence[float]) -> int | None:
    """The axis along which nnU-Net takes the nearest slice: that of voxels longer than ANISOTROPIC times the shortest,
    before or after; None where there is none, or several are as long."""
    for sizes in (spacing, wanted):
        if max(sizes) / min(sizes) > ANISOTROPIC:
            longest = [axis for axis, size in enumerate(sizes) if max(sizes) / size == 1]
            return longest[0] if len(longest) == 1 else None
    return None


def resample_spline(array: np.ndarray, shape: Shape, skipped: int | None) -> np.ndarray:
    """Array (N, ...) float32 by cubic splines, clipped to the values that were there, as nnU-Net resamples images.

    skipped: axis along which the nearest slice is taken; the others are resampled, and clipped, slice by slice.
    """
    axes = [axis for axis in range(3) if axis != skipped and array.shape[1 + axis] != shape[axis]]
    if axes:
        over = tuple(axis for axis in range(3) if axis != skipped)
        result = np.empty((len(array),
                           *(n if axis == skipped else shape[axis] for axis, n in enumerate(array.shape[1:]))),
                          np.float32)  # fmt: skip
        for source, target in zip(array, result):
            changed = source
            for axis in sorted(axes, key=lambda axis: shape[axis] / array.shape[1 + axis]):  # those that shrink first
                matrix = _spline_matrix(array.shape[1 + axis], shape[axis])
                changed = np.moveaxis(np.tensordot(matrix, changed, (1, axis)), 0, axis)
            np.clip(changed, source.min(over, keepdims=True), source.max(over, keepdims=True), out=target)
        array = result
    return array if skipped is None else nearest_slices(array, shape[skipped], skipped)


def resample_linear(
    array: np.ndarray, shape: Shape, skipped: int | None, along: tuple[int, float, float] | None = None
) -> np.ndarray:
    """Array (N, ...) float32, interpolated linearly; along the skipped axis the nearest slice is taken. As nnU-Net
    resamples logits.  along: see resample, of another axis than the skipped one."""
    if skipped is None:
        return resample(array, shape, linear=True, smooth=False, along=along)
    plane = tuple(n if axis == skipped else shape[axis] for axis, n in enumerate(array.shape[1:]))
    return nearest_slices(resample(array, plane, linear=True, smooth=False, along=along), shape[skipped], skipped)


def nearest_slices(array: np.ndarray, count: int, axis: int) -> np.ndarray:
    """(N, ...) with `count` slices along an axis of the last three."""
    have = array.shape[1 + axis]
    if have == count:
        return array
    return array.take(nearest_places(have, count), 1 + axis)


def nearest_places(have: int, count: int) -> np.ndarray:
    """(count,), which of the `have` slices is the nearest."""
    places = np.floor(have / count * (np.arange(count) + 0.5) - 0.5 + 0.5).astype(int)
    return np.clip(places, 0, have - 1)


@lru_cache(maxsize=8)
def _spline_matrix(have: int, count: int) -> np.ndarray:
    """(count, have) float32: what cubic splines make of `have` values, as scipy.ndimage.zoom does with grid_mode."""
    from scipy.ndimage import zoom

    columns = [zoom(one, count / have, order=3, mode="nearest", grid_mode=True) for one in np.eye(have)]
    return np.stack(columns, 1).astype(np.float32)
