"""The MaxQuery score of a mask transformer in a run: its numbers, those of the training cases, and the warning."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from medsegdiff.errors import Cancelled
from medsegdiff.image import Image
from medsegdiff.inference import query_score
from medsegdiff.inference.api import load_model
from medsegdiff.inference.engine import segment_image
from medsegdiff.inference.input_checks import check_input
from medsegdiff.inference.preprocessing import Preprocessing
from medsegdiff.inference.query_score import RAREST, describe_queries
from medsegdiff.inference.request import SegmentRequest
from medsegdiff.networks import slicewise
from medsegdiff.training import describe_training
from small_networks import SMALL
from tiny_models import write_tiny_model

PREPROCESSING = Preprocessing(normalization="none")


class Training:
    """Cases of smooth noise, as a dataset's."""

    def __init__(self, seed: int):
        self.seed = seed

    def read(self) -> tuple[Image, np.ndarray]:
        return noise(self.seed), np.zeros((16, 16, 12), np.uint8)


def noise(seed: int, scale: float = 1.0) -> Image:
    values = np.random.default_rng(seed).normal(0, scale, (1, 16, 16, 12))
    return Image(values.astype(np.float32), np.eye(4))


def model_of(folder, spatial_dims: int):
    arguments = {**SMALL["mask_transformer"], "spatial_dims": spatial_dims}
    plain = {"spacing": [1, 1, 1], "normalization": "none", "divisible": 8}
    package = write_tiny_model(folder / "tiny", "mask_transformer", arguments, preprocessing=plain)
    return load_model(package, device="cpu")


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_numbers_are_those_of_the_score(tmp_path, spatial_dims):
    model, image = model_of(tmp_path, spatial_dims), noise(0)
    prepared = PREPROCESSING.prepare(image)
    with torch.no_grad():
        seen = torch.from_numpy(prepared.array)
        if spatial_dims == 3:
            score = model.network.max_query(seen[None])[0]
        else:
            score = model.network.network.max_query(seen.movedim(-1, 0)).movedim(0, -1)
    score = score.numpy()[prepared.inside]
    expected = {"max_query": float(np.quantile(score, RAREST)), "mean_query": float(score.mean())}
    assert describe_queries(model, PREPROCESSING, prepared) == pytest.approx(expected, abs=1e-4)
    with_clicks = replace(model, package=replace(model.package, clicks={"sigma_mm": 2}))
    assert describe_queries(with_clicks, PREPROCESSING, prepared) == {}


def test_other_networks_have_none(tmp_path):
    model = load_model(write_tiny_model(tmp_path / "tiny", "unet"), device="cpu")
    assert describe_queries(model, PREPROCESSING, PREPROCESSING.prepare(noise(0))) == {}


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_cancel_ends_it(tmp_path, spatial_dims, monkeypatch):
    """Before the first look; and of a 2D model between the slices."""
    model, asked, looks = model_of(tmp_path, spatial_dims), [], []
    monkeypatch.setitem(slicewise.CHUNK, "cpu", 1)
    kind = type(query_score._of(model.network))
    whole = kind.max_query
    monkeypatch.setattr(kind, "max_query", lambda self, x: looks.append(1) or whole(self, x))
    request = SegmentRequest(model="tiny")
    with pytest.raises(Cancelled):
        segment_image(request, noise(0), model=model, cancelled=lambda: True)
    assert not looks
    with pytest.raises(Cancelled):
        segment_image(request, noise(0), model=model, cancelled=lambda: asked.append(1) or len(asked) > 2)
    assert len(looks) == 1


def test_a_shortage_of_memory_leaves_it_out(tmp_path, monkeypatch):
    model = model_of(tmp_path, 3)

    def short(self, x):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(type(model.network), "max_query", short)
    report = segment_image(SegmentRequest(model="tiny"), noise(0), model=model).report
    assert any("without the network's queries" in text for text in report["warnings"])
    monkeypatch.setattr(type(model.network), "max_query", lambda self, x: torch.zeros(1) @ torch.zeros(2))
    with pytest.raises(RuntimeError, match="size"):
        segment_image(SegmentRequest(model="tiny"), noise(0), model=model)


def test_reaches_the_report(tmp_path, monkeypatch):
    monkeypatch.setattr(describe_training, "SEGMENTED", 1)
    model = model_of(tmp_path, 3)
    known = describe_training.describe_training(model, [Training(seed) for seed in range(30)], lambda share, text: None)
    assert {"max_query", "mean_query"} < set(known["image"]["names"])
    model = replace(model, package=replace(model.package, distribution=known))
    request = SegmentRequest(model="tiny")
    usual = segment_image(request, noise(100), model=model).report
    assert usual["input_score"] < 2

    image = noise(100)
    prepared = PREPROCESSING.prepare(image)
    numbers = describe_queries(model, PREPROCESSING, prepared)
    everywhere = numbers["max_query"] + 50
    monkeypatch.setattr(type(model.network), "max_query", lambda self, x: torch.full(x[:, 0].shape, everywhere))
    strange = segment_image(request, image, model=model).report
    assert strange["input_score"] > 5 > usual["input_score"]
    assert any("like nothing that was learnt" in text or "less like" in text for text in strange["warnings"])
    assert check_input(model.package, image, prepared).score < 2  # without the score
