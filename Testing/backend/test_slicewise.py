"""2D networks in volumes: slices along any axis, pictures, colours, tiles of whole slices."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from medsegdiff import load_model, segment
from medsegdiff.diffusion.schedule import Schedule
from medsegdiff.errors import Cancelled, RequestError
from medsegdiff.image import Image
from medsegdiff.image.orientation import PLANES, plane_of_slice, turned
from medsegdiff.inference import model as loading
from medsegdiff.inference import request
from medsegdiff.inference.model import Model
from medsegdiff.inference.tiling import make_tiles, plan_cut
from medsegdiff.models.package import Label
from medsegdiff.networks import slicewise
from medsegdiff.networks.denoised import Denoised
from medsegdiff.networks.nested import for_samples
from medsegdiff.networks.registry import build_network
from medsegdiff.networks.slicewise import Slicewise
from tiny_models import write_tiny_model

FLAT = {"orientation": "RAS", "spacing": None, "normalization": "none", "divisible": [4, 4, 1]}
V2 = {"in_channels": 1, "out_channels": 3, "spatial_dims": 2, "channels": [4, 8, 8]}
UNET = {
    "in_channels": 1,
    "out_channels": 3,
    "spatial_dims": 2,
    "channels": [4, 8, 8],
    "strides": [2, 2],
    "num_res_units": 1,
}
RGB = [{"name": name} for name in ("red", "green", "blue")]


def network_2d(prediction: str):
    torch.manual_seed(0)
    if prediction == "none":
        return build_network("unet", UNET).eval()
    network = build_network("medsegdiff_v2", {**V2, "prediction": prediction}).eval()
    for parameter in network.diffusion_model.leave[2].parameters():  # a fresh one says nothing
        torch.nn.init.normal_(parameter, std=0.5)
    return network


def load(folder, network="unet", arguments=UNET, **entries) -> Model:
    package = write_tiny_model(folder, network, arguments, **{"preprocessing": FLAT, **entries})
    return load_model(package.folder, device="cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Model:
    model = load(tmp_path_factory.mktemp("models") / "flat", "medsegdiff_v2", {**V2, "prediction": "mask"})
    # a fresh one corrects nothing
    torch.nn.init.normal_(model.network.network.diffusion_model.leave[2].conv.weight, std=0.5)
    return model


@pytest.fixture(scope="module")
def unet(tmp_path_factory) -> Model:
    return load(tmp_path_factory.mktemp("models") / "plain")


@pytest.fixture(scope="module")
def image() -> Image:
    rng = np.random.default_rng(0)
    return Image(rng.normal(0, 1, (1, 14, 12, 9)).astype(np.float32), np.diag([1.0, 1.0, 1.0, 1.0]))


@pytest.mark.parametrize("chunk", [1, 8 * 12 * 3, 8 * 12 * 7, 2**20])
@pytest.mark.parametrize("prediction", ["none", "mask", "noise"])
def test_slices_of_a_volume_are_what_they_are_alone(prediction, chunk, monkeypatch):
    """Whatever the number of slices computed at once: less than a volume, or several volumes."""
    monkeypatch.setitem(slicewise.CHUNK, "cpu", chunk)
    network = network_2d(prediction)
    whole, x = Slicewise(network), torch.randn(1, 1, 8, 12, 5)
    with torch.no_grad():
        if prediction == "none":
            alone = torch.stack([network(x[..., k]) for k in range(5)], -1)
            torch.testing.assert_close(whole(x), alone, atol=1e-5, rtol=1e-5)
            return
        seen = whole.encode(x)
        assert whole.prediction == prediction and whole.diffusion
        anchor = torch.stack([network.encode(x[..., k]).anchor for k in range(5)], -1)
        torch.testing.assert_close(seen.anchor, anchor, atol=1e-5, rtol=1e-5)
        noisy, t = torch.randn(3, 3 if prediction == "mask" else 2, 8, 12, 5), torch.tensor([0.0, 400.0, 999.0])
        together = whole.denoise(noisy, t, for_samples(seen, 3))
        for n in range(3):
            for k in range(5):
                condition = network.encode(x[..., k])
                alone = network.denoise(noisy[n : n + 1, ..., k], t[n : n + 1], condition)
                if prediction == "mask":
                    torch.testing.assert_close(together[n : n + 1, ..., k], alone, atol=1e-4, rtol=1e-4)
                    continue
                assert together.variance is None
                for ours, theirs in ((together.noise, alone.noise), (together.mask, alone.mask)):
                    torch.testing.assert_close(ours[n : n + 1, ..., k], theirs, atol=1e-4, rtol=1e-4)


def test_condition_is_not_copied_for_the_samples():
    seen = Slicewise(network_2d("mask")).encode(torch.randn(1, 1, 8, 8, 3))
    assert for_samples(seen, 5).anchor.data_ptr() == seen.anchor.data_ptr()


def test_network_without_a_first_opinion_has_no_anchor():
    class Bare(torch.nn.Module):
        diffusion, prediction, spatial_dims, replayable = True, "noise", 2, False

        def encode(self, image):
            return slicewise.SliceCondition(image)

    assert Slicewise(Bare()).encode(torch.zeros(1, 1, 4, 4, 2)).anchor is None
    assert not Slicewise(Bare()).replayable and Slicewise(network_2d("mask")).replayable


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PLS", "ARI", "RSA", "SAL"])
@pytest.mark.parametrize("plane", PLANES)
def test_planes(orientation, plane):
    letters = turned(orientation, plane)
    across = {"axial": "SI", "coronal": "AP", "sagittal": "RL"}[plane]
    assert letters[2] in across and sorted(x in "LR" for x in letters) == [False, False, True]
    own = {"S": "axial", "I": "axial", "A": "coronal", "P": "coronal", "R": "sagittal", "L": "sagittal"}[orientation[2]]
    assert turned(letters, own) == orientation


def test_usual_orientations():
    assert tuple(PLANES) == request.PLANES
    assert [turned("RAS", plane) for plane in PLANES] == ["RAS", "RSA", "ASR"]
    # rows down, columns to the right on the screen
    assert [turned("PLS", plane) for plane in PLANES] == ["PLS", "ILA", "IPR"]


@pytest.mark.parametrize(("plane", "axis"), [("axial", 2), ("coronal", 1), ("sagittal", 0)])
def test_runs_along_any_axis(unet, image, plane, axis):
    """A 2D model's answer in a slice depends on that slice alone, in the plane asked for."""
    base = segment(unet, image, plane=plane)
    array = image.array.copy()
    array[(0, *(slice(None) if n != axis else 4 for n in range(3)))] += 3
    changed = segment(unet, Image(array, image.affine), plane=plane)
    apart = np.abs(base.probability - changed.probability).max(axis=(0, *(1 + n for n in range(3) if n != axis)))
    assert apart[4] > 1e-3 and np.delete(apart, 4).max() < 1e-5
    assert base.labelmap.shape == image.shape and base.affine is image.affine


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_plane_is_the_patients_not_the_arrays(unet, image, order):
    affine = np.eye(4)[:, [*order, 3]]
    turned_image = Image(image.array.transpose(0, *(n + 1 for n in order)), affine)
    base, other = segment(unet, image, plane="coronal"), segment(unet, turned_image, plane="coronal")
    np.testing.assert_allclose(other.probability, base.probability.transpose(0, *(n + 1 for n in order)), atol=1e-5)


@pytest.mark.parametrize("thin", [0, 1, 2])
def test_image_of_one_slice_is_seen_in_its_own_plane(unet, image, thin):
    flat = Image(image.array.take([4], axis=thin + 1), image.affine)
    plane = ("sagittal", "coronal", "axial")[thin]
    assert plane_of_slice(flat.shape, flat.affine) == plane and plane_of_slice(image.shape, image.affine) is None
    whole = segment(unet, image, plane=plane).probability.take([4], axis=thin + 1)
    np.testing.assert_allclose(segment(unet, flat).probability, whole, atol=1e-5)


def test_plane_of_a_3d_model_and_unknown_planes_are_refused(tmp_path, image, model):
    solid = load_model(write_tiny_model(tmp_path / "solid", "unet").folder, device="cpu")
    with pytest.raises(RequestError, match="3D model, which has no plane"):
        segment(solid, image, plane="axial")
    with pytest.raises(RequestError, match="plane 'oblique' is unknown; choose one of axial, coronal, sagittal"):
        segment(model, image, plane="oblique")


@pytest.mark.parametrize("options", [{"sample_batch": 1}, {"sample_batch": 3}])
def test_batches_change_nothing(model, image, options, monkeypatch):
    base = segment(model, image, samples=4, steps=3)
    assert (base.samples[0] != base.samples[1]).any()
    monkeypatch.setitem(slicewise.CHUNK, "cpu", 16 * 12 * 2)
    other = segment(model, image, samples=4, steps=3, **options)
    np.testing.assert_allclose(base.probability, other.probability, atol=1e-4)
    assert (base.samples == other.samples).mean() >= 0.9999


def test_cancelling_does_not_wait_for_all_slices(unet, image, monkeypatch):
    monkeypatch.setattr(slicewise, "CHUNK", {"cpu": 1})  # a slice at a time
    slices, asked = [], []
    handle = unet.network.network.register_forward_pre_hook(lambda *_: slices.append(1))
    with pytest.raises(Cancelled):
        segment(unet, image, cancelled=lambda: asked.append(1) or len(slices) == 3)
    handle.remove()
    assert len(slices) == 3


class Sure(torch.nn.Module):
    """Sees its sample where the image is 1 or -1, and thinks itself that it is where the image is 1."""

    diffusion, prediction, spatial_dims = True, "noise", 2

    def encode(self, image):
        return slicewise.SliceCondition(image)

    def denoise(self, x, t, condition):
        share = Schedule("linear").alpha_bar[t.long()].float().reshape(-1, 1, 1, 1)
        image = condition.slices
        return Denoised((x - share**0.5 * (image.abs() - 0.1)) / (1 - share) ** 0.5, None, 0.8 * (image == 1))


def test_slices_agree_with_their_sample_each_by_itself(tmp_path):
    """Whatever the others of the volume, and of the tile, do."""
    noisy, linear = {**V2, "out_channels": 2, "prediction": "noise"}, {"samples": 1, "steps": 3, "schedule": "linear"}
    labels = (Label(0, "background"), Label(1, "one"))
    sure = load(tmp_path / "sure", "medsegdiff_v2", noisy, labels=labels, sampling=linear)
    sure = replace(sure, network=Slicewise(Sure()))
    scene = np.zeros((1, 40, 40, 50), np.float32)
    scene[0, 2:12, 2:12, :40] = 1  # sample and opinion agree
    scene[0, 2:5, 2:12, 40:], scene[0, 6:14, 2:14, 40:] = 1, -1  # they do not
    volume, alone = (segment(sure, Image(array, np.eye(4))) for array in (scene, scene[..., 40:41]))
    np.testing.assert_allclose(np.unique(alone.probability[1].round(4)), [0, 0.225, 1])
    np.testing.assert_allclose(volume.probability[..., 40:], np.repeat(alone.probability, 10, -1), atol=1e-5)
    tiled = segment(sure, Image(scene, np.eye(4)), tile=32)
    assert tiled.report["network_evaluations"] > volume.report["network_evaluations"]
    np.testing.assert_allclose(tiled.probability, volume.probability, atol=1e-5)


def test_draws_within_a_network_come_from_the_seed(tmp_path, image, monkeypatch):
    """Whatever the batch, and the number of devices and of slices computed at once."""
    arguments = {"in_channels": 1, "out_channels": 3, "image_size": 16, "channels": 32, "channel_mult": [1, 1],
                 "highway_width": 4, "bottleneck": "reference"}  # fmt: skip
    flat = {**FLAT, "divisible": [16, 16, 1]}
    write_tiny_model(tmp_path / "unet", "unet")
    drawing = load(tmp_path / "v1", "medsegdiff_v1", arguments, preprocessing=flat, sampling={"samples": 3, "steps": 2})
    for parameter in drawing.network.parameters():  # what starts at zero says nothing
        torch.nn.init.normal_(parameter, std=0.1)
    monkeypatch.setattr(loading, "choose_devices", lambda name: [torch.device("cpu")] * 2)
    assert load_model(drawing.package.folder).copies == () and len(load_model(tmp_path / "unet").copies) == 1
    one, same, other = (segment(drawing, image, seed=seed).probability for seed in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    assert np.array_equal(one, segment(drawing, image, seed=1, sample_batch=3).probability)
    monkeypatch.setattr(slicewise, "CHUNK", {"cpu": 16 * 16 * 2})
    assert np.array_equal(one, segment(drawing, image, seed=1).probability)


def test_tiles_are_whole_slices_and_change_nothing(model):
    long = Image(np.random.default_rng(1).normal(0, 1, (1, 40, 40, 50)).astype(np.float32), np.eye(4))
    base, cut = segment(model, long, samples=2), segment(model, long, samples=2, tile=32, overlap=0.5)
    assert cut.report["network_evaluations"] == 3 * base.report["network_evaluations"]  # 20 slices of 40 x 40 make 32^3
    np.testing.assert_allclose(base.probability, cut.probability, atol=1e-4)
    assert (base.samples == cut.samples).mean() >= 0.9999


def test_networks_of_a_fixed_size_are_never_cut():
    cut = plan_cut((256, 256, 3), 32, (1, 1, 1), (256, 256, None), flat=True)
    tiles = make_tiles((256, 256, 3), cut, 0.25)
    assert [tile.window for tile in tiles] == [(slice(0, 256), slice(0, 256), slice(k, k + 1)) for k in range(3)]
    assert len(make_tiles((256, 256, 3), plan_cut((256, 256, 3), 32, (1, 1, 1), flat=True), 0.25)) > 3


def test_mirrored_variant_of_slices(tmp_path):
    """The variant is mirrored left-right, wherever that axis lies, and in the slice where they are sagittal."""
    for orientation, axis in (("RAS", 0), ("PLS", 0), ("ASR", 1)):
        plain = load(tmp_path / orientation, preprocessing={**FLAT, "orientation": orientation})
        image = Image(np.random.default_rng(3).normal(0, 1, (1, 12, 8, 8)).astype(np.float32), np.eye(4))
        both = segment(plain, image, tta=True).probability
        mirrored = Image(np.flip(image.array, axis + 1), image.affine)
        np.testing.assert_allclose(both, np.flip(segment(plain, mirrored, tta=True).probability, axis + 1), atol=1e-5)


def test_colours_to_a_model_of_three_channels(tmp_path):
    entries = {
        "channels": RGB,
        "preprocessing": {**FLAT, "orientation": "LPS", "normalization": "8bit", "size": [16, 16, None]},
    }
    colour = load(tmp_path / "colour", arguments={**UNET, "in_channels": 3}, **entries)
    picture = Image(
        np.random.default_rng(4).integers(0, 255, (3, 30, 21, 1), np.uint8), np.diag([-1.0, -1.0, 1.0, 1.0])
    )
    result = segment(colour, picture)
    assert result.labelmap.shape == (30, 21, 1)
    np.testing.assert_allclose(result.probability.sum(0), 1, atol=1e-4)
    with pytest.raises(RequestError, match="takes 3 channel.*the input has 1.*colour image"):
        segment(colour, Image(picture.array[:1], picture.affine))
    grey = load(tmp_path / "grey")
    with pytest.raises(RequestError, match="takes 1 channel.*the input has 3; give one grey image"):
        segment(grey, picture)


def test_dropout_takes_as_many_slices_at_once():
    sliced, calls = Slicewise(network_2d("none")), []
    sliced.network.register_forward_hook(lambda *_call: calls.append(1))
    for sliced.replayable in (True, False):  # the latter is what dropout says, for CUDA graphs
        sliced(torch.zeros(1, 1, 8, 8, 16))
    assert len(calls) == 2
