"""The benchmark's picture: quality against network evaluations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

SIZE = (1100, 540)  # pixels
FINER = 3  # drawn so many times finer, then averaged
LEFT, RIGHT, TOP, BOTTOM = 78, 290, 64, 64  # pixels around the axes; the legend is at the right
PAPER, INK, DIM, GRID = (255, 255, 255), (28, 39, 51), (96, 112, 128), (225, 230, 236)
COLORS = (  # Okabe and Ito, 2008
    (0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (230, 159, 0),
)  # fmt: skip


class Series(NamedTuple):
    """A line: its name, and (evaluations, quality) from left to right."""

    name: str
    points: list[tuple[float, float]]


def draw_plot(report: dict[str, Any]) -> Picture.Image:
    """RGB picture of SIZE. report: from run_benchmark."""
    lines = series_of(report)
    canvas = Picture.new("RGB", tuple(n * FINER for n in SIZE), PAPER)
    draw = ImageDraw.Draw(canvas)
    across, up = _axes(lines)
    _frame(draw, across, up, report["quality"])
    for line, color in zip(lines, COLORS):
        points = [(_x(across, e), _y(up, q)) for e, q in line.points]
        draw.line(points, color, 2 * FINER, joint="curve")
        for x, y in points:
            radius = 4 * FINER
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), color, PAPER, FINER)
    _legend(draw, lines)
    return canvas.resize(SIZE, Picture.Resampling.BOX)


def series_of(report: dict[str, Any]) -> list[Series]:
    """A line for each sampler (over its steps), one without the mirrored copy, one over the number of samples, and the
    plain model as a line of one point where it has a quality; from the rows of the first device."""
    lines: dict[str, list[tuple[float, float]]] = {}
    device = report["rows"][0]["device"]
    for row in report["rows"]:
        if row["quality"] is not None and row["device"] == device:
            lines.setdefault(_name(row), []).append((row["network_evaluations"], row["quality"]))
    return [Series(name, sorted(points)) for name, points in lines.items()]


def _name(row: dict[str, Any]) -> str:
    options = row["options"]
    if row["part"] == "samples":
        return f"more samples, {options['steps']} steps"
    if "steps" not in options:
        return row["model"]
    if options.get("tta") is False:
        return f"{options['samples']} samples, no mirrored copy"
    return f"{options['samples']} samples, more steps, {options['sampler']}"


class _Scale(NamedTuple):
    low: float
    high: float
    ticks: list[float]


def _axes(lines: Sequence[Series]) -> tuple[_Scale, _Scale]:
    """The scales of evaluations (logarithms of 2) and of quality."""
    evaluations = [e for line in lines for e, _ in line.points]
    quality = [q for line in lines for _, q in line.points]
    first = math.floor(math.log2(min(evaluations)))
    last = max(first + 1, math.ceil(math.log2(max(evaluations))))
    step = _round(max(max(quality) - min(quality), 1e-3) / 5)
    low = math.floor(min(quality) / step - 0.2) * step
    high = min(math.ceil(max(quality) / step + 0.2) * step, 1.0 if max(quality) <= 1 else math.inf)
    ticks = [low + n * step for n in range(round((high - low) / step) + 1) if low + n * step <= high + 1e-9]
    return _Scale(first, last, [float(n) for n in range(first, last + 1)]), _Scale(low, high, ticks)


def _round(value: float) -> float:
    """The next number of the kind 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(n * power for n in (1, 2, 5, 10) if n * power >= value * (1 - 1e-9))


def _x(scale: _Scale, evaluations: float) -> float:
    share = (math.log2(evaluations) - scale.low) / (scale.high - scale.low)
    return FINER * (LEFT + share * (SIZE[0] - LEFT - RIGHT))


def _y(scale: _Scale, quality: float) -> float:
    share = (quality - scale.low) / (scale.high - scale.low)
    return FINER * (SIZE[1] - BOTTOM - share * (SIZE[1] - TOP - BOTTOM))


def _frame(draw: ImageDraw.ImageDraw, across: _Scale, up: _Scale, title: str) -> None:
    font = _font(14)
    left, right, bottom, top = FINER * LEFT, FINER * (SIZE[0] - RIGHT), FINER * (SIZE[1] - BOTTOM), FINER * TOP
    digits = max(0, -math.floor(math.log10(up.ticks[1] - up.ticks[0]) + 1e-9)) if len(up.ticks) > 1 else 3
    for tick in up.ticks:
        y = _y(up, tick)
        draw.line((left, y, right, y), GRID, FINER)
        draw.text((left - 8 * FINER, y), f"{tick:.{digits}f}", DIM, font, anchor="rm")
    for tick in across.ticks:
        x = _x(across, 2**tick)
        draw.line((x, top, x, bottom), GRID, FINER)
        draw.text((x, bottom + 8 * FINER), f"{2**tick:g}", DIM, font, anchor="mt")
    draw.line((left, bottom, right, bottom), DIM, FINER)
    draw.text((left, 20 * FINER), title, INK, _font(18), anchor="lt")
    draw.text(((left + right) / 2, FINER * (SIZE[1] - 14)), "network evaluations a mask", INK, _font(15), anchor="mb")


def _legend(draw: ImageDraw.ImageDraw, lines: Sequence[Series]) -> None:
    font, x = _font(14), FINER * (SIZE[0] - RIGHT + 20)
    for number, (line, color) in enumerate(zip(lines, COLORS)):
        y = FINER * (TOP + 12 + 26 * number)
        draw.line((x, y, x + 20 * FINER, y), color, 3 * FINER)
        draw.text((x + 28 * FINER, y), line.name, INK, font, anchor="lm")


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size * FINER)
