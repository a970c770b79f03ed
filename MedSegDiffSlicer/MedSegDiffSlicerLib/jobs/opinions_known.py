"""What is known of opinions under clicks and a rule: numbers only, so that a thread can work it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from medsegdiff.inference.clicked_labelmap import clicked_labelmap
from medsegdiff.inference.clicks import voxel_clicks
from medsegdiff.inference.result import SegmentResult

Click = tuple[float, float, float, int]  # R, A, S in mm, label value
Clicks = tuple[Click, ...]
Runs = dict[Clicks, SegmentResult]


@dataclass(frozen=True)
class Known:
    """runs: the first run's result, and the last one's, by the clicks that they heard.
    result: the best of them under `clicks`; None before the first.  labelmap: of it, (I, J, K) uint8."""

    runs: Runs = field(default_factory=dict)
    clicks: Clicks = ()
    result: SegmentResult | None = None
    labelmap: np.ndarray | None = None

    def after(
        self, ended: Sequence[tuple[Clicks, SegmentResult]], clicks: Clicks, fusion: str, threshold: float | None
    ) -> Known:  # fmt: skip
        """What is known after further runs, each with the clicks that it heard, under these clicks and rule."""
        runs, result, heard = self.runs, self.result, self.clicks
        for asked, answer in ended:
            answer = _respecting(answer, asked)
            runs = dict([next(iter(runs.items()), (asked, answer)), (asked, answer)])
        if ended or clicks[: len(heard)] != heard:
            heard, result = _nearest(runs, clicks)
        if clicks != heard:
            result = result.with_clicks(clicks[len(heard) :])
        return Known(runs, clicks, result, result.labelmap_by(fusion, threshold))

    def sketch(self, clicks: Clicks, fusion: str, threshold: float | None) -> np.ndarray:
        """The label map that `after` gives without further runs, before the rest is worked out."""
        kept = clicks[: len(self.clicks)] == self.clicks
        heard, result = (self.clicks, self.result) if kept else _nearest(self.runs, clicks)
        return clicked_labelmap(result, clicks[len(heard) :], fusion, threshold)


def _nearest(runs: Runs, clicks: Clicks) -> tuple[Clicks, SegmentResult]:
    """The run that heard the most of the clicks."""
    heard = max((run for run in runs if clicks[: len(run)] == run), key=len)
    return heard, runs[heard]


def _respecting(result: SegmentResult, clicks: Clicks) -> SegmentResult:
    """The result with the clicked labels in the clicked voxels, whatever the models made of the clicks."""
    voxels = voxel_clicks(clicks, result.affine, result.labelmap.shape, result.labels)
    if all(result.labelmap[index] == label for index, label in voxels):
        return result
    return result.with_clicks(clicks)
