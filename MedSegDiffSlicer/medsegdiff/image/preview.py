"""A picture of a segmentation: slices with contours, and the uncertainty over the same slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFilter, ImageFont

from .colors import inferno
from .image import Image
from .orientation import nearest_axes

if TYPE_CHECKING:
    from ..models.package import Label
    from ..uncertainty.map_range import Span

SLICES = 3  # a view
WIDTH, HEIGHT = 200, 280  # pixels that a slice may take
FLAT = 480  # the same, both ways, for a 2D image
MARGIN = 10.0  # mm shown around the structures
FINER = 3  # drawn so many times finer, then averaged: smooth lines
THICK, THIN = 4, 1  # contours, in these finer pixels
GAP, BAND = 6, 26  # pixels between slices; height of a line of text
BACKGROUND, TEXT, DIM = (18, 20, 24), (236, 239, 242), (150, 158, 168)
UNITS = {"entropy": " nats", "expected-entropy": " nats", "mutual-information": " nats", "variance": ""}


@dataclass(frozen=True)
class _View:
    """A way to look: the RAS axis looked along, those that run right and down in the picture, and the letters at its
    left, right, top and bottom edge. As if facing the patient: the patient's right is on the left."""

    name: str
    across: int
    right: int
    down: int
    letters: str


_VIEWS = (_View("axial", 2, 0, 1, "RLAP"), _View("coronal", 1, 0, 2, "RLSI"), _View("sagittal", 0, 1, 2, "APSI"))


@dataclass(frozen=True)
class _Scene:
    """What is drawn, with axes turned to R, A, S: RGB (I, J, K, 3) in 0 - 255, labels and uncertainty (I, J, K), mm a
    voxel, the values that the colours of the uncertainty span, the labels' colours."""

    image: np.ndarray
    labels: np.ndarray
    uncertainty: np.ndarray
    spacing: np.ndarray
    span: Span
    colors: dict[int, tuple[int, int, int]]


def draw_preview(
    image: Image, labelmap: np.ndarray, labels: Sequence[Label], uncertainty: np.ndarray, measure: str,
    span: Span,
) -> Picture.Image:
    """Draws axial, coronal and sagittal slices through the structures: left with contours, right with the uncertainty.

    image: the scan; its first channel is shown, or three 8-bit channels as colours.  labelmap: (I, J, K) uint8.
    labels: the structures.  uncertainty: (I, J, K) float32 of the kind `measure`.
    span: the values that its colours span.
    Returns an RGB picture, each view to scale in mm. A 2D image gives one view.
    """
    scene = _scene(image, labelmap, labels, uncertainty, span)
    flat = [view for view in _VIEWS if scene.labels.shape[view.across] == 1]
    views = flat[:1] or _VIEWS
    box = _box(scene)
    rows = [list(_panels(scene, view, box, (FLAT, FLAT) if flat else (WIDTH, HEIGHT))) for view in views]
    return _arrange(rows, views, scene, labels, image.voxel_volume, measure)


def _scene(
    image: Image, labelmap: np.ndarray, labels: Sequence[Label], uncertainty: np.ndarray, span: Span
) -> _Scene:
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
    return _Scene(grey, turned(labelmap), turned(uncertainty), spacing, span, colors)


def _box(scene: _Scene) -> list[tuple[int, int]]:
    """First and last voxel (exclusive) shown along each axis: the structures and a margin, or all if there are none."""
    found = np.argwhere(scene.labels > 0)
    if len(found) == 0:
        return [(0, count) for count in scene.labels.shape]
    margin = np.ceil(MARGIN / scene.spacing).astype(int)
    low, high = np.maximum(found.min(0) - margin, 0), np.minimum(found.max(0) + 1 + margin, scene.labels.shape)
    return list(zip(low.tolist(), high.tolist()))


def _panels(scene: _Scene, view: _View, box: list, room: tuple[int, int]) -> Iterator[Picture.Image]:
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


def _positions(scene: _Scene, view: _View, box: list) -> list[int]:
    """Slices at a fifth, the middle and four fifths of the structures' voxels, or of the image without structures."""
    found = np.argwhere(scene.labels > 0)[:, view.across]
    start, stop = box[view.across]
    shares = [0.5] if stop - start < SLICES else [0.2, 0.5, 0.8]
    if len(found) == 0:
        return [start + int(share * (stop - start)) for share in shares]
    places = [int(p) for p in np.quantile(found, shares)]
    return places if view.letters[0] == "A" else places[::-1]


def _with_contours(grey: Picture.Image, labels: np.ndarray, uncertainty: np.ndarray, scene: _Scene) -> Picture.Image:
    for value, color in scene.colors.items():
        mask = smooth_mask(labels == value, grey.size)
        grey.paste(color, mask=mask.point(lambda v: v // 6))
        grey.paste(_bright(color), mask=outline(mask, THICK))
    return grey


def _with_uncertainty(grey: Picture.Image, labels: np.ndarray, uncertainty: np.ndarray, scene: _Scene) -> Picture.Image:
    plane = Picture.fromarray(np.ascontiguousarray(uncertainty, dtype=np.float32))
    share = np.clip(np.asarray(plane.resize(grey.size, Picture.Resampling.BILINEAR)) / scene.span.high, 0, 1)
    opacity = Picture.fromarray((230 * np.sqrt(share)).astype(np.uint8))
    grey.paste(Picture.fromarray(inferno(share).astype(np.uint8)), mask=opacity)
    for value in scene.colors:
        edge = outline(smooth_mask(labels == value, grey.size), THIN)
        grey.paste((255, 255, 255), mask=edge.point(lambda v: v * 3 // 5))
    return grey


def smooth_mask(mask: np.ndarray, size: tuple[int, int]) -> Picture.Image:
    """A mask at the picture's resolution, its outline smooth through the voxels' edges."""
    plane = Picture.fromarray((mask * 255).astype(np.uint8)).resize(size, Picture.Resampling.BICUBIC)
    return plane.point(lambda v: 255 * (v > 127))


def outline(mask: Picture.Image, width: int) -> Picture.Image:
    """The pixels of the mask that are at most `width` from its edge."""
    inner = np.asarray(mask.filter(ImageFilter.BoxBlur(width))) == 255
    return Picture.fromarray(np.where(inner, 0, np.asarray(mask)))


def _bright(color: tuple[int, int, int]) -> tuple[int, int, int]:
    """The colour, lightened until it shows on a dark scan."""
    return tuple(max(part, round(part + (130 - max(color)) * 0.6)) for part in color) if max(color) < 130 else color


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _letter(panel: Picture.Image, view: _View) -> None:
    draw, font, (width, height) = ImageDraw.Draw(panel), _font(12), panel.size
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
    draw.text((7, y - 4), f"{lengths[0]} mm", (255, 255, 255), _font(11), anchor="lb", **outlined)


def _arrange(
    rows: list[list[Picture.Image]], views: Sequence[_View], scene: _Scene, labels: Sequence[Label], voxel: float,
    measure: str,
) -> Picture.Image:  # fmt: skip
    """All panels with headings, and a legend below."""
    half = max(len(row) for row in rows) // 2
    cell = [max(row[0].width for row in rows)] * half
    block = sum(cell) + GAP * (half - 1)
    edge, middle = BAND, 3 * GAP
    entries = _entries(scene, labels, voxel)
    width = edge + 2 * block + middle + 2 * GAP
    height = BAND + sum(row[0].height + GAP for row in rows) + BAND * max(2, (len(entries) + 1) // 2) + GAP
    canvas = Picture.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    starts = (edge, edge + block + middle)
    for x, text in zip(starts, ("segmentation", f"uncertainty: {measure.replace('-', ' ')}")):
        draw.text((x, BAND / 2), text, TEXT, _font(15), anchor="lm")
    y = BAND
    for row, view in zip(rows, views):
        for index, panel in enumerate(row):
            side, column = divmod(index, len(row) // 2)
            x = starts[side] + column * (cell[0] + GAP) + (cell[0] - panel.width) // 2
            canvas.paste(panel, (x, y))
        if len(views) > 1:
            _turned_text(canvas, view.name, y + row[0].height // 2)
        y += row[0].height + GAP
    _legend(draw, starts[0], y, entries)
    _color_bar(canvas, draw, starts[1], y, min(block, 300), scene.span, UNITS.get(measure, ""))
    return canvas


def _entries(scene: _Scene, labels: Sequence[Label], voxel: float) -> list[tuple[str, tuple[int, int, int]]]:
    """Text (name, and volume where the image has any; voxel: mm^3) and colour of each structure that was found."""
    counts = np.bincount(scene.labels.ravel(), minlength=256)
    found = [label for label in labels if counts[label.value]]
    if not found:
        return [("no structure found", DIM)]
    flat = min(scene.labels.shape) == 1
    volumes = ["" if flat else f"  {counts[label.value] * voxel / 1000:.2f} ml" for label in found]
    return [(f"{label.name}{volume}", _bright(tuple(label.color))) for label, volume in zip(found, volumes)]


def _turned_text(canvas: Picture.Image, text: str, middle: int) -> None:
    font = _font(13)
    left, top, right, bottom = font.getbbox(text)
    label = Picture.new("RGB", (int(right - left) + 2, int(bottom) + 4), BACKGROUND)
    ImageDraw.Draw(label).text((1 - left, 0), text, DIM, font)
    label = label.rotate(90, expand=True)
    canvas.paste(label, ((BAND - label.width) // 2, middle - label.height // 2))


def _legend(draw: ImageDraw.ImageDraw, x: int, y: int, entries: Sequence[tuple[str, tuple[int, int, int]]]) -> None:
    """Colour and text of each structure, in two columns."""
    font = _font(14)
    step = 50 + max((int(draw.textlength(text, font)) for text, _ in entries), default=0)
    for index, (text, color) in enumerate(entries):
        row, column = divmod(index, 2)
        left, top = x + column * step, y + row * BAND
        draw.rounded_rectangle((left, top + 6, left + 14, top + 20), 3, fill=color)
        draw.text((left + 22, top + 13), text, TEXT, font, anchor="lm")


def _color_bar(
    canvas: Picture.Image, draw: ImageDraw.ImageDraw, x: int, y: int, width: int, span: Span, unit: str
) -> None:
    ramp = np.broadcast_to(inferno(np.linspace(0, 1, width)).astype(np.uint8), (12, width, 3))
    canvas.paste(Picture.fromarray(np.ascontiguousarray(ramp)), (x, y + 7))
    for share, anchor in ((0, "lm"), (0.5, "mm"), (1, "rm")):
        text = f"{share * span.high:.2f}" if share else "0"
        if share == 1:
            text = ("≥ " if span.open else "") + text + unit
        draw.text((x + share * width, y + 31), text, DIM, _font(13), anchor=anchor)
