"""What models of nnU-Net need done to images: the steps beside numbers that nnU-Net 2.8 itself gave, and the way
back."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from medsegdiff.errors import RequestError
from medsegdiff.image import Image
from medsegdiff.inference.api import segment
from medsegdiff.inference.model import load_model
from medsegdiff.inference.preprocessing import Preprocessing
from medsegdiff.inference.resampling import resample_linear, resample_spline, skipped_axis
from medsegdiff.inference.tiling import Weights, make_windows, window_bell
from tiny_models import write_tiny_model

WAVE = np.sin(np.arange(6 * 7 * 5) * 1.7).reshape(1, 6, 7, 5).astype(np.float32)
AFFINE = np.diag([-1.2, 0.9, 2.0, 1.0])


@pytest.mark.parametrize(
    ("shape", "spacing", "wanted", "spline", "linear"),
    [
        ((9, 5, 6), (1.5, 1, 1.2), (1, 1.4, 1), [0.1958, 0.1983, -0.1661, 0.498, 0.0994, 0.0062, 0.0047, 0.5505],
         [0.1597, 0.0091, -0.0807, 0.1332, 0.0343, -0.0283, 0.0839, 0.2017]),
        ((4, 9, 7), (4, 1, 1), (6, 0.8, 0.7), [-0.1769, -0.8596, -0.2317, -0.6916, 0.6682, 0.5175, 0.7119],
         [0.0, -0.4685, -0.1021, -0.3599, 0.4059, 0.4097, 0.5892]),
    ],
    ids=["isotropic", "anisotropic"],
)  # fmt: skip
def test_resampling_is_that_of_nnunet(shape, spacing, wanted, spline, linear):
    skipped = skipped_axis(spacing, wanted)
    assert skipped == (0 if spacing[0] == 4 else None)
    np.testing.assert_allclose(resample_spline(WAVE, shape, skipped).ravel()[::37], spline, atol=6e-5)
    np.testing.assert_allclose(resample_linear(WAVE, shape, skipped).ravel()[::37], linear, atol=6e-5)


def test_windows_lie_as_those_of_nnunet():
    tiles = make_windows((50, 41, 12), (16, 20, None))
    starts = [sorted({tile.core[axis].start for tile in tiles}) for axis in range(3)]
    assert starts == [[0, 7, 14, 20, 27, 34], [0, 7, 14, 21], [0]]
    assert all(tile.core == tile.window and tile.core[2].stop == 12 for tile in tiles)
    total = np.zeros((50, 41, 12))
    weights = Weights(total.shape, tiles, window_bell)
    for tile in tiles:
        total[tile.core] += weights(tile)
    np.testing.assert_allclose(total, 1, atol=1e-5)
    np.testing.assert_allclose(window_bell(8), np.exp(-((np.arange(8) - 4.0) ** 2) / 2), rtol=1e-6)


def test_crop_mask_and_fixed_numbers():
    """A box within zeros is looked at alone; one channel is scaled over the mask, the other by numbers."""
    array = np.zeros((2, 9, 8, 7), np.float32)
    array[:, 2:7, 3:8, 1:5] = np.random.default_rng(0).normal(50, 9, (2, 5, 5, 4))
    array[:, 4, 5, 3] = 0  # a hole belongs to the mask, a corner does not
    array[:, 2, 3, 1] = 0
    how = ({"low": 40, "high": 60, "mean": 48, "deviation": 4}, "zscore-nonzero")
    own = Preprocessing((2, 1, 0), None, how, 1, crop="nonzero", resampling="nnunet", window=(6, None, 4))
    prepared = own.prepare(Image(array, AFFINE))
    assert prepared.array.shape == (2, 6, 5, 5)
    part = array[:, 2:7, 3:8, 1:5].transpose(0, 3, 2, 1)
    np.testing.assert_allclose(prepared.array[0][prepared.inside], (part[0].clip(40, 60) - 48) / 4, atol=1e-6)
    mask = np.ones(part.shape[1:], bool)
    mask[0, 0, 0] = False
    scaled = (part[1] - part[1][mask].mean()) / part[1][mask].std()
    np.testing.assert_allclose(prepared.array[1][prepared.inside], np.where(mask, scaled, part[1]), atol=1e-5)
    result = np.zeros(prepared.array.shape, np.float32)
    result[1] = 1
    back = prepared.restore(result)
    assert back.shape == array.shape and back[1].sum() == 100 and back[1, 2:7, 3:8, 1:5].all()
    np.testing.assert_array_equal(back.sum(0), 1)
    place = prepared.place((3, 4, 2))
    assert prepared.array[(0, *map(round, place))] == pytest.approx((array[0, 3, 4, 2].clip(40, 60) - 48) / 4)


def test_blank_images_and_other_numbers_of_channels():
    own = Preprocessing((2, 1, 0), None, ("zscore-nonzero",), crop="nonzero", resampling="nnunet", divisible=1)
    assert not own.prepare(Image(np.zeros((1, 4, 5, 6)), AFFINE)).array.any()
    with pytest.raises(RequestError, match="1 normalizations for 2 channels"):
        own.prepare(Image(np.ones((2, 4, 5, 6)), AFFINE))


def test_logits_are_blended_and_resampled_before_they_become_probabilities(tmp_path):
    """The whole way, done by hand beside the engine's."""
    window = {
        "orientation": [2, 1, 0], "spacing": [1.5, 0.9, 1.2], "normalization": "zscore", "divisible": 1,
        "resampling": "nnunet", "window": [8, 16, 16],
    }  # fmt: skip
    package = write_tiny_model(tmp_path / "tiny", "unet", preprocessing=window)
    image = Image(np.random.default_rng(0).normal(0, 1, (1, 24, 16, 12)).astype(np.float32), AFFINE)
    model = load_model(package, device="cpu")
    result = segment(model, image)
    prepared = Preprocessing.from_dict(window).prepare(image)
    assert prepared.array.shape == (1, 16, 16, 24)
    logits, total = np.zeros((3, 16, 16, 24)), np.zeros((16, 16, 24))
    bell = window_bell(8)[:, None, None] * window_bell(16)[:, None] * window_bell(16)
    for i in (0, 4, 8):
        for k in (0, 8):
            place = np.s_[:, i : i + 8, :, k : k + 16]
            with torch.no_grad():
                said = model.network(torch.from_numpy(np.ascontiguousarray(prepared.array[place]))[None])[0].numpy()
            logits[place] += said * bell
            total[place[1:]] += bell
    mean = resample_linear((logits / total).astype(np.float32), (12, 16, 24), None).transpose(0, 3, 2, 1)
    expected = torch.softmax(torch.from_numpy(mean), 0).numpy()
    np.testing.assert_allclose(result.probability, expected, atol=1e-4)
    softer = load_model(replace(package, calibration={"temperature": 2.0}), device="cpu")
    assert (segment(softer, image).labelmap == result.labelmap).mean() > 0.98
