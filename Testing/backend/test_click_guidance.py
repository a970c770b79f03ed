"""Clicks as guidance in the sampling loop: the label wins there in every sample, whatever the model says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from medsegdiff import segment
from medsegdiff.image import Image
from medsegdiff.inference.clicks import VoxelClick
from medsegdiff.inference.engine import segment_image
from medsegdiff.inference.guidance import ClickGuide
from medsegdiff.inference.preprocessing import Preprocessing
from medsegdiff.inference.request import SegmentRequest
from medsegdiff.inference.variants import Rotated
from tiny_models import write_tiny_model

SHAPE = (40, 24, 32)
WHOLE = tuple(slice(0, n) for n in SHAPE)


def guide_for(*clicks: VoxelClick) -> ClickGuide:
    image = Image(np.zeros((1, *SHAPE), np.float32), np.eye(4))
    return ClickGuide.of(clicks, Preprocessing("RAS", None, "none", 1).prepare(image))


def flat(*shares: float, shape=SHAPE) -> torch.Tensor:
    return torch.tensor(shares).reshape(1, -1, 1, 1, 1).expand(2, -1, *shape).contiguous()


def test_a_label_gains_where_it_is_clicked_and_less_around():
    guide, before = guide_for(VoxelClick((20, 10, 16), 1)), flat(0.9, 0.08, 0.02)
    after = guide(before, 500, WHOLE)
    np.testing.assert_allclose(after.sum(1), 1, atol=1e-5)
    assert (after.argmax(1)[:, 20, 10, 16] == 1).all()
    row = after[0, 1, 20:, 10, 16]
    assert (row.diff() <= 1e-6).all() and row[1] > 0.3 and row[-1] == pytest.approx(0.08, abs=1e-5)
    odds = after[0, 0] / after[0, 2]
    torch.testing.assert_close(odds, torch.full_like(odds, 45.0), rtol=1e-4, atol=0), "the others keep their ratio"


def test_a_click_that_is_met_changes_nothing():
    before = flat(0.9, 0.08, 0.02)
    torch.testing.assert_close(guide_for(VoxelClick((20, 10, 16), 0))(before, 0, WHOLE), before)


def test_beyond_its_reach_a_click_changes_nothing_at_all():
    before = flat(1 - 2e-7, 1e-7, 1e-7)
    after = guide_for(VoxelClick((2, 2, 2), 1))(before, 0, WHOLE)
    assert after[0, 1, 2, 2, 2] > 0.5
    assert torch.equal(after[..., 24:, :, :], before[..., 24:, :, :])


def test_a_part_of_the_image_is_guided_as_the_whole():
    guide, before = guide_for(VoxelClick((20, 10, 16), 1), VoxelClick((4, 4, 4), 2)), flat(0.9, 0.08, 0.02)
    window = (slice(8, 40), slice(0, 24), slice(4, 32))
    part = guide(before[(..., *window)], 0, window)
    inside = (..., slice(10, 32), slice(0, 24), slice(0, 28))  # what a tile far from the other click answers for
    whole = guide_for(VoxelClick((20, 10, 16), 1))(before, 0, WHOLE)[(..., *window)]
    torch.testing.assert_close(part[inside], whole[inside])


def test_a_guide_turns_with_the_image():
    """Where a bright voxel is in the turned image, the label gains there."""
    index = (28, 6, 20)
    image = np.zeros((1, *SHAPE), np.float32)
    image[0][index] = 1
    variant = Rotated("", 12, (0, 1), (1.0, 1.0))
    turned = variant.guide(guide_for(VoxelClick(index, 1)), WHOLE, SHAPE)(flat(0.9, 0.08, 0.02), 0)
    bright = variant.moved(image)[0]
    centre = np.array([(grid * bright).sum() for grid in np.indices(SHAPE)]) / bright.sum()
    highest = np.unravel_index(turned[0, 1].argmax(), SHAPE)
    assert np.abs(highest - centre).max() <= 1.0 and np.abs(np.subtract(highest, index)).max() > 1


@pytest.mark.parametrize("options", [{}, {"variants": ("mirror", "rotation", "intensity")}, {"tile": 32},
                                     {"sampler": "ddpm", "steps": 3}, {"sampler": "dpm++", "steps": 3}])  # fmt: skip
def test_every_sample_of_a_diffusion_model_heeds_clicks(model, affine, options):
    array = np.random.default_rng(0).normal(0, 1, (1, 70, 40, 30)).astype(np.float32)
    image, index = Image(array, affine), (50, 12, 9)
    plain = segment(model, image, samples=4, **options)
    there = (slice(None), *index)
    label = int((plain.samples[there] == 1).mean() < 0.5)  # what most samples do not say
    place = affine[:3, :3] @ index + affine[:3, 3]
    opinions = []
    request = SegmentRequest("tiny", samples=4, clicks=[(*place, label)], **options)
    watch = lambda probability, labelmap: opinions.append(labelmap.copy())  # noqa: E731
    out = segment_image(request, image, model=model, watch=watch)
    around = tuple(slice(i - 1, i + 2) for i in index)
    assert np.mean([(found[around] == label).any() for found in opinions]) >= 0.75
    assert out.labelmap[index] == label and (out.samples[there] == label).all()


def test_another_guide_is_heard_first(model):
    image, asked = Image(np.zeros((1, 16, 16, 16), np.float32), np.eye(4)), []

    def nothing(probability, t, window):
        asked.append(t)
        return flat(0.98, 0.01, 0.01, shape=probability.shape[2:])[: len(probability)]

    request = SegmentRequest("tiny", samples=2, tta=False, clicks=[(8, 8, 8, 2)])
    out = segment_image(request, image, model=model, guide=nothing)
    assert asked and out.labelmap[8, 8, 8] == 2 and not out.labelmap[0].any()


def test_clicks_are_heeded_with_the_fusion_that_is_asked_for(model):
    image = Image(np.random.default_rng(0).normal(0, 1, (1, 16, 16, 16)).astype(np.float32), np.eye(4))
    asked = {"samples": 5, "clicks": [(8, 8, 8, 1)], "fusion": "majority", "threshold": 0.3}
    out = segment(model, image, **asked)
    np.testing.assert_array_equal(out.labelmap, out.refuse("majority", 0.3).labelmap)
    assert (out.labelmap != out.refuse("mean").labelmap).any() and out.report["fusion"] == "majority"


def test_models_without_samples_heed_clicks_in_the_result(tmp_path):
    folder = write_tiny_model(tmp_path / "plain", "unet").folder
    image = Image(np.random.default_rng(0).normal(0, 1, (1, 16, 16, 16)).astype(np.float32), np.eye(4))
    for label in (0, 1, 2):
        assert segment(str(folder), image, clicks=[(8, 8, 8, label)]).labelmap[8, 8, 8] == label
