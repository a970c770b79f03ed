"""What only a GPU can show. Without one these skip; the rest of the GPU code is tested on the CPU with stand-ins."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
import torch
from medsegdiff import load_model, segment
from medsegdiff.errors import Cancelled
from medsegdiff.image import Image
from medsegdiff.inference.cuda_graph import EAGER_CALLS, EagerSteps
from medsegdiff.inference.gpu_memory import CudaMemory
from medsegdiff.inference.model import Model
from tiny_models import NETWORKS, write_tiny_model

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: nothing was checked on a GPU")

V2 = NETWORKS["medsegdiff_v2"]
MODELS = {
    "3d": ("medsegdiff_3d", None),
    "v2": ("medsegdiff_v2", None),
    "v2 noise": ("medsegdiff_v2", {**V2, "prediction": "noise"}),
    "v2 slice-wise": ("medsegdiff_v2", {**V2, "spatial_dims": 2}),
}
SEVERAL = {"samples": 8, "steps": EAGER_CALLS + 4}


@pytest.fixture(scope="module")
def hippocampus() -> Path:
    return Path(__file__).parents[2] / "Resources/Models/hippocampus-medsegdiff"


@pytest.fixture(scope="module", params=["hippocampus", *MODELS])
def package(request, hippocampus, tmp_path_factory) -> Path:
    if request.param == "hippocampus":
        return hippocampus
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny", *MODELS[request.param]).folder


@pytest.fixture(scope="module")
def image() -> Image:
    smooth = np.random.default_rng(0).normal(100, 20, (1, 48, 64, 48)).astype(np.float32)
    for axis in (1, 2, 3):
        smooth = sum(np.roll(smooth, shift, axis) for shift in (-1, 0, 1)) / 3
    return Image(smooth, np.eye(4))


def uncaptured(model: Model) -> Model:
    model.__dict__["steps"] = EagerSteps(model.network)
    return model


@pytest.mark.parametrize("options", [{}, {"sampler": "ddpm"}, {"sampler": "dpm++", "tta": True}, {"tile": 32}])
def test_labels_as_on_the_cpu(package, image, options):
    if "tile" in options:
        image = Image(np.tile(image.array, (1, 3, 1, 1)), image.affine)
    ours = segment(load_model(package, "cuda", "fp32"), image, **SEVERAL, **options)
    theirs = segment(load_model(package, "cpu"), image, **SEVERAL, **options)
    assert (ours.labelmap == theirs.labelmap).mean() >= 0.999
    assert (ours.samples == theirs.samples).mean() >= 0.999
    assert ours.report["device"].startswith("cuda:0") and ours.report["warnings"] == theirs.report["warnings"]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near(hippocampus, image, precision):
    half = segment(load_model(hippocampus, "cuda", precision), image, samples=4, seed=1)
    whole = segment(load_model(hippocampus, "cuda", "fp32"), image, samples=4, seed=1)
    assert np.isfinite(half.probability).all() and (half.labelmap == whole.labelmap).mean() >= 0.99


def test_graphs_equal_single_calls(package, image):
    """Nothing but rounding may tell them apart; after the first few, steps are replayed, and nothing has to be said."""
    eager = segment(uncaptured(load_model(package, "cuda", "fp32")), image, **SEVERAL, sampler="ddpm")
    model = load_model(package, "cuda", "fp32")
    for _ in range(2):
        replayed = segment(model, image, **SEVERAL, sampler="ddpm")
        np.testing.assert_allclose(eager.probability, replayed.probability, atol=1e-4)
        assert not [w for w in replayed.report["warnings"] if "CUDA graph" in w], replayed.report["warnings"]
    assert any(model.steps._recordings.values()), "no step was recorded"


def test_batches_and_seeds_change_nothing(package, image):
    model = load_model(package, "cuda", "fp32")
    base, small = segment(model, image, samples=6), segment(model, image, samples=6, sample_batch=1)
    again = segment(model, image, samples=6)
    assert (base.samples == small.samples).mean() >= 0.9999
    assert (base.samples == again.samples).mean() >= 0.9999


def test_gpu_is_busy_while_sampling(hippocampus, image):
    """As the engine tells it, and as the profiler saw kernels run."""
    model = load_model(hippocampus, "cuda")
    asked = {"samples": 16, "steps": 50}
    segment(model, image, **asked)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        seconds = segment(model, image, **asked).report["seconds"]
    busy = sum(event.self_device_time_total for event in profile.key_averages()) / 1e6
    print("busy by events and by profiler:", seconds["denoising"] / seconds["sampling"], busy / seconds["sampling"])
    assert seconds["denoising"] >= 0.9 * seconds["sampling"]
    assert busy >= 0.85 * seconds["sampling"], "kernels; the profiler itself costs time"


def test_memory_plan_holds(hippocampus, image):
    """The batch that was planned for what is left of the memory fits, without falling back."""
    model = load_model(hippocampus, "cuda")
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info()[1]
    blocked = torch.empty(max(0, CudaMemory(model.device).free() - 2**30), dtype=torch.uint8, device="cuda")
    result = segment(model, image, samples=200, steps=EAGER_CALLS + 2)
    del blocked
    assert not [w for w in result.report["warnings"] if "memory" in w], result.report["warnings"]
    assert result.report["samples"] == 200 and result.report["peak_memory_bytes"] <= total


@pytest.mark.parametrize("left", [2**28, 2**26])
def test_memory_shortage_is_survived(hippocampus, image, left):
    """Real out-of-memory errors: batch, tile or device give way, and the labels stay."""
    base = segment(load_model(hippocampus, "cuda", "fp32"), image, samples=64)
    torch.cuda.empty_cache()
    model = load_model(hippocampus, "cuda", "fp32")
    total = torch.cuda.get_device_properties(0).total_memory
    try:
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + left) / total)
        result = segment(model, image, samples=64, sample_batch=64)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert any("memory ran out" in w for w in result.report["warnings"])
    assert (result.labelmap == base.labelmap).mean() >= 0.99  # tiles of another size see other surroundings


def test_cancel_within_a_second(hippocampus, image):
    began = []

    def cancelled() -> bool:
        began.append(perf_counter())
        return len(began) > 30

    model = load_model(hippocampus, "cuda")
    with pytest.raises(Cancelled):
        segment(model, image, samples=64, steps=1000, cancelled=cancelled)
    torch.cuda.synchronize()
    assert perf_counter() - began[-1] < 1


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one CUDA device: sharing was checked on the CPU only")
def test_several_gpus_are_as_one(package, image):
    one, many = (segment(load_model(package, device, "fp32"), image, **SEVERAL) for device in ("cuda:0", "auto"))
    assert many.report["device"].count("cuda:") == torch.cuda.device_count()
    assert (one.samples == many.samples).mean() >= 0.9999
