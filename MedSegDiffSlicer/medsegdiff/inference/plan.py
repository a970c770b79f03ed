"""What one model is asked in a run: the request with the model's defaults filled in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..models.package import ModelPackage
from .dropout import has_dropout
from .model import Model
from .request import MOST_SAMPLES, SegmentRequest
from .tiling import CONTEXT
from .variants import AS_IT_IS, Variant

TILE = {"cpu": 96, "mps": 96, "cuda": 160}  # edge in voxels that a device's memory is sure to hold
BATCH_VOXELS = {"cpu": 2**18, "mps": 2**20, "cuda": 2**26}  # voxels of all samples that are computed at once
DROPOUT_SAMPLES = 8  # of a plain network with Monte-Carlo dropout
SETTLING_SAMPLES = 4  # drawn at once where the next ones may not be needed

# A variant, and the numbers of its samples that are computed together.
Group = tuple[Variant, list[int]]


@dataclass(frozen=True)
class Plan:
    """The options of a run with one model.

    variants: see variants.  first: number of its first sample; no two models of a run see the same noise.
    dropout: whether its dropout layers are at work.  settle: bound of its early stop, None for none.
    """

    samples: int
    steps: int
    sampler: str
    eta: float
    truncation: float
    seed: int
    variants: tuple[Variant, ...]
    overlap: float
    tile: int
    batch: int
    first: int = 0
    dropout: bool = False
    settle: float | None = None

    def groups(self) -> Iterator[Group]:
        """All samples, in the order in which they are drawn: variant by variant; with an early stop a batch of each in
        turn."""
        count = len(self.variants)
        together = self.samples if self.settle is None else self.batch * count
        for start in range(0, self.samples, together):
            numbers = range(self.first + start, self.first + min(start + together, self.samples))
            for index, variant in enumerate(self.variants):
                own = list(numbers[index::count])
                for at in range(0, len(own), self.batch):
                    yield variant, own[at : at + self.batch]


def kinds_of_variants(request: SegmentRequest, package: ModelPackage) -> tuple[str, ...]:
    """The names of request.VARIANTS that are asked for, or the model's default."""
    if request.variants is not None:
        return request.variants
    mirrored = package.sampling.get("tta", False) if request.tta is None else request.tta
    return ("mirror",) if mirrored else ()


def make_plan(
    request: SegmentRequest, model: Model, voxels: int, variants: tuple[Variant, ...] = (AS_IT_IS,), position: int = 0
) -> tuple[Plan, list[str]]:
    """The plan, and what has to be said about it.

    voxels: of the prepared image.  variants: that the model may see.  position: of the model among the request's.
    """
    name, defaults, warnings = model.package.name, model.package.sampling, []
    dropout = request.dropout and has_dropout(model.network)
    asked = request.samples_of(position)
    if model.draws or dropout:
        samples = asked or int(defaults.get("samples", 1) if model.draws else DROPOUT_SAMPLES)
    else:
        samples = min(asked or len(variants), len(variants))
        if asked is not None and asked > samples:
            warnings.append(f"{name} is deterministic: {samples} opinion(s), not {asked}")
    if request.variants is not None and samples < len(variants):
        count = len(variants)
        warnings.append(f"{name}: {samples} sample(s) see {samples} of {count} variants; ask for {count}")
    variants = variants[:samples]
    tile = request.tile or TILE[model.device.type]
    fitting = max(1, BATCH_VOXELS[model.device.type] // min(voxels, (tile + 2 * CONTEXT) ** 3))
    share = -(-samples // len(model.devices))
    if request.settle is not None:
        share = min(share, max(1, SETTLING_SAMPLES // len(variants)))
    steps = request.steps or int(defaults.get("steps", 4))
    alone = dropout or not model.repeatable  # each sample has a network of its own
    if model.diffusion:  # a truncated diffusion may hold fewer
        steps = len(model.schedule.steps(steps, request.truncation))
    plan = Plan(
        samples=samples,
        steps=steps if model.diffusion else 1,
        sampler=request.sampler or defaults.get("sampler", "ddim"), eta=request.eta, truncation=request.truncation,
        seed=request.seed, variants=variants, overlap=request.overlap, tile=tile,
        batch=1 if alone else request.sample_batch or min(share, fitting),
        first=position * MOST_SAMPLES, dropout=dropout, settle=request.settle,
    )  # fmt: skip
    return plan, warnings
