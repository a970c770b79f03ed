"""Test-time variants: changed copies of the prepared image, whose answers are brought back to the image as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from torch import Tensor

from ..errors import RequestError
from .preprocessing import Prepared, Preprocessing
from .tiling import Box

DEGREES = 7.0  # about as far as heads lie turned; the shipped models saw up to 18 in training
GAMMAS = (0.8, 1.25)

# guide(probability, t, window): label probabilities (S, L, i, j, k) of the clean mask predicted at training step t for
# a box of the prepared image -> the probabilities to go on with. One that has `moved`, which takes a function from
# places of the image to where they are moved, can follow rotations, too (see guidance.ClickGuide).
Guide = Callable[[Tensor, int, Box], Tensor]
TileGuide = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True)
class Variant:
    """The image as it is. Others change it, keeping its shape, and undo that in what a network says of it."""

    name: str = "as it is"

    @property
    def flips(self) -> int | None:
        """The axis of (i, j, k) whose order it reverses."""
        return None

    @property
    def turns(self) -> tuple[int, ...]:
        """Axes of (i, j, k) along which rows do not stay together."""
        return ()

    def moved(self, maps: np.ndarray) -> np.ndarray:
        """(N, i, j, k) float32, whatever belongs to places of the image, moved to where these are in the changed
        one."""
        return maps

    def of(self, image: np.ndarray) -> np.ndarray:
        """(C, i, j, k) float32, the image changed."""
        return self.moved(image)

    def undo(self, probability: np.ndarray) -> np.ndarray:
        """(L, i, j, k) of the changed image -> of the image as it is."""
        return probability

    def guide(self, guide: Guide, window: Box, shape: tuple[int, int, int]) -> TileGuide:
        """The guide for a box of the changed image: it is asked about the image as it is. shape: of the whole image."""
        return lambda probability, t: guide(probability, t, window)


AS_IT_IS = Variant()


@dataclass(frozen=True)
class Mirrored(Variant):
    """Mirrored along an axis of (i, j, k)."""

    axis: int = 0

    @property
    def flips(self) -> int:
        return self.axis

    def moved(self, maps: np.ndarray) -> np.ndarray:
        return np.flip(maps, 1 + self.axis)

    def undo(self, probability: np.ndarray) -> np.ndarray:
        return np.flip(probability, 1 + self.axis)

    def guide(self, guide: Guide, window: Box, shape: tuple[int, int, int]) -> TileGuide:
        upright, size, own = list(window), shape[self.axis], window[self.axis]
        upright[self.axis] = slice(size - own.stop, size - own.start)
        axis = 2 + self.axis
        return lambda probability, t: guide(probability.flip(axis), t, tuple(upright)).flip(axis)


@dataclass(frozen=True)
class Rotated(Variant):
    """Turned about the middle of the image by some degrees, interpolated linearly; what comes in from outside repeats
    the edge.

    plane: the two axes of (i, j, k) that turn.  spacing: mm along these, or any lengths in their ratio.
    """

    degrees: float = 0.0
    plane: tuple[int, int] = (0, 1)
    spacing: tuple[float, float] = (1.0, 1.0)

    @property
    def turns(self) -> tuple[int, ...]:
        return self.plane

    def moved(self, maps: np.ndarray) -> np.ndarray:
        return self._turn(maps, self.degrees)

    def undo(self, probability: np.ndarray) -> np.ndarray:
        return self._turn(probability.astype(np.float32, copy=False), -self.degrees)

    def guide(self, guide: Guide, window: Box, shape: tuple[int, int, int]) -> TileGuide:
        if not hasattr(guide, "moved"):
            raise RequestError("a guide cannot follow a rotated image: leave out the rotation variants")
        matrix, middle = self._matrix(self.degrees), (np.array(shape) - 1) / 2
        turned = guide.moved(lambda place: tuple(np.linalg.solve(matrix, place - middle) + middle))
        return lambda probability, t: turned(probability, t, window)

    def _matrix(self, degrees: float) -> np.ndarray:
        """(3, 3), a place in the turned image -> in the image, from the middle."""
        (a, b), (da, db), angle = self.plane, self.spacing, np.deg2rad(degrees)
        matrix = np.eye(3)
        matrix[a, a] = matrix[b, b] = np.cos(angle)
        matrix[a, b], matrix[b, a] = np.sin(angle) * db / da, -np.sin(angle) * da / db
        return matrix

    def _turn(self, array: np.ndarray, degrees: float) -> np.ndarray:
        from scipy.ndimage import affine_transform

        matrix = self._matrix(degrees)
        middle = (np.array(array.shape[1:]) - 1) / 2
        out = np.empty(array.shape, np.float32)
        for source, target in zip(array, out):
            affine_transform(source, matrix, middle - matrix @ middle, output=target, order=1, mode="nearest")
        return out


@dataclass(frozen=True)
class Gamma(Variant):
    """Intensities between the least and the greatest raised to a power, a channel at a time; padding stays as it is.

    inside: of (i, j, k), what is no padding.  keep_moments: mean and deviation stay, too (for z-scored images).
    channels: so many of the first ones; what follows are no intensities. None for all.
    """

    gamma: float = 1.0
    inside: tuple[slice, slice, slice] = (slice(None),) * 3
    keep_moments: bool = True
    channels: int | None = None

    def of(self, image: np.ndarray) -> np.ndarray:
        from monai.transforms import AdjustContrast

        adjust = AdjustContrast(self.gamma, retain_stats=self.keep_moments)
        out = image.copy()
        for channel in out[: self.channels]:
            channel[self.inside] = adjust(channel[self.inside])
        return out


def make_variants(
    names: tuple[str, ...], preprocessing: Preprocessing, prepared: Prepared, dims: int
) -> tuple[Variant, ...]:
    """The image as it is, then its variants, kinds in turn: so that the first few differ in kind.

    names: of request.VARIANTS. "mirror": left-right, or along the first axis where slices lie across that. "rotation":
      to both sides in the plane of slices, of volumes in the plane of the finest voxels. "intensity": darker and
      brighter.
    dims: 2 where the network sees slices along the third axis, else 3.
    """
    z_scored = preprocessing.normalization == "zscore"
    kinds = {
        "mirror": lambda: [_mirrored(preprocessing.orientation, dims)],
        "rotation": lambda: _rotated(prepared.spacing, dims),
        "intensity": lambda: [
            Gamma(f"gamma {gamma:g}", gamma, prepared.inside, z_scored, len(prepared.array)) for gamma in GAMMAS
        ],
    }
    turns = zip_longest(*(kinds[name]() for name in names))
    return (AS_IT_IS, *(variant for turn in turns for variant in turn if variant is not None))


def _mirrored(orientation: str | tuple[int, int, int], dims: int) -> Mirrored:
    sideways = next(axis for axis, letter in enumerate(orientation) if letter in ("L", "R", 0))
    return Mirrored("mirrored", sideways if sideways < dims else 0)


def _rotated(spacing: tuple[float, float, float], dims: int) -> list[Rotated]:
    across = 2 if dims == 2 else max((2, 1, 0), key=lambda axis: round(spacing[axis], 3))
    plane = tuple(axis for axis in range(3) if axis != across)
    inside = tuple(spacing[axis] for axis in plane)
    return [Rotated(f"rotated {degrees:+g} degrees", degrees, plane, inside) for degrees in (DEGREES, -DEGREES)]
