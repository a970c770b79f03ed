"""Pictures of the worst cases: slices with the contours of segmentation and reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO

import numpy as np
from PIL import Image as Picture

from ..image import Image
from ..image.orientation import nearest_axes
from ..image.contours import outline, smooth_mask

CASES = 6
MARGIN = 8.0  # mm shown around the structures
EDGE = 260  # pixels of the longer side of a slice
FINER, LINE = 3, 3  # drawn so many times finer, then averaged; width of a contour in these pixels
OURS, THEIRS, GAP = (255, 140, 40), (60, 220, 255), 6
_VIEWS = ((2, 0, 1), (1, 0, 2), (0, 1, 2))  # RAS axis looked along, those that run right and down


class WorstCases:
    """Keeps PNG pictures of the cases with the lowest Dice."""

    def __init__(self, count: int = CASES):
        self._count = count
        self._kept: list[tuple[float, str, bytes]] = []

    def offer(
        self, case: str, dice: float | None, labelmap: np.ndarray, raters: Sequence[np.ndarray],
        scan: Callable[[], Image],
    ) -> None:  # fmt: skip
        """Draws the case if it is among the worst so far. dice: None, of a case without structures, is left out.
        labelmap, raters: (I, J, K) labels.  scan: reads the image, which is on their grid."""
        if dice is None or (len(self._kept) == self._count and dice >= self._kept[-1][0]):
            return
        stream = BytesIO()
        draw_case(scan(), labelmap, raters).save(stream, "PNG", optimize=True)
        self._kept = sorted([*self._kept, (dice, case, stream.getvalue())])[: self._count]

    @property
    def pictures(self) -> list[tuple[str, float, bytes]]:
        """Case, Dice and PNG, worst first."""
        return [(case, dice, png) for dice, case, png in self._kept]


def draw_case(image: Image, labelmap: np.ndarray, raters: Sequence[np.ndarray]) -> Picture.Image:
    """RGB picture of the axial, coronal and sagittal slice with most voxels that differ from the raters', or of the one
    slice that there is.

    image: the scan; its first channel is shown.  labelmap, raters: (I, J, K) labels.
    Contours of all structures: the segmentation's orange, the raters' light blue. As if facing the patient.
    """
    axes, flips = nearest_axes(image.affine)

    def turned(array: np.ndarray) -> np.ndarray:
        return array.transpose(axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]

    grey = turned(image.array[0]).astype(np.float32)
    low, high = np.percentile(grey, (0.5, 99.8))
    grey = np.clip((grey - low) * (255 / (high - low) if high > low else 0), 0, 255).astype(np.uint8)
    ours, theirs = turned(labelmap), [turned(rater) for rater in raters]
    spacing = np.array(image.spacing)[list(axes)]
    wrong = sum((ours != rater).astype(np.int32) for rater in theirs)
    box = _box(np.any([ours > 0, *(rater > 0 for rater in theirs)], axis=0), spacing)
    panels = []
    for across, right, down in _VIEWS:
        if grey.shape[across] == 1 or min(grey.shape) > 1:
            place = int(wrong.sum((right, down)).argmax())
            window = tuple(box[axis] for axis in (right, down))
            planes = [array.take(place, axis=across)[window].T[::-1, ::-1] for array in (grey, ours, *theirs)]
            panels.append(_panel(*planes[:2], planes[2:], spacing[[right, down]]))
    width = sum(panel.width for panel in panels) + GAP * (len(panels) - 1)
    canvas = Picture.new("RGB", (width, max(panel.height for panel in panels)))
    x = 0
    for panel in panels:
        canvas.paste(panel, (x, (canvas.height - panel.height) // 2))
        x += panel.width + GAP
    return canvas


def _box(mask: np.ndarray, spacing: np.ndarray) -> list[slice]:
    """A margin around the structures, or all if there are none."""
    found = np.argwhere(mask)
    if len(found) == 0:
        return [slice(None)] * 3
    margin = np.ceil(MARGIN / spacing).astype(int)
    low, high = np.maximum(found.min(0) - margin, 0), found.max(0) + 1 + margin
    return [slice(start, stop) for start, stop in zip(low.tolist(), high.tolist())]


def _panel(grey: np.ndarray, ours: np.ndarray, theirs: Sequence[np.ndarray], spacing: np.ndarray) -> Picture.Image:
    """A slice, rows running down.  spacing: mm to the right and down."""
    sides = np.array(grey.shape[::-1]) * spacing
    size = tuple(max(1, int(round(side))) for side in sides * EDGE / sides.max())
    large = tuple(edge * FINER for edge in size)
    panel = Picture.fromarray(np.ascontiguousarray(grey)).resize(large, Picture.Resampling.BICUBIC).convert("RGB")
    for labels, color in (*((rater, THEIRS) for rater in theirs), (ours, OURS)):
        for value in np.unique(labels[labels > 0]):
            panel.paste(color, mask=outline(smooth_mask(labels == value, large), LINE))
    return panel.resize(size, Picture.Resampling.BOX)
