"""Networks that see clicks: where the maps lie, and that they move with the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from medsegdiff import load_model, segment
from medsegdiff.errors import RequestError
from medsegdiff.image import Image
from medsegdiff.inference.click_maps import click_maps, prepared_click_maps
from medsegdiff.inference.clicks import VoxelClick
from medsegdiff.inference.model import Model
from medsegdiff.inference.preprocessing import Preprocessing
from tiny_models import NETWORKS, write_tiny_model

CLICKS = {"sigma_mm": 2.0}


def arguments(network: str) -> dict:
    return {**NETWORKS[network], "in_channels": 4}


class Echo(torch.nn.Module):
    """Says label 1 where the map of its clicks is above one half, else background: (B, C + L, ...) -> logits."""

    diffusion, spatial_dims = False, 3

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        assert image.shape[1] == 4
        there = image[:, 2] > 0.5
        return torch.stack([10.0 * ~there, 10.0 * there, torch.zeros_like(image[:, 0])], 1)


@pytest.fixture
def echo(tmp_path) -> Model:
    model = load_model(
        write_tiny_model(tmp_path / "echo", "unet", arguments("unet"), clicks=CLICKS).folder, device="cpu"
    )
    return Model(model.package, Echo(), model.device, model.precision, None)


def test_maps_are_bells_of_a_size_in_mm():
    maps = click_maps([((4, 5, 6), 2), ((4.5, 9, 6), 2), ((0, 0, 0), 0)], (12, 14, 12), (1, 2, 1), 3, 2.0)
    assert maps.shape == (3, 12, 14, 12) and maps.dtype == np.float32 and not maps[1].any()
    assert maps[2, 4, 5, 6] == 1 and maps[0, 0, 0, 0] == 1
    assert maps[2, 6, 5, 6] == pytest.approx(np.exp(-0.5)) == pytest.approx(maps[2, 4, 4, 6])
    assert maps[2, 4, 9, 6] == pytest.approx(np.exp(-0.5 * 0.25**2)) == pytest.approx(maps[2, 5, 9, 6])


def test_maps_follow_the_image_into_any_preprocessing(affine):
    """A bright spot is where its click is, after turning, resampling and padding."""
    index = (15, 19, 12)
    array = click_maps([(index, 0)], (31, 34, 25), (1, 1, 1), 1, 2.0)
    prepared = Preprocessing("PSL", (1.5, 1.0, 2.0), "none", 8).prepare(Image(array, affine))
    maps = prepared_click_maps([VoxelClick(index, 1)], prepared, 2, 3.0)
    weights = prepared.array[0] / prepared.array[0].sum()
    grid = np.stack(np.meshgrid(*map(np.arange, weights.shape), indexing="ij"))
    np.testing.assert_allclose((grid * weights).sum((1, 2, 3)), prepared.place(index), atol=0.05)
    highest = np.unravel_index(maps[1].argmax(), maps[1].shape)
    assert np.abs(np.subtract(highest, prepared.place(index))).max() <= 0.5


@pytest.mark.parametrize("options", [{}, {"variants": ("mirror", "rotation", "intensity")}, {"tile": 32}])
def test_clicks_stay_on_their_place_whatever_is_changed_or_cut(echo, affine, options):
    """A network that marks what is clicked marks it in the image's own geometry."""
    image = Image(np.random.default_rng(0).normal(0, 1, (1, 60, 50, 20)).astype(np.float32), affine)
    index = (40, 14, 8)
    place = affine[:3, :3] @ index + affine[:3, 3]
    out = segment(echo, image, clicks=[(*place, 1)], **options)
    found = np.argwhere(out.labelmap == 1)
    assert len(found) and len(out.samples) == (6 if "variants" in options else 1)
    assert np.abs((found.mean(0) - index) @ affine[:3, :3].T).max() < 1.0, "mm"
    for sample in out.samples:
        assert sample[index] == 1
    assert not segment(echo, image, **options).labelmap.any(), "no clicks, nothing to mark"


@pytest.mark.parametrize("network", ["unet", "medsegdiff_3d", "medsegdiff_v2"])
def test_models_with_click_channels_run(tmp_path, network):
    """With and without clicks, and the clicks make a difference; guesses of models without such channels are taken."""
    package = write_tiny_model(tmp_path / "clicked", network, arguments(network), clicks=CLICKS)
    image = Image(np.random.default_rng(0).normal(0, 1, (1, 16, 16, 16)).astype(np.float32), np.eye(4))
    model = load_model(package.folder, device="cpu")
    without, clicked = segment(model, image), segment(model, image, clicks=[(8, 8, 8, 1)])
    assert np.abs(without.probability - clicked.probability).max() > 1e-3
    if model.diffusion:
        guess = str(write_tiny_model(tmp_path / "plain", "unet").folder)
        segment(model, image, truncation=0.5, guess=guess)
        ours = write_tiny_model(tmp_path / "diffusion").folder
        segment(str(ours), image, truncation=0.5, guess=str(package.folder))
    with pytest.raises(RequestError, match="clicks differ"):
        other = write_tiny_model(tmp_path / "other", "unet", arguments("unet"), clicks={"sigma_mm": 3})
        mine = write_tiny_model(tmp_path / "mine", "medsegdiff_3d", arguments("medsegdiff_3d"), clicks=CLICKS)
        segment(str(mine.folder), image, truncation=0.5, guess=str(other.folder))


def test_2d_models_see_clicks_on_slices_of_any_plane(tmp_path):
    flat = {**arguments("unet"), "spatial_dims": 2}
    preprocessing = {"orientation": "RAS", "spacing": [1, 1, None], "divisible": [8, 8, 1]}
    package = write_tiny_model(tmp_path / "flat", "unet", flat, preprocessing=preprocessing, clicks=CLICKS)
    image = Image(np.random.default_rng(0).normal(0, 1, (1, 16, 18, 20)).astype(np.float32), np.eye(4))
    for plane in ("axial", "coronal", "sagittal"):
        without, clicked = (segment(str(package.folder), image, plane=plane, clicks=c) for c in ((), [(8, 9, 3, 1)]))
        changed = np.argwhere(np.abs(without.probability - clicked.probability).max(0) > 0.02)
        assert clicked.labelmap[8, 9, 3] == 1 and len(changed) > 1
        across = changed[:, {"axial": 2, "coronal": 1, "sagittal": 0}[plane]]
        assert across.min() >= {"axial": 3, "coronal": 9, "sagittal": 8}[plane] - 8, "slices far from it stay"


def test_networks_have_as_many_inputs_as_the_package_says(tmp_path):
    package = write_tiny_model(tmp_path / "tiny", "unet", clicks=CLICKS)
    with pytest.raises(RequestError, match="in_channels 1, the package describes 4"):
        load_model(package.folder)
