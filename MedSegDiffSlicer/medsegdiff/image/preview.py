"""A picture of a segmentation: slices with contours, and the uncertainty over the same slices."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from .colors import inferno
from .image import Image
from .preview_panels import VIEWS, Scene, View, draw_panels, lightened, make_scene, shown_box
from .volume_text import in_ml

if TYPE_CHECKING:
    from ..models.package import Label
    from ..uncertainty.map_range import Span

WIDTH, HEIGHT = 200, 280  # pixels that a slice may take
FLAT = 480  # the same, both ways, for a 2D image
GAP, BAND = 6, 26  # pixels between slices; height of a line of text
BACKGROUND, TEXT, DIM, WARNING = (18, 20, 24), (236, 239, 242), (150, 158, 168), (255, 176, 32)
UNITS = {"entropy": " nats", "expected-entropy": " nats", "mutual-information": " nats", "variance": ""}


def draw_preview(
    image: Image, labelmap: np.ndarray, labels: Sequence[Label], uncertainty: np.ndarray, measure: str,
    span: Span, warnings: Sequence[str] = (),
) -> Picture.Image:  # fmt: skip
    """Draws axial, coronal and sagittal slices through the structures: left with contours, right with the uncertainty;
    below, volumes, and what is to be heeded before they are believed.

    image: the scan; its first channel is shown, or three 8-bit channels as colours.  labelmap: (I, J, K) uint8.
    labels: the structures.  uncertainty: (I, J, K) float32 of the kind `measure`.
    span: the values that its colours span.  warnings: sentences; the first is drawn, and how many there are.
    Returns an RGB picture, each view to scale in mm. A 2D image gives one view.
    """
    scene = make_scene(image, labelmap, labels, uncertainty, span)
    flat = [view for view in VIEWS if scene.labels.shape[view.across] == 1]
    views = flat[:1] or VIEWS
    box = shown_box(scene)
    rows = [list(draw_panels(scene, view, box, (FLAT, FLAT) if flat else (WIDTH, HEIGHT))) for view in views]
    return _with_warnings(_arrange(rows, views, scene, labels, image.voxel_volume, measure), warnings)


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _arrange(
    rows: list[list[Picture.Image]], views: Sequence[View], scene: Scene, labels: Sequence[Label], voxel: float,
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


def _with_warnings(picture: Picture.Image, warnings: Sequence[str]) -> Picture.Image:
    """The picture with the first warning below, in as many lines as it takes."""
    if not warnings:
        return picture
    begin = "warning" if len(warnings) == 1 else f"{len(warnings)} warnings, the first"
    font, lines = _font(15), [""]
    for word in f"{begin}: {warnings[0]}".split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and font.getlength(longer) > picture.width - 2 * BAND:
            lines.append(word)
        else:
            lines[-1] = longer
    out = Picture.new("RGB", (picture.width, picture.height + BAND * len(lines)), BACKGROUND)
    out.paste(picture)
    draw = ImageDraw.Draw(out)
    for number, line in enumerate(lines):
        draw.text((BAND, picture.height + BAND * (number + 0.5)), line, WARNING, font, anchor="lm")
    return out


def _entries(scene: Scene, labels: Sequence[Label], voxel: float) -> list[tuple[str, tuple[int, int, int]]]:
    """Text (name, and volume where the image has any; voxel: mm^3) and colour of each structure that was found."""
    counts = np.bincount(scene.labels.ravel(), minlength=256)
    found = [label for label in labels if counts[label.value]]
    if not found:
        return [("no structure found", DIM)]
    flat = min(scene.labels.shape) == 1
    volumes = ["" if flat else f"  {in_ml(counts[label.value] * voxel)} ml" for label in found]
    return [(f"{label.name}{volume}", lightened(tuple(label.color))) for label, volume in zip(found, volumes)]


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
    digits = 2 - min(0, floor(log10(span.high)))
    for share, anchor in ((0, "lm"), (0.5, "mm"), (1, "rm")):
        text = f"{share * span.high:.{digits}f}" if share else "0"
        if share == 1:
            text = (">= " if span.open else "") + text + unit  # the font has no sign for it
        draw.text((x + share * width, y + 31), text, DIM, _font(13), anchor=anchor)
