"""Preprocessing: the network sees what the package declares, and results return to the image's own grid."""

from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import pytest

from medsegdiff.errors import RequestError
from medsegdiff.image import Image
from medsegdiff.inference.preprocessing import Preprocessing

PLAIN = Preprocessing(spacing=None, normalization="none", divisible=1)


def noise(shape=(2, 11, 9, 7)) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)


def places(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """RAS mm of every voxel, as an image of three channels."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    return (np.einsum("ab,bijk->aijk", affine[:3, :3], index) + affine[:3, 3, None, None, None]).astype(np.float32)


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "LIP", "SRA"])
def test_axes_point_where_the_package_says(affine, orientation):
    world = {"L": (0, -1), "R": (0, 1), "P": (1, -1), "A": (1, 1), "I": (2, -1), "S": (2, 1)}
    image = Image(places((4, 5, 6), affine), affine)
    array = Preprocessing(orientation, None, "none", 1).prepare(image).array
    assert sorted(array.ravel()) == sorted(image.array.ravel())
    for axis, letter in enumerate(orientation):
        place, sign = world[letter]
        step = np.diff(array, axis=axis + 1).mean(axis=(1, 2, 3))
        assert sign * step[place] > 0
    steps = [np.diff(array, axis=axis + 1).mean(axis=(1, 2, 3)) for axis in range(3)]
    cosines = sum(abs(step[world[letter][0]]) / np.linalg.norm(step) for step, letter in zip(steps, orientation))
    directions = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    best = max(np.trace(directions[:, list(order)]) for order in permutations(range(3)))
    assert cosines == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize("divisible", [1, 8, (4, 1, 16)])
def test_round_trip_without_resampling_is_exact(affine, divisible):
    image = Image(noise(), affine)
    prepared = Preprocessing(spacing=None, normalization="none", divisible=divisible).prepare(image)
    restored = prepared.restore(prepared.array)
    assert restored.dtype == np.float32
    np.testing.assert_array_equal(restored, image.array)


def test_labels_return_exactly(affine):
    image = Image(noise(), affine)
    prepared = Preprocessing(spacing=None).prepare(image)
    labels = np.random.default_rng(1).integers(0, 9, (3, *prepared.array.shape[1:]), np.uint8)
    back = prepared.restore(labels)
    assert back.dtype == np.uint8 and back.shape == (3, *image.shape)
    again = Preprocessing(spacing=None, normalization="none").prepare(Image(back, affine)).array
    inside = Preprocessing(spacing=None, normalization="none").prepare(Image(np.ones((1, *image.shape)), affine)).array
    np.testing.assert_array_equal(again, np.where(inside == 1, labels, 0))


def test_input_is_left_alone_and_output_is_fit_for_torch(affine):
    image = Image(noise(), affine)
    before = image.array.copy()
    array = Preprocessing().prepare(image).array
    np.testing.assert_array_equal(image.array, before)
    assert array.dtype == np.float32 and array.flags.c_contiguous and array.flags.writeable


@pytest.mark.parametrize("target", [(1, 1, 1), (2.5, 0.6, 1.4)])
def test_resampled_image_keeps_its_place(affine, target):
    """A linear function of the place is the same after resampling there and back, away from the edges."""
    image = Image(places((24, 26, 22), affine), affine)
    package = Preprocessing("RAS", target, "none", 8)
    prepared = package.prepare(image)
    assert all(count % 8 == 0 for count in prepared.array.shape[1:])
    inner = (slice(None), *(slice(5, count - 5) for count in image.shape))
    restored = prepared.restore(prepared.array)
    assert restored.shape == image.array.shape
    np.testing.assert_allclose(restored[inner], image.array[inner], atol=2e-3)


def test_resampled_size_and_centre():
    affine = np.diag([0.5, 2.0, 3.0, 1.0])
    image = Image(places((20, 15, 9), affine), affine)
    array = Preprocessing(normalization="none", divisible=1).prepare(image).array
    assert array.shape == (3, 10, 30, 27)
    centre = (affine @ (9.5, 7, 4, 1))[:3]
    np.testing.assert_allclose(array.mean(axis=(1, 2, 3)), centre, atol=1e-3)
    np.testing.assert_allclose(np.diff(array[1], axis=1)[:, 5:-5], 1, atol=1e-4)


def test_small_differences_of_spacing_are_not_resampled():
    image = Image(noise((1, 120, 130, 4)), np.diag([1.009, 0.992, 1.0, 1.0]))
    array = Preprocessing(normalization="none", divisible=1).prepare(image).array
    np.testing.assert_array_equal(array, image.array)


def test_downsampling_is_anti_aliased():
    stripes = np.zeros((1, 39, 39, 39))
    stripes[:, ::2] = 100
    array = Preprocessing(spacing=(3, 3, 3), normalization="none", divisible=1).prepare(Image(stripes, np.eye(4))).array
    assert array.shape == (1, 13, 13, 13)
    np.testing.assert_allclose(array[:, 1:-1], 50, atol=2)


def test_probabilities_still_sum_to_one():
    image = Image(noise((1, 15, 12, 10)), np.diag([0.8, 1.3, 2.4, 1.0]))
    prepared = Preprocessing().prepare(image)
    share = np.random.default_rng(2).random((3, *prepared.array.shape[1:]), dtype=np.float32)
    restored = prepared.restore(share / share.sum(0))
    np.testing.assert_allclose(restored.sum(0), 1, atol=1e-5)
    assert restored.min() >= 0


def test_zscore_is_a_channel_at_a_time():
    array = noise()
    array[1] = array[1] * 7 - 300
    result = Preprocessing(divisible=1).prepare(Image(array, np.eye(4))).array
    np.testing.assert_allclose(result.mean(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(result.std(axis=(1, 2, 3)), 1, atol=1e-5)
    np.testing.assert_allclose(result[0], (array[0] - array[0].mean()) / array[0].std(), atol=1e-4)


def test_zscore_of_tiny_values():
    array = noise() * 1e-9
    assert Preprocessing(divisible=1).prepare(Image(array, np.eye(4))).array.std() == pytest.approx(1, abs=1e-3)


def test_percentiles():
    array = np.linspace(-50, 950, 1000).reshape(1, 10, 10, 10)
    array[0, 9, 9, 9] = 1e6
    result = Preprocessing(normalization="percentile", divisible=1).prepare(Image(array, np.eye(4))).array
    assert result.min() == 0 and result.max() == 1
    assert result[0, 5, 0, 0] == pytest.approx(0.5, abs=0.01)


def test_eight_bit_colours_become_shares():
    array = np.array([0, 51, 255], np.uint8).reshape(3, 1, 1, 1)
    result = Preprocessing(normalization="8bit", divisible=1).prepare(Image(array, np.eye(4))).array
    np.testing.assert_allclose(result.ravel(), [0, 0.2, 1])


@pytest.mark.parametrize("normalization", ["zscore", "percentile"])
@pytest.mark.parametrize("value", [0, 37, 1e5 / 3])
def test_constant_image_becomes_zero(normalization, value):
    image = Image(np.full((1, 8, 8, 8), value, np.float32), np.eye(4))
    assert not Preprocessing(normalization=normalization).prepare(image).array.any()


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_values_that_float32_does_not_hold_are_refused(dtype):
    """Not those that need it only to be exact, nor a constant with errors of rounding."""
    step = np.arange(512).reshape(1, 8, 8, 8)
    with pytest.raises(RequestError, match="differ too little for their size; subtract the smallest"):
        Preprocessing().prepare(Image((1e9 + step / 5).astype(dtype), np.eye(4)))
    for fine in (1e6 + step, step * 1e6, np.full(step.shape, 1e9) + 1e-7 * step):
        Preprocessing().prepare(Image(fine.astype(dtype), np.eye(4)))
    if dtype is np.float64:
        with pytest.raises(RequestError, match=r"reach 5.11e\+302, more than 1e\+37"):
            Preprocessing().prepare(Image(step * 1e300, np.eye(4)))


def test_padding_is_symmetric_zeros():
    array = Preprocessing(normalization="none").prepare(Image(np.full((1, 5, 8, 10), 3), np.eye(4))).array
    assert array.shape == (1, 8, 8, 16)
    assert (array[0, 1:6, :, 3:13] == 3).all() and array.sum() == 3 * 5 * 8 * 10


def test_flat_image():
    image = Image(noise((3, 20, 21, 1)), np.diag([-0.5, -0.5, 1.0, 1.0]))
    prepared = Preprocessing("LPS", None, divisible=(8, 8, 1)).prepare(image)
    assert prepared.array.shape == (3, 24, 24, 1)
    assert prepared.restore(prepared.array).shape == (3, 20, 21, 1)
    assert Preprocessing().prepare(image).array.shape == (3, 16, 16, 8)


def test_fixed_size_and_exactly_back():
    """A picture of any shape is squeezed to the network's size; a linear function of the place survives both ways."""
    affine = np.diag([-0.5, -0.8, 1.0, 1.0])
    image = Image(places((60, 41, 3), affine), affine)
    package = Preprocessing("LPS", (1, 1, None), "none", divisible=1, size=(32, 64, None))
    prepared = package.prepare(image)
    assert prepared.array.shape == (3, 32, 64, 3)
    restored = prepared.restore(prepared.array)
    assert restored.shape == image.array.shape
    np.testing.assert_allclose(restored[:, 4:-4, 4:-4], image.array[:, 4:-4, 4:-4], atol=2e-3)
    exact = Image(noise((3, 32, 64, 1)), affine)
    np.testing.assert_array_equal(package.prepare(exact).array, exact.array)


def test_spacing_of_some_axes():
    image = Image(noise((1, 10, 20, 7)), np.diag([2.0, 0.5, 5.0, 1.0]))
    assert Preprocessing(spacing=(1, 1, None), divisible=1).prepare(image).array.shape == (1, 20, 10, 7)


def test_sheared_grid_returns_exactly():
    affine = np.eye(4)
    affine[0, 1] = 0.4
    image = Image(noise(), affine)
    prepared = PLAIN.prepare(image)
    np.testing.assert_array_equal(prepared.restore(prepared.array), image.array)


def test_from_json():
    text = '{"orientation": "LPS", "spacing": [1, 1, 2.5], "normalization": "percentile", "divisible": [8, 8, 1]}'
    assert Preprocessing.from_dict(json.loads(text)) == Preprocessing("LPS", (1.0, 1.0, 2.5), "percentile", (8, 8, 1))
    assert Preprocessing.from_dict({"spacing": None}).spacing is None


@pytest.mark.parametrize(
    "data, words",
    [
        ({"colour": "red"}, "unknown preprocessing colour"),
        ({"orientation": "RAX"}, "orientation"),
        ({"orientation": "RLS"}, "orientation"),
        ({"normalization": "max"}, "normalization .max. is unknown"),
        ({"spacing": [1, 1]}, "three positive numbers"),
        ({"spacing": [1, 1, 0]}, "three positive numbers"),
        ({"spacing": "fine"}, "spacing"),
        ({"divisible": 0}, "whole numbers"),
        ({"divisible": 2.5}, "whole numbers"),
        ({"divisible": [8, 8]}, "whole numbers"),
        ({"divisible": [8, 8, None]}, "whole numbers"),
        ({"size": [256, 256]}, "three positive whole numbers"),
        ({"size": [256, 0, None]}, "three positive whole numbers"),
        ({"size": 256}, "three positive whole numbers"),
    ],
)
def test_unusable_declaration(data, words):
    with pytest.raises(RequestError, match=words):
        Preprocessing.from_dict(data)


def test_absurd_voxel_size():
    with pytest.raises(RequestError, match="check its spacing"):
        Preprocessing().prepare(Image(noise(), np.diag([5000.0, 1, 1, 1])))


def test_results_of_another_shape():
    prepared = PLAIN.prepare(Image(noise(), np.eye(4)))
    with pytest.raises(ValueError, match="do not fit"):
        prepared.restore(np.zeros((2, 3, 3, 3), np.float32))


@pytest.mark.parametrize("spacing", [50.0, 1000.0])
def test_a_mistaken_spacing_is_told_before_it_takes_all_memory(spacing):
    image = Image(np.zeros((1, 40, 56, 40), np.float32), np.diag([spacing] * 3 + [1.0]))
    with pytest.raises(RequestError, match="at the model's voxel size the image would have .* check its spacing"):
        Preprocessing(spacing=(1.0, 1.0, 1.0)).prepare(image)
