"""The opinions of a model on an image too large for the probabilities of all labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..uncertainty.accumulator import Part
from .allocator import give_back_memory
from .members import Opinions
from .model import Model
from .plan import Plan
from .progress import Tracker
from .sweep import Band, Sweep, rows_held, swept
from .tiling import Tile, Weights, window_bell
from .variants import Guide, Variant

LEAST = -1e4  # of logits, so that 16 bits hold them


class SweptOpinions(Opinions):
    """As Opinions, but each member comes in parts, on the image's own grid, and is to be taken before the next one;
    with one device and one sample at a time.

    sweep: see there.  The other arguments as of Opinions.
    """

    def __init__(
        self, model: Model, plan: Plan, tiles: list[Tile], tracker: Tracker, guess: Model | None, guide: Guide | None,
        sweep: Sweep,
    ):  # fmt: skip
        super().__init__(model, plan, sweep.ordered(tiles), tracker, guess, guide)
        self._sweep = sweep

    def _members(self, array: np.ndarray) -> Iterator[Iterator[Part]]:
        shape, kinds = array.shape[1:], 2 if self.model.diffusion else 1
        weights = Weights(shape, self.tiles, window_bell if self.model.logits else None)
        for variant, numbers in self.groups:
            if self.thinning is not None:
                self.thinning.sample = numbers[0]
            rows = rows_held(self._sweep, self.tiles)
            bands = [Band(self.labels, shape, self._sweep.axis, rows) for _ in range(kinds)]
            yield swept(self._sweep, variant, self._weighted(variant.of(array), numbers, weights, variant), bands)
            del bands

    def _weighted(
        self, image: np.ndarray, numbers: list[int], weights: Weights, variant: Variant
    ) -> Iterator[tuple[Tile, list[np.ndarray]]]:
        """Of each tile what is said of its core, weighted: the probability and, of a diffusion model, the sample."""
        for tile in self.tiles:
            look = self._look(image[(slice(None), *tile.window)])
            drawn = self._draw(look, numbers, tile.window, image.shape[1:], variant, tile.inside)
            said = [drawn.probability[0], drawn.sample[0]] if self.model.diffusion else [drawn.probability[0]]
            if self.model.logits:  # 16 bits are finest where the likeliest labels are
                said = [np.maximum(one - one.max(0), LEAST) for one in said]
            del look, drawn
            said = [one * weights(tile) for one in said]
            give_back_memory()
            yield tile, said
