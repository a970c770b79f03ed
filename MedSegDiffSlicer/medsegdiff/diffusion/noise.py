"""Gaussian noise that depends on the place, the sample and the step, and on nothing else."""

from __future__ import annotations

from itertools import product

import numpy as np

_BLOCK = 16


class NoiseField:
    """Standard normal noise addressed by voxel (i, j, k), channel, sample and step.

    Any window of it can be computed alone: overlapping tiles see the same noise, and batches change nothing. The
    generator is Philox (Salmon et al., SC 2011), whose counter holds the address; numbers are drawn in blocks of 16^3
    voxels.

    seed: 0 - 2**63 - 1.  channels: values a voxel.
    """

    def __init__(self, seed: int, channels: int):
        self.seed = seed
        self.channels = channels

    def window(self, sample: int, step: int, start: tuple[int, int, int], size: tuple[int, int, int]) -> np.ndarray:
        """(channels, *size) float32 noise of the voxels start ... start + size - 1 (start >= 0)."""
        out = np.empty((self.channels, *size), np.float32)
        blocks = (range(s // _BLOCK, (s + n - 1) // _BLOCK + 1) for s, n in zip(start, size))
        for block in product(*blocks):
            low = [max(b * _BLOCK, s) for b, s in zip(block, start)]
            high = [min((b + 1) * _BLOCK, s + n) for b, s, n in zip(block, start, size)]
            target = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start))
            source = tuple(slice(a - c * _BLOCK, b - c * _BLOCK) for a, b, c in zip(low, high, block))
            out[(slice(None), *target)] = self._block(sample, step, block)[(slice(None), *source)]
        return out

    def _block(self, sample: int, step: int, block: tuple[int, ...]) -> np.ndarray:
        i, j, k = block
        place = i | j << 20 | k << 40
        generator = np.random.Generator(np.random.Philox(key=[self.seed, 0], counter=[0, place, sample, step]))
        return generator.standard_normal((self.channels, _BLOCK, _BLOCK, _BLOCK), np.float32)
