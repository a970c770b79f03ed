"""Noise that is made while the network works: on a GPU, or on the CPU in the layers that leave a core free."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from ..diffusion.noise import NoiseField

AHEAD = 2  # tensors of noise that are made before they are asked for
THREADS = min(4, os.cpu_count() or 1)  # NumPy draws without holding Python's lock


class Wanted(NamedTuple):
    """Noise for a batch: sample numbers, step, and first voxel and size of the window."""

    numbers: tuple[int, ...]
    step: int
    start: tuple[int, int, int]
    size: tuple[int, int, int]


class NoiseAhead:
    """A noise field's values on a device; a context manager, which ends its threads.

    coming: what will be asked for, in order. Other questions are answered as well, but not ahead.
    threads: that make noise; 0 makes it when it is asked for.
    """

    def __init__(self, field: NoiseField, device: torch.device, coming: Iterable[Wanted] = (), threads: int = 0):
        self._field, self._device = field, device
        self._coming = iter(coming)
        self._made: deque[tuple[Wanted, Tensor, list[Future]]] = deque()
        self._pool = ThreadPoolExecutor(threads, "noise") if threads else None

    def __enter__(self) -> NoiseAhead:
        self._prepare()
        return self

    def __exit__(self, *_) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def __call__(self, wanted: Wanted) -> Tensor:
        """(samples, channels, *size) float32 on the device."""
        if self._made and self._made[0][0] == wanted:
            _, noise, parts = self._made.popleft()
            for part in parts:
                part.result()
            self._prepare()
        else:
            noise = self._room(wanted)
            for place in range(len(noise)):
                self._fill(noise, wanted, place)
        return noise.to(self._device, non_blocking=True)

    def _prepare(self) -> None:
        while self._pool is not None and len(self._made) < AHEAD and (wanted := next(self._coming, None)) is not None:
            noise = self._room(wanted)
            parts = [self._pool.submit(self._fill, noise, wanted, place) for place in range(len(noise))]
            self._made.append((wanted, noise, parts))

    def _room(self, wanted: Wanted) -> Tensor:
        pinned = self._device.type == "cuda"  # PyTorch keeps pinned memory until copies from it are done
        return torch.empty(len(wanted.numbers), self._field.channels, *wanted.size, pin_memory=pinned)

    def _fill(self, noise: Tensor, wanted: Wanted, place: int) -> None:
        noise[place].numpy()[...] = self._field.window(wanted.numbers[place], wanted.step, wanted.start, wanted.size)
