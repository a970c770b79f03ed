"""The steps from an image's own grid to the one a network sees, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .resampling import resample, resample_linear, resample_spline, skipped_axis

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class GridChange:
    """The steps for arrays (N, axes...): transpose, flip, crop, resample, pad; and undone in reverse.

    order: source axis of each oriented axis.  flips: of the oriented axes.  oriented: their voxels.  box: what is kept
    of them.  resampled: voxels of that after resampling.  padding: voxels before and after each axis.
    spacing: of the resampled voxels in mm, before: of the oriented ones, wanted: as the model asks for.
    spline: whether images are resampled as nnU-Net does, else blurred where voxels grow, and linearly.
    """

    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    oriented: tuple[int, int, int]
    box: Box
    resampled: tuple[int, int, int]
    padding: tuple[tuple[int, int], ...]
    spacing: tuple[float, float, float]
    before: tuple[float, float, float]
    wanted: tuple[float, float, float]
    spline: bool = False

    def orient(self, array: np.ndarray) -> np.ndarray:
        """Transposed and flipped, not yet cropped."""
        return self._flip(array.transpose(0, *(axis + 1 for axis in self.order)))

    def resample(self, array: np.ndarray) -> np.ndarray:
        """An oriented, cropped image."""
        if self.spline:
            return resample_spline(array, self.resampled, skipped_axis(self.before, self.wanted))
        return resample(array, self.resampled, linear=True, smooth=True)

    def pad(self, array: np.ndarray) -> np.ndarray:
        """With zeros."""
        padded = np.zeros((len(array), *(sum(ends, n) for n, ends in zip(self.resampled, self.padding))), array.dtype)
        padded[(slice(None), *self.inside)] = array
        return padded

    def unresample(self, array: np.ndarray) -> np.ndarray:
        """Results on the padded grid -> on the oriented, cropped one. Integers take the nearest voxel."""
        array, shape = array[(slice(None), *self.inside)], self.cropped
        if not np.issubdtype(array.dtype, np.floating):
            return resample(array, shape, linear=False, smooth=False)
        skipped = skipped_axis(self.wanted, self.before) if self.spline and shape != self.resampled else None
        return resample_linear(array, shape, skipped)

    def unorient(self, array: np.ndarray) -> np.ndarray:
        """Results on the oriented, cropped grid -> on the image's own; what was cropped away is the first label."""
        if self.cropped != self.oriented:
            whole = np.zeros((len(array), *self.oriented), array.dtype)
            if np.issubdtype(array.dtype, np.floating):
                whole[0] = 1
            whole[(slice(None), *self.box)] = array
            array = whole
        return self._flip(array).transpose(0, *(int(axis) + 1 for axis in np.argsort(self.order)))

    def place(self, index: tuple[float, float, float]) -> tuple[float, float, float]:
        """A voxel of the image -> its place on the padded grid."""
        ordered = (float(index[axis]) for axis in self.order)
        turned = (n - 1 - x if flip else x for x, n, flip in zip(ordered, self.oriented, self.flips))
        cut = (x - part.start for x, part in zip(turned, self.box))
        scaled = ((x + 0.5) * new / old - 0.5 for x, old, new in zip(cut, self.cropped, self.resampled))
        return tuple(x + before for x, (before, _) in zip(scaled, self.padding))

    @property
    def cropped(self) -> tuple[int, int, int]:
        """Voxels of the box."""
        return tuple(part.stop - part.start for part in self.box)

    @property
    def inside(self) -> Box:
        """The part of a padded array's (i, j, k) that is no padding."""
        return tuple(slice(before, before + n) for (before, _), n in zip(self.padding, self.resampled))

    def _flip(self, array: np.ndarray) -> np.ndarray:
        return array[(slice(None), *(slice(None, None, -1 if flip else 1) for flip in self.flips))]
