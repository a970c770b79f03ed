"""The picture of a segmentation: the right colours in the right places."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageDraw

from medsegdiff.image.image import Image
from medsegdiff.image.colors import INFERNO
from medsegdiff.image.preview import WARNING, draw_preview
from medsegdiff.models.package import Label
from medsegdiff.uncertainty.map_range import Span

SPAN = Span(0.0, 1.0)
RED, BLUE = Label(1, "front", (255, 0, 0)), Label(2, "back", (0, 0, 255))


def case(affine: np.ndarray, shape: tuple[int, int, int] = (30, 40, 24)) -> tuple[Image, np.ndarray, np.ndarray]:
    """A grey scan, label 1 in its first and label 2 in its last part of axis j, uncertainty between."""
    image = np.random.default_rng(0).normal(100, 3, (1, *shape)).astype(np.float32)
    labels = np.zeros(shape, np.uint8)
    labels[10:20, 8:20, 8:16], labels[10:20, 20:32, 8:16] = 1, 2
    uncertainty = np.zeros(shape, np.float32)
    uncertainty[10:20, 18:22, 8:16] = 1.0
    return Image(image, affine), labels, uncertainty


def draw(affine: np.ndarray) -> np.ndarray:
    image, labels, uncertainty = case(affine)
    return np.asarray(draw_preview(image, labels, (RED, BLUE), uncertainty, "entropy", SPAN)).astype(int)


def where(picture: np.ndarray, color: tuple[int, int, int], far: int = 40) -> np.ndarray:
    """(N, 2) row and column of the pixels of about that colour."""
    return np.argwhere(np.abs(picture - color).max(-1) < far)


@pytest.fixture(scope="module")
def plain() -> np.ndarray:
    return draw(np.eye(4))


def test_contours_are_on_the_left_and_uncertainty_on_the_right(plain: np.ndarray):
    middle = plain.shape[1] // 2
    for color in ((255, 0, 0), (0, 0, 255)):
        places = where(plain, color)
        assert len(places) > 200 and (places[:, 1] < middle).all()
    hottest = where(plain[: plain.shape[0] * 3 // 4], tuple(INFERNO[-1].astype(int)), far=30)
    assert len(hottest) > 200 and (hottest[:, 1] > middle).all()


def test_posterior_lies_below_anterior_in_axial_slices(plain: np.ndarray):
    axial = plain[: plain.shape[0] // 3, : plain.shape[1] // 2]
    low, high = where(axial, (255, 0, 0)), where(axial, (0, 0, 255))  # label 2 has the larger j: anterior
    assert high[:, 0].mean() < low[:, 0].mean() - 20


@pytest.mark.parametrize("flip", [(-1, 1, 1), (1, -1, 1), (-1, -1, -1)])
def test_pictures_do_not_depend_on_how_voxels_are_stored(plain: np.ndarray, flip: tuple[int, int, int]):
    image, labels, uncertainty = case(np.eye(4))
    turned = (slice(None, None, flip[0]), slice(None, None, flip[1]), slice(None, None, flip[2]))
    affine = np.diag([*flip, 1.0])
    affine[:3, 3] = [size - 1 if f < 0 else 0 for f, size in zip(flip, labels.shape)]
    stored = Image(image.array[(slice(None), *turned)].transpose(0, 3, 1, 2), affine[:, [2, 0, 1, 3]])
    labels, uncertainty = labels[turned].transpose(2, 0, 1), uncertainty[turned].transpose(2, 0, 1)
    assert (np.asarray(draw_preview(stored, labels, (RED, BLUE), uncertainty, "entropy", SPAN)) == plain).all()


def test_thick_slices_keep_their_shape():
    spacing = np.diag([1.0, 1.0, 3.0, 1.0])
    image, labels, uncertainty = case(spacing)
    picture = np.asarray(draw_preview(image, labels, (RED, BLUE), uncertainty, "entropy", SPAN)).astype(int)
    coronal = picture[picture.shape[0] // 3 : picture.shape[0] * 2 // 3, : picture.shape[1] // 2]
    # Label 1 is 10 mm wide and 8 * 3 = 24 mm high; the first coronal slice that shows it holds nothing else.
    places = where(coronal, (255, 0, 0))
    columns = np.unique(places[:, 1])
    first = columns[: np.argmax(np.diff(columns) > 40) + 1] if (np.diff(columns) > 40).any() else columns
    height, width = np.ptp(places[:, 0]), np.ptp(first)
    assert height / width == pytest.approx(2.4, rel=0.1)


def test_nothing_found_and_nothing_uncertain_still_draws():
    image, labels, uncertainty = case(np.eye(4))
    picture = draw_preview(image, np.zeros_like(labels), (RED, BLUE), np.zeros_like(uncertainty), "entropy", SPAN)
    assert len(where(np.asarray(picture).astype(int), (255, 0, 0))) == 0


def test_a_colour_photograph_gives_one_view():
    photo = np.zeros((3, 60, 40, 1), np.uint8)
    photo[1] = 200
    labels = np.zeros((60, 40, 1), np.uint8)
    labels[20:40, 10:30] = 1
    picture = draw_preview(
        Image(photo, np.diag([-1.0, -1, 1, 1])), labels, (RED,), np.zeros(labels.shape, np.float32), "entropy", SPAN
    )
    pixels = np.asarray(picture).astype(int)
    assert len(where(pixels, (0, 200, 0))) > 10_000
    assert len(where(pixels, (255, 0, 0))) > 200


def test_a_warning_is_in_the_picture():
    image, labels, uncertainty = case(np.eye(4))
    warnings = ["the image is unlike those that the model was trained on: " + "do not trust the numbers " * 20, "more"]
    pictures = [
        np.asarray(draw_preview(image, labels, (RED, BLUE), uncertainty, "entropy", SPAN, some)).astype(int)
        for some in ((), warnings)
    ]
    calm, warned = pictures
    assert (warned[: len(calm)] == calm).all()
    rows, columns = where(warned[len(calm) :], WARNING, 10).T
    assert len(rows) > 200 and columns.max() < warned.shape[1] - 10
    assert np.diff(np.unique(rows)).max() > 5  # long ones go on in the next line


@pytest.mark.parametrize(
    ("high", "texts"), [(0.0277, ["0", "0.0138", ">= 0.0277 nats"]), (1.0986, ["0", "0.55", ">= 1.10 nats"])]
)
def test_the_colours_numbers_can_be_read(monkeypatch, high, texts):
    drawn, really = [], ImageDraw.ImageDraw.text
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda *a, **k: drawn.append(a[2]) or really(*a, **k))
    image, labels, uncertainty = case(np.eye(4))
    draw_preview(image, labels, (RED, BLUE), uncertainty, "mutual-information", Span(0, high, True))
    assert drawn[-3:] == texts and all(text.isascii() for text in drawn)  # the font lacks many other signs
