"""The opinions of a model: which samples of which variant of the image, and how each is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..diffusion.noise import NoiseField
from ..diffusion.process import process_for
from ..diffusion.samplers import Draw, draws_noise, sample
from ..errors import JobError, RequestError
from ..networks.nested import for_samples
from ..networks.slicewise import between_chunks
from ..uncertainty.painting import unpaint
from ..uncertainty.scaling import CERTAIN, Scaling
from .allocator import give_back_memory
from .clock import Clock, EventClock, clock_for
from .model import Model
from .noise_ahead import THREADS, NoiseAhead, Wanted
from .plan import Group, Plan
from .progress import Tracker
from .tiling import Box, Tile, Weights, size_of, start_of, window_bell
from .variants import AS_IT_IS, Guide, TileGuide, Variant


class Look(NamedTuple):
    """What looking at an image once gives: the encoder's condition, or a plain network's logits; and the probabilities
    (1, L, i, j, k) that truncated sampling starts from, or None."""

    seen: Any
    guess: Tensor | None


class Opinions:
    """Streams the members' probabilities for one prepared image.

    tiles: of that image.
    guess: the model whose first opinion truncated sampling starts from; None for the model's own.  guide: see Guide.
    groups: those of the plan's that are to be drawn; None for all.
    network_evaluations counts the images that went through a network (an encoder counts as one, so does a step of a
    sample); network_seconds is the time that the device spent inside; sampling_seconds lasted the loops over the steps,
    of which the device spent denoising_seconds in the network.
    """

    def __init__(
        self,
        model: Model,
        plan: Plan,
        tiles: list[Tile],
        tracker: Tracker,
        guess: Model | None = None,
        guide: Guide | None = None,
        groups: list[Group] | None = None,
    ):
        self.model, self.plan, self.tracker, self.guess, self.guide = model, plan, tracker, guess, guide
        self.tiles = tiles
        self.groups = list(plan.groups()) if groups is None else groups
        self.labels = len(model.package.labels)
        self.scaling = Scaling(model.package.calibration, self.labels)
        self.thinning = getattr(model.network, "thinning", None)  # of Monte-Carlo dropout
        if model.diffusion:
            self.process = process_for(model.network.prediction, self.labels, model.network.spatial_dims)
            field = NoiseField(plan.seed, self.process.channels)
            self.noise = NoiseAhead(field, model.device, self._noise_to_come(), THREADS)
        elif model.latent:
            self.latent_noise = NoiseField(plan.seed, model.latent)
        self.network_evaluations = 0
        self.sampling_seconds = 0.0
        self._looking, self._denoising = clock_for(model.device), clock_for(model.device)

    @property
    def network_seconds(self) -> float:
        return self._looking.seconds + self._denoising.seconds

    @property
    def denoising_seconds(self) -> float:
        return self._denoising.seconds

    @property
    def devices(self) -> tuple[torch.device, ...]:
        """What draws them."""
        return (self.model.device,)

    def __call__(self, array: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """array: (C, i, j, k) float32 -> for each member its label probabilities and those of its sample, both
        (L, i, j, k) float32 (see diffusion.samplers.Draw; one and the same array for plain networks); where the model
        says so, logits instead."""
        with self.noise if self.model.diffusion else nullcontext(), torch.random.fork_rng(devices=[]):
            # of what a network draws within (MedSegDiffV1, "reference")
            torch.default_generator.manual_seed(self.plan.seed)
            yield from self._members(array)

    def _members(self, array: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        shape, whole = array.shape[1:], len(self.tiles) == 1
        weights = None if whole else Weights(shape, self.tiles, window_bell if self.model.logits else None)
        image, shown = array, AS_IT_IS.name  # the variant in hand
        known: dict[str, Look] = {}  # looks at variants, where one tile is the whole image
        for variant, numbers in self.groups:
            if self.thinning is not None:
                self.thinning.sample = numbers[0]
                known.clear()
            if variant.name != shown and variant.name not in known:
                image, shown = variant.of(array), variant.name
            if whole:
                if variant.name not in known:
                    if self.plan.settle is None:  # it will not come again
                        known.clear()
                    known[variant.name] = self._look(image)
                drawn = self._draw(known[variant.name], numbers, self.tiles[0].window, shape, variant)
            else:
                drawn = self._blend(image, numbers, weights, variant)
            for n in range(len(numbers)):
                probability = variant.undo(drawn.probability[n])
                yield probability, variant.undo(drawn.sample[n]) if self.model.diffusion else probability
            del drawn, probability  # large volumes have no room for two opinions

    def _blend(self, image: np.ndarray, numbers: list[int], weights: Weights, variant: Variant) -> Draw:
        shape = (len(numbers), self.labels, *image.shape[1:])
        probability = np.zeros(shape, np.float32)
        # Of a sample only the labels count; networks without diffusion have none beside the probability.
        sample = np.zeros(shape if self.model.diffusion else (0,), np.float16)
        for tile in self.tiles:
            look = self._look(image[(slice(None), *tile.window)])
            drawn = self._draw(look, numbers, tile.window, image.shape[1:], variant)
            probability[(..., *tile.core)] += drawn.probability[(..., *tile.inside)] * weights(tile)
            if self.model.diffusion:
                sample[(..., *tile.core)] += drawn.sample[(..., *tile.inside)] * weights(tile)
            del look, drawn
            give_back_memory()
        return Draw(sample if self.model.diffusion else probability, probability)

    def _look(self, image: np.ndarray) -> Look:
        """image: (C, i, j, k)."""
        batch = torch.from_numpy(np.ascontiguousarray(image))[None].to(self.model.device)
        seen = self._timed(lambda: _see(self.model, batch), 1, self._looking)
        if not self.model.diffusion or self.plan.truncation == 1:
            return Look(seen, None)
        first = seen if self.guess is None else self._timed(lambda: _see(self.guess, batch), 1, self._looking)
        logits = first if isinstance(first, Tensor) else getattr(first, "anchor", None)
        if logits is None:
            name = (self.guess or self.model).package.name
            raise RequestError(
                f"model '{name}' has no first guess to start from; name one that has (guess), or leave out truncation"
            )
        return Look(seen, (self.guess or self.model).likely(logits))

    def _draw(
        self, look: Look, numbers: list[int], window: Box, shape: tuple[int, int, int], variant: Variant,
        inside: Box = (slice(None),) * 3,
    ) -> Draw:  # fmt: skip
        """The samples of one tile, (S, L, i, j, k) float32 arrays. shape: of the whole image. inside: part of the tile
        that is wanted."""
        wanted = (..., *inside)
        if self.model.diffusion:
            guide = None if self.guide is None else variant.guide(self.guide, window, shape)
            drawn = self._sample(look, numbers, window, guide)
            likely = self.scaling(self._finite(drawn.probability[wanted]))
            return Draw(_on_host(drawn.sample[wanted]), _on_host(likely))
        logits = (self._latent_sample(look, numbers) if self.model.latent else look.seen)[wanted]
        if not self.model.logits:
            answer = self.scaling(self._finite(self.model.likely(logits)))
        elif self.scaling.changes:
            answer = self.scaling(self._finite(self.model.likely(logits))).clamp(min=CERTAIN).log()
            unpaint(answer.movedim(1, 0), self.model.painted)
        else:
            answer = self._finite(logits.float())
        probability = answer.cpu().numpy()
        self._looking.finish()
        self._denoising.finish()
        return Draw(probability, probability)

    def _finite(self, answer: Tensor) -> Tensor:
        """The answer. Raises JobError where it holds other than finite numbers, of which no map may be made."""
        if not torch.isfinite(answer.sum()):
            raise JobError(
                f"model '{self.model.package.name}' answers with numbers that are not finite; try precision fp32; "
                "where that changes nothing, the model or the image is damaged"
            )
        return answer

    def _latent_sample(self, look: Look, numbers: list[int]) -> Tensor:
        """Logits (S, L, i, j, k); a sample's z is the same in all tiles and variants."""
        z = np.stack([self.latent_noise.window(n, 0, (0, 0, 0), (1, 1, 1))[:, 0, 0, 0] for n in numbers])
        z, condition = torch.from_numpy(z).to(self.model.device), for_samples(look.seen, len(numbers))
        return self._timed(lambda: self.model.network.draw(condition, z), len(numbers), self._denoising)

    def _sample(self, look: Look, numbers: list[int], window: Box, guide: TileGuide | None) -> Draw:
        model, plan = self.model, self.plan
        denoise = model.steps.of(look.seen, len(numbers))

        def noise(step: int) -> Tensor:
            return self.noise(Wanted(tuple(numbers), step, start_of(window), size_of(window)))

        def predict(x: Tensor, t: int):
            return self._timed(lambda: denoise(x, float(t)), len(numbers), self._denoising)

        first = noise(0)
        self._looking.finish()
        began = perf_counter()
        drawn = sample(
            plan.sampler, self.process, predict, lambda step: noise(step) if step else first,
            model.schedule, plan.steps, eta=plan.eta, truncation=plan.truncation, guess=look.guess, guide=guide,
        )  # fmt: skip
        self._denoising.finish()
        self.sampling_seconds += perf_counter() - began
        return drawn

    def _noise_to_come(self) -> Iterator[Wanted]:
        """The noise that `_sample` will ask for, in order."""
        for _, numbers in self.groups:
            for tile in self.tiles:
                for step in range(self.plan.steps if draws_noise(self.plan.sampler, self.plan.eta) else 1):
                    yield Wanted(tuple(numbers), step, start_of(tile.window), size_of(tile.window))

    def _timed(self, call, images: int, clock: Clock | EventClock):
        self.tracker.check()
        with clock, between_chunks(self.tracker.check), torch.inference_mode(), torch.autocast(
            self.model.device.type, self.model.precision, enabled=self.model.precision != torch.float32
        ):
            out = call()
        self.network_evaluations += images
        self.tracker.advance(f"sampling, network evaluation {self.network_evaluations}")
        return out


def _see(model: Model, batch: Tensor):
    batch = batch[:, : model.package.inputs]  # another model of the run may want the clicks, too
    return model.network.encode(batch) if model.draws else model.network(batch)


def _on_host(x: Tensor) -> np.ndarray:
    """Copied to page-locked memory where it comes from a GPU, which is several times faster."""
    if x.device.type == "cpu":
        return x.numpy()
    return torch.empty_like(x, device="cpu", pin_memory=x.is_cuda).copy_(x).numpy()
