"""The outlines of the samples at once, thin and see-through: where they part, the opinions do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..jobs.background import Background
from ..nodes.opinions import Opinions
from ..nodes.segments import segment_ids
from ..nodes.temporary_outlines import OutlineNodes, hide_outlines, solids

MOST = 16  # samples; more lines are neither read nor drawn quickly
FAN = _KIND = "contour fan"
_OPACITY, _THICKNESS = 0.6, 1


def show_fan(scene, opinions: Opinions, segmentation_node, volume, background: Background) -> None:
    """Draws the outlines on the slices in the segments' colours, as soon as they are worked out; FAN is the
    question."""
    colors, numbers = segment_colors(segmentation_node), drawn(len(opinions))
    nodes = OutlineNodes(scene, _KIND, volume, _OPACITY, _THICKNESS)

    def ask(at: int) -> None:
        background.ask(FAN, lambda: solids(opinions.labelmap(numbers[at]), colors), lambda found: draw(at, found))

    def draw(at: int, found: list) -> Iterator[None]:
        yield from nodes.surfaces(found)
        if at + 1 < len(numbers):
            ask(at + 1)
        else:
            background.ask(FAN, nodes.join, nodes.show)

    ask(0)


def drawn(count: int) -> list[int]:
    """Which of so many samples are drawn, from 0: all or, as those of one model follow each other, some of each."""
    return np.linspace(0, count - 1, min(count, MOST)).round().astype(int).tolist()


def hide_fan(scene) -> None:
    """Removes them."""
    hide_outlines(scene, _KIND)


def segment_colors(segmentation_node) -> dict[int, tuple[float, float, float]]:
    """The colours of the segments that came from a model, by label value, as they are shown now."""
    segmentation, display = segmentation_node.GetSegmentation(), segmentation_node.GetDisplayNode()
    found = {}
    for value, segment_id in segment_ids(segmentation_node).items():
        segment = segmentation.GetSegment(segment_id)
        color = display.GetSegmentColor(segment_id) if display else segment.GetColor()
        found[value] = (color[0], color[1], color[2])
    return found
