"""Planning for a GPU's memory, and what is tried when it runs out all the same; the GPU's memory is made up here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from medsegdiff import segment
from medsegdiff.errors import JobError
from medsegdiff.image import Image
from medsegdiff.inference import asking
from medsegdiff.inference.backoff import smaller
from medsegdiff.networks.device_errors import lacks_operation
from medsegdiff.inference.gpu_memory import USABLE, Cost, fit_batch, fitting_batch
from medsegdiff.inference.members import Opinions
from medsegdiff.inference.model import Model
from medsegdiff.inference.plan import make_plan
from medsegdiff.inference.request import SegmentRequest
from medsegdiff.inference.tiling import Tile
from torch.utils._python_dispatch import TorchDispatchMode

BIG = Tile(*[tuple(slice(0, n) for n in (16, 16, 16))] * 2)
SMALL = Tile(*[tuple(slice(0, n) for n in (8, 8, 8))] * 2)


@pytest.fixture(scope="module")
def image() -> Image:
    return Image(np.random.default_rng(0).normal(0, 1, (1, 40, 16, 16)).astype(np.float32), np.eye(4))


class Memory:
    """A GPU on which a look costs 100 bytes and a sample 10."""

    def __init__(self, free: int):
        self._free, self.measured = free, 0

    def free(self) -> int:
        return self._free

    def during(self, call):
        self.measured += 1
        return call(), 100 if self.measured % 2 else 10


def test_batches_fill_what_is_usable():
    cost = Cost(look=100, sample=10)
    assert fitting_batch(8, int(1000 / USABLE), cost) == 8
    assert fitting_batch(500, int(1000 / USABLE) + 1, cost) == 90
    assert fitting_batch(8, 100, cost) == 1, "one is tried in any case"
    assert fitting_batch(8, 1000, Cost(0, 0)) == 8


def plan_for(model, **options):
    return make_plan(SegmentRequest("tiny", **options), model, 16**3)[0]


def test_batch_is_fitted_to_the_measured_cost(model):
    fresh, array = replace(model), np.zeros((1, 16, 16, 16), np.float32)
    plan = replace(plan_for(model, samples=40, sampler="ddpm"), batch=40)
    memory = Memory(int(300 / USABLE) + 1)
    fitted = fit_batch(fresh, plan, [SMALL, BIG], array, None, [memory])
    assert fitted == replace(plan, batch=20) and memory.measured == 2
    assert list(fresh.costs) == [((16, 16, 16), "ddpm", True, True)], "the largest tile counts"
    full = Memory(0)
    assert fit_batch(fresh, plan, [BIG], array, None, [memory, full]).batch == 1, "the fullest GPU counts"
    assert memory.measured == 2 and full.measured == 0, "a shape is measured once"


def test_nothing_is_measured_where_nothing_is_to_be_planned(model):
    memory = Memory(10**6)
    assert fit_batch(model, plan_for(model, samples=1), [BIG], None, None, [memory]).batch == 1
    plan = plan_for(model, samples=8)
    assert fit_batch(model, plan, [BIG], None, None, []) is plan
    assert memory.measured == 0


def test_engine_plans_for_the_memory_of_gpus(model, image, monkeypatch):
    batches, whole = [], Opinions._sample
    base = segment(model, image, samples=4)

    def noted(self, look, numbers, *others):
        batches.append(len(numbers))
        return whole(self, look, numbers, *others)

    monkeypatch.setattr(Opinions, "_sample", noted)
    monkeypatch.setattr(asking, "_memories", lambda model: [Memory(int(130 / USABLE) + 1)])
    planned = segment(replace(model), image, samples=4)
    assert batches == [1, 3, 1], "one to know, then three at a time"
    np.testing.assert_allclose(base.probability, planned.probability, atol=1e-4)
    assert planned.report["network_evaluations"] == base.report["network_evaluations"], "measuring is not counted"
    batches.clear()
    segment(replace(model), image, samples=4, sample_batch=2)
    assert batches == [2, 2], "a batch that was asked for stands"


class Shortage(TorchDispatchMode):
    """Fails as a GPU does where a single tensor has too many voxels."""

    def __init__(self, largest: int):
        super().__init__()
        self.largest = largest

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.ndim == 5 and out[:, 0].numel() > self.largest:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return out


def test_halving_starts_from_scratch(model, image):
    """Batch, then tile: each is said, and nothing drawn before the shortage counts twice."""
    image = Image(np.random.default_rng(0).normal(0, 1, (1, 120, 16, 16)).astype(np.float32), np.eye(4))
    with Shortage(112 * 256):  # less than the whole; a tile of 32 has 96 with its surroundings
        survived = segment(model, image, samples=4, sample_batch=4)
    said = [w for w in survived.report["warnings"] if "memory ran out" in w]
    assert [w.split(": ")[1] for w in said] == [
        "samples are now computed 2 at a time", "samples are now computed 1 at a time", "tiles of 32 voxels are used",
    ]  # fmt: skip
    assert survived.report["samples"] == 4 and survived.samples.shape[0] == 4
    tiled = segment(model, image, samples=4, tile=32, sample_batch=1)
    np.testing.assert_array_equal(survived.packed_samples, tiled.packed_samples)
    np.testing.assert_array_equal(survived.probability, tiled.probability)
    assert survived.report["network_evaluations"] == tiled.report["network_evaluations"]


def test_partial_work_is_dropped(model, image, monkeypatch):
    """Memory that runs out after some samples were taken."""
    calls, whole = [], Opinions._sample

    def late(self, look, numbers, window, guide):
        calls.append(numbers)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(self, look, numbers, window, guide)

    monkeypatch.setattr(Opinions, "_sample", late)
    survived = segment(model, image, samples=6, sample_batch=2)
    assert calls == [[0, 1], [2, 3], [0], [1], [2], [3], [4], [5]]
    monkeypatch.undo()
    base = segment(model, image, samples=6, sample_batch=1)
    np.testing.assert_array_equal(survived.packed_samples, base.packed_samples)
    np.testing.assert_array_equal(survived.expected_entropy, base.expected_entropy)


def pretended(model: Model, device: str) -> Model:
    """The model as if on another device; moving it to the CPU is real."""
    return replace(model, device=torch.device(device), precision=torch.bfloat16)


def test_halvings_in_order(model):
    """Batch 5 -> 2 -> 1; tile 136 (the largest that cuts the image) -> 68 -> 34 -> 32; the CPU, there once more; the
    end."""
    where, said = pretended(model, "mps"), []
    plan = replace(plan_for(model, samples=9), batch=5, tile=160)
    seen = []
    for _ in range(8):
        where, plan, text = smaller(where, plan, MemoryError("no room"), 200)
        seen.append((where.device.type, plan.batch, plan.tile))
        said.append(text)
    assert seen == [
        ("mps", 2, 160), ("mps", 1, 160), ("mps", 1, 68), ("mps", 1, 34), ("mps", 1, 32),
        ("cpu", 1, 96), ("cpu", 1, 48), ("cpu", 1, 32),
    ]  # fmt: skip
    assert "the CPU is used" in said[5] and all(text.startswith("memory ran out") for text in said)


def test_no_further_than_the_smallest_tile_on_the_cpu(model):
    plan = replace(plan_for(model, samples=1), tile=32)
    with pytest.raises(JobError, match="close other programs"):
        smaller(model, plan, MemoryError("no room"), 500)
    with pytest.raises(JobError):
        smaller(model, replace(plan, tile=96), MemoryError("no room"), 24)


def test_windows_of_the_models_own_size_are_not_halved(model):
    """Which a smaller tile would not change."""
    own = {**model.package.preprocessing, "window": [64, 64, 64]}
    plan = plan_for(model, samples=1)
    where = pretended(replace(model, package=replace(model.package, preprocessing=own)), "mps")
    where, plan, said = smaller(where, plan, MemoryError("no room"), 500)
    assert where.device.type == "cpu" and "the CPU is used" in said
    with pytest.raises(JobError, match="close other programs"):
        smaller(where, plan, MemoryError("no room"), 500)


def test_recordings_and_copies_do_not_outlive_a_shortage(model):
    cleared = []
    many = replace(model, copies=(replace(model),))
    for one in (many, *many.copies):
        one.steps.clear = lambda: cleared.append(1)
    smaller(many, replace(plan_for(model, samples=4), batch=4), MemoryError(), 40)
    assert len(cleared) == 2
    assert many.on(torch.device("cpu")).copies == ()


def test_what_the_failed_try_held_is_free_before_the_next(model, image, monkeypatch):
    """Frames of the error would keep its tensors."""
    import gc
    import weakref

    held, whole = [], Opinions._sample

    def short(self, look, numbers, window, guide):
        if len(numbers) > 1:
            tensor = torch.zeros(1)
            held.append(weakref.ref(tensor))
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(self, look, numbers, window, guide)

    def look_first(*arguments):
        gc.collect()
        assert held[-1]() is None
        return smaller(*arguments)

    monkeypatch.setattr(Opinions, "_sample", short)
    monkeypatch.setattr(asking, "smaller", look_first)
    segment(model, image, samples=2)
    assert held


@pytest.mark.parametrize(
    "error",
    [
        NotImplementedError("The operator 'aten::upsample_trilinear3d.out' is not implemented for the MPS device"),
        RuntimeError("ConvTranspose 3D is not supported on MPS"),  # PyTorch 2.5 - 2.7
        RuntimeError("ConvTranspose 3D with BF16 or FP16 types is not supported on MPS"),
        RuntimeError("Conv3D is only supported on MPS for MacOS_13_2 or newer"),
    ],
)
def test_what_mps_cannot_do_is_done_on_the_cpu(model, image, monkeypatch, error):
    """The network and the one that guesses move together, and the report says where the work was done."""
    assert lacks_operation(error, torch.device("mps")) and not lacks_operation(error, torch.device("cpu"))
    assert not lacks_operation(RuntimeError("shapes differ"), torch.device("mps"))
    mps = pretended(model, "mps")
    whole, used = Opinions._look, []

    def look(self, image):
        used.append((self.model.device.type, self.guess.device.type))
        if self.model.device.type == "mps":
            raise error
        return whole(self, image)

    monkeypatch.setattr(Opinions, "_look", look)
    monkeypatch.setattr(asking, "_load_guess", lambda request, model: mps)
    result = segment(mps, image, samples=2, truncation=0.5, guess="other")
    assert used == [("mps", "mps"), ("cpu", "cpu")]
    assert result.report["device"] == "cpu" and result.report["precision"] == "float32"
    assert any(str(error) in w and "the CPU is used" in w for w in result.report["warnings"])
