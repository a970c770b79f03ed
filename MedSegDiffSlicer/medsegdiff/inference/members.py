"""The opinions of a model: which samples of which variant of the image, and how each is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from ..diffusion.noise import NoiseField
from ..diffusion.samplers import Draw, sample
from ..diffusion.schedule import share_of
from .model import Model
from .progress import Tracker
from .tiling import Box, Tile, make_tiles, size_of, start_of, total_weights


@dataclass(frozen=True)
class Plan:
    """The options of a run with the model's defaults filled in. variants: axes to mirror, () for the image as it is."""

    samples: int
    steps: int
    sampler: str
    seed: int
    variants: tuple[tuple[int, ...], ...]
    overlap: float
    tile: int
    batch: int

    def groups(self) -> Iterator[tuple[tuple[int, ...], list[int]]]:
        """(mirrored axes, sample numbers) of the samples that are computed together."""
        for index, axes in enumerate(self.variants):
            numbers = list(range(index, self.samples, len(self.variants)))
            for at in range(0, len(numbers), self.batch):
                yield axes, numbers[at : at + self.batch]


class Opinions:
    """Streams the members' probabilities for one prepared image.

    network_evaluations counts the images that went through a network (an encoder counts as one, so does a step of a sample);
    network_seconds is the time spent inside.
    """

    def __init__(self, model: Model, plan: Plan, divisible: int, tracker: Tracker):
        self.model, self.plan, self.tracker = model, plan, tracker
        self.divisible = divisible
        self.labels = len(model.package.labels)
        self.noise = NoiseField(plan.seed, self.labels)
        self.temperature = float(model.package.calibration.get("temperature", 1.0))
        self.network_evaluations = 0
        self.network_seconds = 0.0

    def __call__(self, array: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """array: (C, i, j, k) float32 -> for each member its label probabilities and those of its sample, both
        (L, i, j, k) float32 (see diffusion.samplers.Draw; one and the same array for plain networks)."""
        tiles = make_tiles(array.shape[1:], self.plan.tile, self.plan.overlap, self.divisible)
        whole = len(tiles) == 1
        weights = None if whole else total_weights(array.shape[1:], tiles)
        known: dict = {}  # the condition of the current variant, kept where one tile is the whole image
        for axes, numbers in self.plan.groups():
            image = torch.from_numpy(np.ascontiguousarray(np.flip(array, axes)) if axes else array)
            if whole:
                if axes not in known:
                    known = {axes: self._look(image)}
                drawn = self._draw(known[axes], numbers, tiles[0].window)
            else:
                drawn = self._blend(image, numbers, tiles, weights)
            for n in range(len(numbers)):
                probability = np.flip(drawn.probability[n], axes)
                yield probability, np.flip(drawn.sample[n], axes) if self.model.diffusion else probability

    def _blend(self, image: Tensor, numbers: list[int], tiles: list[Tile], weights: np.ndarray) -> Draw:
        shape = (len(numbers), self.labels, *image.shape[1:])
        total = Draw(np.zeros(shape, np.float32), np.zeros(shape, np.float32))
        for tile in tiles:
            drawn = self._draw(self._look(image[(slice(None), *tile.window)]), numbers, tile.window)
            for whole, part in zip(total, drawn):
                whole[(..., *tile.core)] += part[(..., *tile.inside)] * tile.weights()
        for whole in total:
            whole /= weights
        return total

    def _look(self, image: Tensor):
        """The encoder's condition, or a plain network's logits, of (C, i, j, k)."""
        network = self.model.network
        batch = image[None].to(self.model.device)
        return self._timed(lambda: network.encode(batch) if self.model.diffusion else network(batch), 1)

    def _draw(self, seen, numbers: list[int], window: Box) -> Draw:
        """The samples of one tile, (S, L, i, j, k) float32 arrays."""
        if self.model.diffusion:
            return Draw(*(x.cpu().numpy() for x in self._sample(seen.expand(len(numbers)), numbers, window)))
        probability = torch.softmax(seen.float() / self.temperature, 1).cpu().numpy()
        return Draw(probability, probability)

    def _sample(self, condition, numbers: list[int], window: Box) -> Draw:
        model, start, size = self.model, start_of(window), size_of(window)

        def noise(step: int) -> Tensor:
            drawn = np.stack([self.noise.window(number, step, start, size) for number in numbers])
            return torch.from_numpy(drawn).to(model.device)

        def predict(x: Tensor, t: int) -> Tensor:
            share = share_of(torch.full((len(numbers),), t, device=model.device))
            return self._timed(lambda: model.network.denoise(x, share, condition), len(numbers))

        return sample(self.plan.sampler, predict, noise, model.schedule, self.plan.steps, self.temperature)

    def _timed(self, call, images: int):
        self.tracker.check()
        device = self.model.device
        began = perf_counter()
        with torch.inference_mode(), torch.autocast(
            device.type, self.model.precision, enabled=self.model.precision != torch.float32
        ):
            out = call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        self.network_seconds += perf_counter() - began
        self.network_evaluations += images
        self.tracker.advance(f"sampling, {self.network_evaluations} network evaluations")
        return out
