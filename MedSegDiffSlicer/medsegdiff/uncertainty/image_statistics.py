"""Numbers that describe an image as such, and depend neither on the unit of its intensities nor on what it shows."""

from __future__ import annotations

import numpy as np

LARGEST = 128  # voxels along an axis; of larger images their middle is looked at
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
_MIRROR = {f"p{one}": f"p{other}" for one, other in zip(PERCENTILES, PERCENTILES[::-1])}
_FEWEST = 8  # voxels along an axis for which neighbours say anything
_WIDE = 8  # voxels; the means of cubes of that edge tell the shading
_TINY = 1e-6


def image_statistics(array: np.ndarray) -> dict[str, float]:
    """Numbers of one prepared channel (i, j, k), float, without padding.

    Of intensities with mean 0 and deviation 1: `p1` - `p99` (percentiles), `skewness`, `tails` (logarithm of the
    kurtosis), `shading` (logarithm of the deviation of the means of cubes of 8 voxels' edge), `noise` (logarithm of the
    median absolute Laplacian), `edges` (of the 95th percentile of the gradient) and, along each axis with 8 voxels or
    more, `same_1_i` and `same_3_i` (correlation of voxels 1 and 3 apart; they fall with noise and rise with blur).
    Laplacian and gradient are those along the axes with 8 voxels or more, too. A constant image has none.
    """
    middle = tuple(slice(max(0, (n - LARGEST) // 2), max(0, (n - LARGEST) // 2) + LARGEST) for n in array.shape)
    x = array[middle].astype(np.float32)
    deviation = float(x.std())
    if deviation < _TINY:
        return {}
    x = (x - x.mean()) / deviation
    out = dict(zip((f"p{p}" for p in PERCENTILES), _percentiles(x, PERCENTILES).astype(float)))
    squares = x * x
    out["skewness"], out["tails"] = float((squares * x).mean()), _log((squares * squares).mean())
    out["shading"] = _log(_coarse(x).std())
    axes = [axis for axis, count in enumerate(x.shape) if count >= _FEWEST]
    if axes:
        laplacian, slopes = np.zeros_like(x), np.zeros_like(x)
        for axis in axes:
            _add_derivatives(*(np.moveaxis(y, axis, 0) for y in (x, laplacian, slopes)))
        out["noise"] = _log(_percentiles(np.abs(laplacian), 50))
        out["edges"] = _log(np.sqrt(_percentiles(slopes, 95)))
    for axis in axes:
        for apart in (1, 3):
            here, there = (np.moveaxis(x, axis, 0)[part] for part in (slice(None, -apart), slice(apart, None)))
            out[f"same_{apart}_{'ijk'[axis]}"] = float((here * there).mean())
    return out


def inverted(statistics: dict[str, float]) -> dict[str, float]:
    """image_statistics of the image with dark and bright exchanged, from those of the image; names may begin with a
    channel's "<number>."."""
    out = dict(statistics)
    for name, value in statistics.items():
        channel, dot, what = name.rpartition(".")
        if what == "skewness":
            out[name] = -value
        elif what in _MIRROR:
            out[f"{channel}{dot}{_MIRROR[what]}"] = -value
    return out


def _percentiles(x: np.ndarray, wanted: int | tuple[int, ...]) -> np.ndarray:
    """As np.percentile, which takes several times longer of what is not sorted: NumPy sorts with vector
    instructions."""
    return np.percentile(np.sort(x, axis=None), wanted)


def _add_derivatives(x: np.ndarray, laplacian: np.ndarray, slopes: np.ndarray) -> None:
    """Adds second derivative, of an image that is mirrored at its ends, and squared first derivative along the first
    axis."""
    steps = np.diff(x, axis=0)
    laplacian[:-1] += steps
    laplacian[1:] -= steps
    slopes[0] += np.square(steps[0])
    slopes[-1] += np.square(steps[-1])
    slopes[1:-1] += np.square((steps[1:] + steps[:-1]) / 2)


def _coarse(x: np.ndarray) -> np.ndarray:
    """Means of cubes; what is left over at the ends is not looked at, axes shorter than a cube are averaged as a
    whole."""
    for axis, count in enumerate(x.shape):
        edge = min(_WIDE, count)
        whole = np.moveaxis(x, axis, 0)[: count // edge * edge]
        x = np.moveaxis(whole.reshape(-1, edge, *whole.shape[1:]).mean(1), 0, axis)
    return x


def _log(value: float) -> float:
    return float(np.log(max(float(value), _TINY)))
