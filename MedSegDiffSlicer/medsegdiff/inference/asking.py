"""Asks one model for its opinions on an image, and sees to it that memory suffices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from math import prod
from typing import NamedTuple

import numpy as np

from ..errors import RequestError
from ..image import Image
from ..image.orientation import plane_of_slice, turned
from ..uncertainty.accumulator import Accumulator
from ..uncertainty.likeliest_accumulator import accumulator_for
from ..uncertainty.measures import most_probable
from .backoff import may_be_mended, smaller
from .click_maps import prepared_click_maps
from .clicks import VoxelClick
from .devices import Opinions, SharedOpinions, opinions_of
from .dropout import with_dropout
from .gpu_memory import CudaMemory, fit_batch
from .guidance import with_click_guide
from .model import Model, load_model
from .plan import Group, Plan, kinds_of_variants, make_plan
from .preprocessing import Prepared, Preprocessing
from .progress import WHOLE, CancelCheck, Part, ProgressCallback, Tracker
from .request import SegmentRequest
from .settling import Settling
from .sweep import Sweep, make_sweep, needs_sweep
from .swept_opinions import SweptOpinions
from .tiling import Tile, largest_core, make_tiles, make_windows, plan_cut
from .variants import Guide, make_variants

Member = tuple[np.ndarray, np.ndarray]

# watch(probability, labelmap): an opinion on the image's own grid, (L, I, J, K) float32 and (I, J, K) uint8.
# Where memory runs out and the work begins anew, so do the opinions.
Watch = Callable[[np.ndarray, np.ndarray], None]
# hear(all opinions of the model so far), after each one.
Hear = Callable[[Accumulator], None]


class Callbacks(NamedTuple):
    """What the caller of a run wants to be told and asked; see engine.segment_image."""

    progress: ProgressCallback | None = None
    cancelled: CancelCheck | None = None
    guide: Guide | None = None
    watch: Watch | None = None
    hear: Hear | None = None
    warn: Callable[[str], None] | None = None


@dataclass(frozen=True)
class Answer:
    """What came of asking a model.

    model, plan: as they were at last.  opinions: counts and times.  samples: opinions that it gave.
    settled: whether that was enough by the request's `settle`; None where it sets no bound.
    tile: voxels of the largest tile along each axis, without what it sees around it; None where the image was not cut.
    """

    model: Model
    plan: Plan
    opinions: Opinions | SharedOpinions
    samples: int
    settled: bool | None
    warnings: list[str]
    tile: tuple[int, int, int] | None


def preprocessing_for(request: SegmentRequest, model: Model, image: Image) -> Preprocessing:
    """The model's; of a 2D model turned to the plane asked for, or to that of an image of one slice."""
    own = Preprocessing.from_dict(model.package.preprocessing)
    if model.network.spatial_dims == 3:
        return own
    if not isinstance(own.orientation, str):
        if request.plane is not None:
            raise RequestError(f"model '{model.package.name}' sees the slices as they are stored; leave out plane")
        return own
    plane = request.plane or plane_of_slice(image.shape, image.affine)
    return own if plane is None else replace(own, orientation=turned(own.orientation, plane))


def ask(
    request: SegmentRequest, position: int, model: Model, preprocessing: Preprocessing, prepared: Prepared,
    shape: tuple[int, int, int], clicks: Sequence[VoxelClick], callbacks: Callbacks, part: Part = WHOLE,
) -> tuple[Accumulator, Answer]:  # fmt: skip
    """A model's opinions, accumulated on the image's own grid.

    position: of the model in the request.  preprocessing, prepared: the model's, and what it made of the image.
    shape: (I, J, K) of the image.  clicks: on its grid.  part: of the whole work.  Raises as engine.segment_image.
    """
    kinds = kinds_of_variants(request, model.package)
    variants = make_variants(kinds, preprocessing, prepared, model.network.spatial_dims)
    plan, warnings = make_plan(request, model, prod(prepared.array.shape[1:]), variants, position)
    guess = _load_guess(request, model) if request.guess is not None and model.diffusion else None
    array = _with_clicks(prepared, [model, *([] if guess is None else [guess])], clicks)
    callbacks = callbacks._replace(guide=with_click_guide(callbacks.guide, clicks, prepared))
    if plan.dropout:
        model = with_dropout(model, plan.seed)
    swept = needs_sweep(len(model.package.labels), shape, prepared)
    if swept and callbacks.watch is not None:
        raise RequestError(
            f"single opinions on {len(model.package.labels)} labels of an image this large cannot be looked at as a "
            "whole, as calibrating does; crop the image"
        )
    if swept and any(len(numbers) > 1 for _, numbers in plan.groups()):
        warnings.append(
            f"{model.package.name}: so many labels on an image this large are sampled one opinion at a time"
        )
    plan = replace(plan, batch=1) if swept else plan
    while True:
        try:
            tiles = _tiles(model, plan, preprocessing, prepared)
            sweep = make_sweep(model, plan, tiles, prepared) if swept else None
            if sweep is None and request.sample_batch is None:
                plan = fit_batch(model, plan, tiles, array, guess, _memories(model))
            opinions, accumulator, settled = _collect(
                model, plan, tiles, prepared, array, shape, guess, request.threshold, callbacks, part, sweep
            )
            break
        except (RuntimeError, MemoryError) as error:
            if not may_be_mended(error, model.device):
                raise
            trouble = error.with_traceback(None)  # whose frames hold the tensors that there was no more memory for
        model, plan, said = smaller(model, plan, trouble, max(prepared.array.shape[1:]))
        warnings.append(said)
        if guess is not None and guess.device != model.device:
            guess = guess.on(model.device)
    warnings += dict.fromkeys(said for one in (model, *model.copies) for said in one.steps.warnings)
    if settled is False and (model.draws or plan.dropout):
        name = model.package.name
        warnings.append(f"{name}: the result had not settled after {plan.samples} sample(s); ask for more")
    return accumulator, Answer(model, plan, opinions, len(accumulator.weights), settled, warnings, largest_core(tiles))


def _load_guess(request: SegmentRequest, model: Model) -> Model:
    """The model that truncated sampling starts from. Raises RequestError where it does not answer the same question."""
    guess = load_model(request.guess, str(model.device), request.precision)
    both = model.package.clicks and guess.package.clicks
    for ours, theirs, what in (
        (model.package.clicks if both else {}, guess.package.clicks if both else {}, "clicks"),
        ([x.name for x in model.package.labels], [x.name for x in guess.package.labels], "labels"),
        (*(Preprocessing.from_dict(one.package.preprocessing) for one in (model, guess)), "preprocessing"),
        (len(model.package.channels), len(guess.package.channels), "number of channels"),
        (*(request.missing and [bool(x.get("optional")) for x in one.package.channels] for one in (model, guess)),
         "channels that may be missing"),
    ):
        if ours != theirs:
            raise RequestError(
                f"model '{guess.package.name}' cannot guess for '{model.package.name}': their {what} differ; "
                "name another one"
            )
    return guess


def _with_clicks(prepared: Prepared, models: Sequence[Model], clicks: Sequence[VoxelClick]) -> np.ndarray:
    """The prepared image, with the channels of clicks where one of the models has them."""
    known = next((one.package for one in models if one.package.clicks), None)
    if known is None:
        return prepared.array
    labels, image = len(known.labels), prepared.array
    shown = np.zeros((len(image) + labels, *image.shape[1:]), np.float32)  # what stays 0 takes no memory
    shown[: len(image)] = image
    if clicks:
        shown[len(image) :] = prepared_click_maps(clicks, prepared, labels, known.clicks["sigma_mm"])
    return shown


def _tiles(model: Model, plan: Plan, preprocessing: Preprocessing, prepared: Prepared) -> list[Tile]:
    shape, flat = prepared.array.shape[1:], model.network.spatial_dims == 2
    if preprocessing.window is not None:
        return make_windows(shape, preprocessing.window)
    cut = plan_cut(shape, plan.tile, preprocessing.divisors, preprocessing.size or (None,) * 3, flat)
    return make_tiles(shape, cut, plan.overlap)


def _memories(model: Model) -> list[CudaMemory]:
    return [CudaMemory(device) for device in model.devices if device.type == "cuda"] if model.diffusion else []


def _looks(model: Model, plan: Plan, tiles: int, swept: bool) -> int:
    """Looks at a tile. One at the whole image serves all samples of a variant, unless each has a network of its own."""
    groups = list(plan.groups())
    seen = {(turn % len(model.devices), variant.name) for turn, (variant, _) in enumerate(groups)}
    return len(seen) if tiles == 1 and not plan.dropout and not swept else len(groups)


def _units(model: Model, plan: Plan, tiles: int, looks: int, guess: Model | None) -> int:
    """Network calls to come."""
    draws = plan.steps * len(list(plan.groups())) if model.draws else 0
    return tiles * (looks * (1 if guess is None else 2) + draws)


def _collect(
    model: Model, plan: Plan, tiles: list[Tile], prepared: Prepared, array: np.ndarray, shape: tuple[int, int, int],
    guess: Model | None, threshold: float | None, callbacks: Callbacks, part: Part, sweep: Sweep | None,
) -> tuple[Opinions | SharedOpinions, Accumulator, bool | None]:  # fmt: skip
    """The members added up until there are no more or the result has settled; whether it has (None: nobody asks).

    array: (C, i, j, k), what the network is shown: the prepared image, with clicks where it knows of these."""
    looks = _looks(model, plan, len(tiles), sweep is not None)
    tracker = Tracker(_units(model, plan, len(tiles), looks, guess), callbacks.progress, callbacks.cancelled, part)
    accumulator = accumulator_for(len(model.package.labels), shape)
    settling = None if plan.settle is None else Settling(plan.settle, threshold, len(plan.variants))
    if sweep is not None:
        opinions = SweptOpinions(model, plan, tiles, tracker, guess, callbacks.guide, sweep)
        with closing(opinions(array)) as members:
            for parts in members:
                accumulator.add_parts(parts)
                if callbacks.hear is not None:
                    callbacks.hear(accumulator)
                if settling is not None and settling.settled(accumulator):
                    return opinions, accumulator, True
        return opinions, accumulator, None if settling is None else False
    opinions = opinions_of(model, plan, tiles, tracker, guess, callbacks.guide)
    with closing(opinions(array)) as members:
        for probability, sample in members if settling is None else _in_order(members, plan.groups()):
            likely = prepared.restore(probability, model.logits, model.painted)
            drawn = likely if sample is probability else prepared.restore(sample)
            labelmap = most_probable(drawn)
            accumulator.add(likely, labelmap)
            if callbacks.watch is not None:
                callbacks.watch(likely, labelmap)
            if callbacks.hear is not None:
                callbacks.hear(accumulator)
            if settling is not None and settling.settled(accumulator):
                return opinions, accumulator, True
            del probability, sample, likely, drawn, labelmap  # large volumes have no room for two opinions
    return opinions, accumulator, None if settling is None else False


def _in_order(members: Iterator[Member], groups: Iterator[Group]) -> Iterator[Member]:
    """The members in the order of their numbers; those of a round of variants wait for each other."""
    numbers = [number for _, group in groups for number in group]
    waiting, coming = {}, iter(sorted(numbers))
    due = next(coming)
    for number, member in zip(numbers, members):
        waiting[number] = member
        while due in waiting:
            yield waiting.pop(due)
            due = next(coming, None)
