"""The outlines of all samples at once, thin and see-through: where they part, the opinions do."""

from __future__ import annotations

from ..nodes.opinions import Opinions
from ..nodes.segments import segment_ids
from ..nodes.temporary_outlines import Outline, hide_outlines, show_outlines

MOST = 16  # samples; more lines are neither read nor drawn quickly
_KIND = "contour fan"
_OPACITY, _THICKNESS = 0.6, 1


def show_fan(scene, opinions: Opinions, segmentation_node, volume) -> list:
    """Draws the outlines on the slices in the segments' colours; returns their nodes, one a colour."""
    colors = segment_colors(segmentation_node)
    outlines = (Outline(opinions.labelmap(number), colors) for number in range(min(len(opinions), MOST)))
    return show_outlines(scene, _KIND, outlines, volume, _OPACITY, _THICKNESS)


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
