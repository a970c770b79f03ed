"""Number types in the sampling loop: no float64, which MPS does not have; float32 where rounding would tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from medsegdiff import load_model, segment
from medsegdiff.image import Image
from medsegdiff.inference.members import Opinions
from tiny_models import NETWORKS, write_tiny_model
from torch.utils._pytree import tree_leaves
from torch.utils._python_dispatch import TorchDispatchMode

V2 = NETWORKS["medsegdiff_v2"]
MODELS = [
    ("unet", None),
    ("medsegdiff_3d", None),
    ("medsegdiff_v2", None),
    ("medsegdiff_v2", {**V2, "prediction": "noise"}),
    ("medsegdiff_v2", {**V2, "spatial_dims": 2}),
]
READING = {"select", "_local_scalar_dense"}  # a number from the schedule, which stays on the CPU
DELICATE = {"softmax", "_softmax", "exp", "log", "sqrt", "rsqrt", "cos", "sin", "pow", "polar", "complex"}


class Types(TorchDispatchMode):
    """Notes which operations saw which floating-point types."""

    def __init__(self):
        super().__init__()
        self.seen: dict[torch.dtype, set[str]] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for x in tree_leaves((args, kwargs, out)):
            if isinstance(x, torch.Tensor) and (x.is_floating_point() or x.is_complex()):
                self.seen.setdefault(x.dtype, set()).add(function.overloadpacket.__name__)
        return out


def types_in_sampling(monkeypatch, model, **options) -> Types:
    """Of looking, drawing and guiding, on the image's side of the device; not of preparing the image or the result."""
    types = Types()

    def watched(method):
        def call(self, *arguments):
            with types:
                return method(self, *arguments)

        return call

    for name in ("_look", "_draw"):
        monkeypatch.setattr(Opinions, name, watched(getattr(Opinions, name)))
    image = Image(np.random.default_rng(0).normal(0, 1, (1, 104, 8, 8)).astype(np.float32), np.eye(4))
    segment(model, image, samples=2, steps=3, **options)
    return types


@pytest.mark.parametrize(
    "options", [{}, {"sampler": "ddpm", "tta": True}, {"sampler": "dpm++", "tile": 32}, {"eta": 1.0, "truncation": 0.5}]
)
@pytest.mark.parametrize(("network", "arguments"), MODELS)
def test_no_double_precision_in_the_sampling_loop(tmp_path, monkeypatch, network, arguments, options):
    package = write_tiny_model(tmp_path / "tiny", network, arguments, calibration={"temperature": 1.3})
    types = types_in_sampling(monkeypatch, load_model(package.folder, device="cpu"), **options)
    assert torch.float32 in types.seen and torch.complex128 not in types.seen
    assert types.seen.get(torch.float64, set()) <= READING, types.seen[torch.float64]


@pytest.mark.parametrize(("network", "arguments"), MODELS)
def test_autocast_leaves_the_delicate_parts_in_float32(tmp_path, monkeypatch, network, arguments):
    """Fourier transforms, softmax, embeddings of the step and all of the sampler; convolutions are in bfloat16."""
    model = load_model(write_tiny_model(tmp_path / "tiny", network, arguments).folder, device="cpu", precision="bf16")
    half = types_in_sampling(monkeypatch, model, sampler="ddpm" if network != "unet" else None).seen[torch.bfloat16]
    assert any("conv" in name for name in half)
    assert not [name for name in half if name in DELICATE or "fft" in name]


def test_sampler_is_given_and_gives_float32(tmp_path, monkeypatch):
    model = load_model(write_tiny_model(tmp_path / "tiny").folder, device="cpu", precision="bf16")
    whole, given = type(model.network).denoise, []

    def denoise(self, x, t, condition):
        given.append((x.dtype, t.dtype))
        return whole(self, x, t, condition)

    monkeypatch.setattr(type(model.network), "denoise", denoise)
    image = Image(np.random.default_rng(0).normal(0, 1, (1, 16, 16, 16)).astype(np.float32), np.eye(4))
    out = segment(replace(model), image, samples=2, sampler="ddpm", steps=3)
    assert given == [(torch.float32, torch.float32)] * 3 and out.probability.dtype == np.float32
