"""Several devices that share the samples (here: the CPU several times), and which devices a name stands for."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from medsegdiff import load_model, segment
from medsegdiff.errors import Cancelled, RequestError
from medsegdiff.image import Image
from medsegdiff.inference.device import choose_devices, choose_precision
from medsegdiff.inference.devices import SharedOpinions
from medsegdiff.inference.members import Opinions
from medsegdiff.inference.model import Model
from medsegdiff.inference.plan import make_plan
from medsegdiff.inference.request import SegmentRequest
from medsegdiff.uncertainty.accumulator import OpinionAccumulator
from tiny_models import write_tiny_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def image() -> Image:
    return Image(np.random.default_rng(0).normal(0, 1, (1, 16, 24, 16)).astype(np.float32), np.eye(4))


def spread(model: Model, devices: int) -> Model:
    return replace(model, copies=tuple(model.on(CPU) for _ in range(devices - 1)))


@pytest.mark.parametrize("devices", [2, 3])
@pytest.mark.parametrize(
    "options, groups",
    [({"samples": 7}, 4), ({"samples": 4, "tta": True}, 2), ({"samples": 5, "sampler": "ddpm", "steps": 3}, 3)],
)
def test_devices_change_nothing(model, image, devices, options, groups):
    asked = {"sample_batch": 2, **options}
    one, many = segment(model, image, **asked), segment(spread(model, devices), image, **asked)
    np.testing.assert_array_equal(one.packed_samples, many.packed_samples)
    np.testing.assert_array_equal(one.probability, many.probability)
    np.testing.assert_array_equal(one.variance, many.variance)
    looks = many.report["network_evaluations"] - one.report["network_evaluations"]
    assert 0 <= looks < devices, "each device looks for itself, at what it needs"
    assert many.report["device"] == ", ".join(["cpu"] * min(devices, groups))


def test_the_report_names_the_devices_that_compute(model, image, tmp_path):
    plain = load_model(write_tiny_model(tmp_path / "plain", "unet").folder, device="cpu")
    assert segment(spread(plain, 2), image).report["device"] == "cpu"  # has one opinion
    assert segment(spread(model, 3), image, samples=2, sample_batch=1).report["device"] == "cpu, cpu"


def test_tiles_are_drawn_on_all_devices(model):
    image = Image(np.random.default_rng(0).normal(0, 1, (1, 104, 16, 16)).astype(np.float32), np.eye(4))
    asked = {"samples": 3, "sample_batch": 1, "tile": 32, "steps": 1}
    one, many = segment(model, image, **asked), segment(spread(model, 2), image, **asked)
    np.testing.assert_array_equal(one.packed_samples, many.packed_samples)


def test_samples_are_shared_out_evenly(model):
    request = SegmentRequest("tiny", samples=8)
    assert make_plan(request, model, 1000)[0].batch == 8
    assert make_plan(request, spread(model, 3), 1000)[0].batch == 3


def test_more_devices_than_groups(model, image):
    one, many = segment(model, image, samples=1), segment(spread(model, 3), image, samples=1)
    np.testing.assert_array_equal(one.probability, many.probability)


def test_each_device_has_its_thread_and_model(model, image, monkeypatch):
    used, whole = set(), Opinions._sample

    def noted(self, *arguments):
        used.add((threading.get_ident(), id(self.model.network), id(self.guess.network)))
        return whole(self, *arguments)

    monkeypatch.setattr(Opinions, "_sample", noted)
    segment(spread(model, 2), image, samples=6, sample_batch=1, truncation=0.5, guess=str(model.package.folder))
    assert len(used) == 2 and all(len(set(column)) == 2 for column in zip(*used))
    assert threading.get_ident() not in {thread for thread, _, _ in used}


def test_progress_comes_in_the_callers_thread(model, image):
    seen = []
    segment(
        spread(model, 2), image, samples=6, sample_batch=1, tta=True,
        progress=lambda p: seen.append((p.fraction, threading.get_ident())),
    )  # fmt: skip
    shares = [share for share, _ in seen]
    assert shares == sorted(shares) and shares[-1] == 1
    assert {thread for _, thread in seen} == {threading.get_ident()}


def test_cancel_ends_all_threads(model, image):
    before, calls = threading.active_count(), []

    def cancelled():
        calls.append(1)
        return len(calls) > 5

    with pytest.raises(Cancelled):
        segment(spread(model, 2), image, samples=200, steps=20, sample_batch=1, cancelled=cancelled)
    assert threading.active_count() == before and len(calls) == 6


def test_an_error_on_one_device_is_raised(model, image, monkeypatch):
    before, whole = threading.active_count(), Opinions._sample

    def fails(self, look, numbers, window, guide):
        if 3 in numbers:
            raise ValueError("no such luck")
        return whole(self, look, numbers, window, guide)

    monkeypatch.setattr(Opinions, "_sample", fails)
    with pytest.raises(ValueError, match="no such luck"):
        segment(spread(model, 2), image, samples=6, sample_batch=1)
    assert threading.active_count() == before


def test_memory_shortage_on_one_device_is_survived(model, image, monkeypatch):
    whole = Opinions._sample

    def short(self, look, numbers, window, guide):
        if len(numbers) > 1 and 2 in numbers:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(self, look, numbers, window, guide)

    monkeypatch.setattr(Opinions, "_sample", short)
    survived = segment(spread(model, 2), image, samples=4)
    monkeypatch.undo()
    assert survived.report["samples"] == 4 and "1 at a time" in survived.report["warnings"][0]
    np.testing.assert_allclose(survived.probability, segment(model, image, samples=4).probability, atol=1e-4)


def test_devices_do_not_draw_far_ahead(model, image, monkeypatch):
    """What is drawn is taken before much more is drawn: memory does not grow with the samples."""
    drawn, whole = [], Opinions._sample
    monkeypatch.setattr(Opinions, "_sample", lambda self, *a: (drawn.append(1), whole(self, *a))[1])
    ahead = []

    def slow(self, probability, sample):
        threading.Event().wait(0.05)
        ahead.append(len(drawn) - len(self.weights) - 1)
        add(self, probability, sample)

    add = OpinionAccumulator.add
    monkeypatch.setattr(OpinionAccumulator, "add", slow)
    segment(spread(model, 2), image, samples=16, sample_batch=1, steps=1)
    assert 0 < max(ahead) <= 4


def pretend_gpus(monkeypatch, names):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(names))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda n: names[n])


def test_auto_takes_all_gpus_of_one_kind(monkeypatch):
    pretend_gpus(monkeypatch, ["H200", "H200", "T400", "H200"])
    assert choose_devices("auto") == [torch.device("cuda", n) for n in (0, 1, 3)]
    assert choose_devices("cuda") == [torch.device("cuda", 0)]
    assert choose_devices("cuda:2") == [torch.device("cuda", 2)]
    with pytest.raises(RequestError, match="4 CUDA|CPU build"):
        choose_devices("cuda:4")


def test_mps_needs_autocast(monkeypatch):
    pretend_gpus(monkeypatch, [])
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.amp, "is_autocast_available", lambda kind: True)
    assert choose_devices("auto") == choose_devices("mps") == [torch.device("mps")]
    monkeypatch.setattr(torch.amp, "is_autocast_available", lambda kind: kind != "mps")
    assert choose_devices("auto") == [CPU]
    with pytest.raises(RequestError, match="2.5"):
        choose_devices("mps")


def test_shared_opinions_have_the_face_of_opinions():
    shown = {name for name in vars(Opinions) if not name.startswith("_")} | {"network_evaluations", "sampling_seconds"}
    assert shown <= set(vars(SharedOpinions))


@pytest.mark.parametrize(("knows", "chosen"), [(True, torch.bfloat16), (False, torch.float16)])
def test_bfloat16_is_chosen_where_the_gpu_itself_has_it(monkeypatch, knows, chosen):
    """Of the device that is asked for; others emulate it, slowly."""
    here = []

    class Here:
        def __init__(self, device):
            self.device = device

        def __enter__(self):
            here.append(self.device)

        def __exit__(self, *_):
            here.pop()

    def supported(including_emulation=True):
        return knows and not including_emulation and here == [torch.device("cuda", 1)]

    monkeypatch.setattr(torch.cuda, "device", Here)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert choose_precision("auto", torch.device("cuda", 1)) == chosen
