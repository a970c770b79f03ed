"""Clicks in the sampling loop of diffusion models: what each step predicts is pulled towards the clicked labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..uncertainty.click_weights import BEYOND, CERTAIN, MARGIN, REACH, bell_widths
from .clicks import VoxelClick
from .preprocessing import Prepared
from .tiling import CONTEXT, Box
from .variants import Guide

Place = tuple[float, float, float]


@dataclass(frozen=True)
class ClickGuide:
    """A Guide (see variants). In each predicted mask a clicked label gains, by as much as it lacks in the clicked voxel
    and, in a Gaussian bell, less around it, so that the next step starts from a mask that agrees with the click; as
    uncertainty.click_weights does with a result. No gradient is taken.

    places: (i, j, k) on the prepared grid, which may lie between voxels.  labels, widths: of each click; deviation of
    its bell in mm.  spacing: of the grid, mm.
    """

    places: tuple[Place, ...]
    labels: tuple[int, ...]
    widths: tuple[float, ...]
    spacing: tuple[float, float, float]

    @classmethod
    def of(cls, clicks: Sequence[VoxelClick], prepared: Prepared) -> ClickGuide:
        """For clicks on an image's own grid."""
        places, spacing = [prepared.place(click.index) for click in clicks], prepared.spacing
        widths = bell_widths([np.multiply(place, spacing) for place in places])
        return cls(tuple(places), tuple(click.label for click in clicks), tuple(widths), spacing)

    def moved(self, place: Callable[[Place], Place]) -> ClickGuide:
        """For an image whose places are moved."""
        return replace(self, places=tuple(map(place, self.places)))

    def __call__(self, probability: Tensor, t: int, window: Box) -> Tensor:
        """(S, L, i, j, k) label probabilities for a box of the prepared image -> those to go on with."""
        logarithm, reached = probability.clamp(min=CERTAIN).log(), []
        for place, label, width in zip(self.places, self.labels, self.widths):
            at = [round(x) - side.start for x, side in zip(place, window)]
            if not all(0 <= i < n for i, n in zip(at, probability.shape[2:])):
                # a tile sees as much around itself as a bell reaches; of 2D models each tile of slices is alone
                continue
            there = logarithm[(..., *at)]
            lacking = torch.cat([there[:, :label], there[:, label + 1 :]], 1).amax(1) - there[:, label]
            gain = torch.where(lacking > 0, BEYOND * lacking + MARGIN, 0.0)
            box, bell = self._bell(place, width, window)
            bell = torch.from_numpy(bell).to(probability.device)
            logarithm[(slice(None), label, *box)] += gain[:, None, None, None] * bell
            reached.append((..., *box))
        guided = probability.clone()
        for box in reached:
            guided[box] = torch.softmax(logarithm[box], 1)
        return guided

    def _bell(self, place: Place, width: float, window: Box) -> tuple[Box, np.ndarray]:
        """The part of a window that a bell reaches, in the window's own indices, and the bell there."""
        sides, heights = [], []
        for x, size, side in zip(place, self.spacing, window):
            reach = min(REACH * width / size, CONTEXT)
            start, stop = max(side.start, int(np.ceil(x - reach))), min(side.stop, int(np.floor(x + reach)) + 1)
            sides.append(slice(start - side.start, stop - side.start))
            heights.append(np.exp(-0.5 * ((np.arange(start, stop, dtype=np.float32) - x) * size / width) ** 2))
        i, j, k = heights
        return tuple(sides), i[:, None, None] * j[:, None] * k


def with_click_guide(guide: Guide | None, clicks: Sequence[VoxelClick], prepared: Prepared) -> Guide | None:
    """A guide, followed by that of the clicks, where there are any."""
    if not clicks:
        return guide
    own = ClickGuide.of(clicks, prepared)
    return own if guide is None else lambda probability, t, window: own(guide(probability, t, window), t, window)
