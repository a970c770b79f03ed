"""The slices of a preview: each with contours, or with the uncertainty over it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from .colors import inferno
from .contours import outline, smooth_mask
from .image import Image
from .orientation import nearest_axes

if TYPE_CHECKING:
    from ..models.package import Label
    from ..uncertainty.map_range import Span

SLICES = 3  # a view
MARGIN = 10.0  # mm shown around the structures
FINER = 3  # drawn so many times finer, then averaged: smooth lines
THICK, THIN = 4, 1  # contours, in these finer pixels


@dataclass(frozen=True)
class View:
    """A way to look: the RAS axis looked along, those that run right and down in the picture, and the letters at its
    left, right, top and bottom edge. As if facing the patient: the patient's right is on the left."""

    name: str
    across: int
    right: int
    down: int
    letters: str


VIEWS = (View("axial", 2, 0, 1, "RLAP"), View("coronal", 1, 0, 2, "RLSI"), View("sagittal", 0, 1, 2, "APSI"))


@dataclass(frozen=True)
class Scene:
    """What is drawn, with axes turned to R, A, S: RGB (I, J, K, 3) in 0 - 255, labels and uncertainty (I, J, K), mm a
    voxel, the values that the colours of the uncertainty span, the labels' colours."""

    image: np.ndarray
    labels: np.ndarray
    uncertainty: np.ndarray
    spacing: np.ndarray
    span: Span
    colors: dict[int, tuple[int, int, int]]


def make_scene(
    image: Image, labelmap: np.ndarray, labels: Sequence[Label], uncertainty: np.ndarray, span: Span
) -> Scene:
    """Arguments as of preview.draw_preview."""
    axes, flips = nearest_axes(image.affine)

    def turned(array: np.ndarray) -> np.ndarray:
        return array.transpose(axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]

    colour = image.array.shape[0] == 3 and image.array.dtype == np.uint8
    channels = [turned(channel) for channel in (image.array if colour else image.array[:1])]
    low, high = (0, 255) if colour else np.percentile(channels[0], (0.5, 99.8))
    stack = np.stack(channels * (1 if colour else 3), axis=-1).astype(np.float32)
    grey = np.clip((stack - low) * (255 / (high - low) if high > low else 0), 0, 255)
    spacing = np.array(image.spacing)[list(axes)]
    colors = {label.value: tuple(label.color) for label in labels}
    return Scene(grey, turned(labelmap), turned(uncertainty), spacing, span, colors)


def shown_box(scene: Scene) -> list[tuple[int, int]]:
    """First and last voxel (exclusive) shown along each axis: the structures and a margin, or all if there are none."""
    found = np.argwhere(scene.labels > 0)
    if len(found) == 0:
        return [(0, count) for count in scene.labels.shape]
    margin = np.ceil(MARGIN / scene.spacing).astype(int)
    low, high = np.maximum(found.min(0) - margin, 0), np.minimum(found.max(0) + 1 + margin, scene.labels.shape)
    return list(zip(low.tolist(), high.tolist()))


def draw_panels(scene: Scene, view: View, box: list, room: tuple[int, int]) -> Iterator[Picture.Image]:
    """The slices of a view, as large as fits into `room`: first all with contours, then all with uncertainty."""
    positions = _positions(scene, view, box)
    window = tuple(slice(*box[axis]) for axis in sorted((view.right, view.down)))
    sides = [(box[axis][1] - box[axis][0]) * scene.spacing[axis] for axis in (view.right, view.down)]
    scale = min(pixels / mm for pixels, mm in zip(room, sides))
    size = tuple(max(1, round(side * scale)) for side in sides)
    for draw in (_with_contours, _with_uncertainty):
        for position in positions:
            # The axes of a slice are in R, A, S order: swapped and turned over, rows run down, columns to the right.
            image, labels, uncertainty = (
                array.take(position, axis=view.across)[window].swapaxes(0, 1)[::-1, ::-1]
                for array in (scene.image, scene.labels, scene.uncertainty)
            )
            large = (size[0] * FINER, size[1] * FINER)
            grey = Picture.fromarray(image.astype(np.uint8)).resize(large, Picture.Resampling.BICUBIC)
            panel = draw(grey, labels, uncertainty, scene).resize(size, Picture.Resampling.BOX)
            if scene.labels.shape[view.across] > 1:
                _letter(panel, view)
            if position == positions[0]:
                _scale_bar(panel, scale)
            yield panel


def _positions(scene: Scene, view: View, box: list) -> list[int]:
    """Slices at a fifth, the middle and four fifths of the structures' voxels, or of the image without structures."""
    found = np.argwhere(scene.labels > 0)[:, view.across]
    start, stop = box[view.across]
    shares = [0.5] if stop - start < SLICES else [0.2, 0.5, 0.8]
    if len(found) == 0:
        return [start + int(share * (stop - start)) for share in shares]
    places = [int(p) for p in np.quantile(found, shares)]
    return places if view.letters[0] == "A" else places[::-1]


def _with_contours(grey: Picture.Image, labels: np.ndarray, uncertainty: np.ndarray, scene: Scene) -> Picture.Image:
    for value, color in scene.colors.items():
        mask = smooth_mask(labels == value, grey.size)
        grey.paste(color, mask=mask.point(lambda v: v // 6))
        grey.paste(lightened(color), mask=outline(mask, THICK))
    return grey


def _with_uncertainty(grey: Picture.Image, labels: np.ndarray, uncertainty: np.ndarray, scene: Scene) -> Picture.Image:
    plane = Picture.fromarray(np.ascontiguousarray(uncertainty, dtype=np.float32))
    share = np.clip(np.asarray(plane.resize(grey.size, Picture.Resampling.BILINEAR)) / scene.span.high, 0, 1)
    opacity = Picture.fromarray((230 * np.sqrt(share)).astype(np.uint8))
    grey.paste(Picture.fromarray(inferno(share).astype(np.uint8)), mask=opacity)
    for value in scene.colors:
        edge = outline(smooth_mask(labels == value, grey.size), THIN)
        grey.paste((255, 255, 255), mask=edge.point(lambda v: v * 3 // 5))
    return grey


def lightened(color: tuple[int, int, int]) -> tuple[int, int, int]:
    """The colour, lightened until it shows on a dark scan."""
    return tuple(max(part, round(part + (130 - max(color)) * 0.6)) for part in color) if max(color) < 130 else color


def _letter(panel: Picture.Image, view: View) -> None:
    draw, font, (width, height) = ImageDraw.Draw(panel), ImageFont.load_default(12), panel.size
    places = ((4, height / 2, "lm"), (width - 4, height / 2, "rm"), (width / 2, 3, "mt"), (width / 2, height - 4, "mb"))
    for letter, (x, y, anchor) in zip(view.letters, places):
        draw.text((x, y), letter, (255, 214, 102), font, anchor=anchor, stroke_width=1, stroke_fill=(0, 0, 0))


def _scale_bar(panel: Picture.Image, scale: float) -> None:
    """A bar of 1, 5, 10, 50 or 100 mm, at most 40 % of the width, at the lower left."""
    lengths = [mm for mm in (100, 50, 10, 5, 1) if mm * scale <= 0.4 * panel.width]
    if not lengths:
        return
    draw, y, end = ImageDraw.Draw(panel), panel.height - 8, 7 + lengths[0] * scale
    draw.line((7, y, end, y), (255, 255, 255), 2)
    outlined = {"stroke_width": 1, "stroke_fill": (0, 0, 0)}
    draw.text((7, y - 4), f"{lengths[0]} mm", (255, 255, 255), ImageFont.load_default(11), anchor="lb", **outlined)
