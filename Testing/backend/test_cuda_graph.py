"""Recorded denoising steps, with a stand-in for the CUDA graph: same answers, own memory, a way out where it fails."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from medsegdiff import load_model, segment
from medsegdiff.image import Image
from medsegdiff.inference import cuda_graph
from medsegdiff.inference.cuda_graph import EAGER_CALLS, KEPT_SHAPES, EagerSteps, RecordedSteps, steps_on
from medsegdiff.inference.model import Model
from medsegdiff.networks.denoised import Denoised
from tiny_models import NETWORKS, write_tiny_model
from torch import Tensor, nn


class Recorder:
    """Behaves like a CUDA graph: recording computes nothing (what lies there is no answer), replaying uses its
    memory."""

    def __init__(self):
        self.recorded = self.replayed = 0

    def __call__(self, call):
        self.recorded += 1
        out = call()
        for x in cuda_graph.tensors_of(out):
            x.fill_(float("nan"))

        def replay():
            self.replayed += 1
            for old, new in zip(cuda_graph.tensors_of(out), cuda_graph.tensors_of(call())):
                old.copy_(new)

        return replay, out


class Seen(NamedTuple):
    features: Tensor
    nested: Denoised  # has a None inside


class Network(nn.Module):
    """Its answer tells everything that it was given."""

    def denoise(self, x: Tensor, t: Tensor, condition: Seen) -> Denoised:
        return Denoised(x + condition.features + 1000 * t[:, None, None], None, 2 * x + condition.nested.noise)


def seen(value: float, size: int = 3) -> Seen:
    return Seen(torch.full((1, 2, size), value), Denoised(torch.full((1, 2, size), 10 * value)))


@pytest.fixture
def steps() -> RecordedSteps:
    return RecordedSteps(Network(), Recorder())


def recorded(model: Model, record) -> Model:
    """The model with recorded steps."""
    copy = replace(model)
    copy.__dict__["steps"] = RecordedSteps(model.network, record)
    return copy


def same(one: Denoised, other: Denoised) -> bool:
    return torch.equal(one.noise, other.noise) and one.variance is None and torch.equal(one.mask, other.mask)


def test_each_call_sees_its_own_step_mask_and_condition(steps):
    eager = EagerSteps(Network())
    conditions = [seen(1.0), seen(2.0)]
    ours, theirs = ([which.of(c, 4) for c in conditions] for which in (steps, eager))
    kept = []
    for n in range(3 * EAGER_CALLS):
        x, which = torch.full((4, 2, 3), float(n)), n % 2  # two conditions take turns
        kept.append((ours[which](x, 5.0 * n), theirs[which](x, 5.0 * n)))
    assert all(same(a, b) for a, b in kept), "an answer may not change when later ones are computed"
    assert steps._record.recorded == 1 and steps._record.replayed == 2 * EAGER_CALLS


def test_shapes_and_batches_have_recordings_of_their_own(steps):
    eager = EagerSteps(Network())
    for _ in range(EAGER_CALLS + 2):
        for samples, size in ((1, 3), (4, 3), (4, 5)):
            condition, x = seen(2.0, size), torch.randn(samples, 2, size)
            assert same(steps.of(condition, samples)(x, 7.0), eager.of(condition, samples)(x, 7.0))
    assert steps._record.recorded == 3 and steps._record.replayed == 3 * 2


def test_few_calls_are_not_recorded(steps):
    for _ in range(EAGER_CALLS):
        steps.of(seen(1.0), 1)(torch.zeros(1, 2, 3), 0.0)
    assert steps._record.recorded == 0


def test_recordings_are_bounded_and_given_back(steps):
    for size in range(1, KEPT_SHAPES + 3):
        for _ in range(EAGER_CALLS + 1):
            steps.of(seen(1.0, size), 1)(torch.zeros(1, 2, size), 0.0)
    assert len(steps._recordings) == KEPT_SHAPES
    steps.clear()
    assert not steps._recordings
    steps.of(seen(1.0), 1)(torch.zeros(1, 2, 3), 0.0)
    assert not steps._recordings


def test_what_cannot_be_recorded_is_called_and_said(model):
    def fails(call):
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    image = Image(np.random.default_rng(0).normal(0, 1, (1, 16, 16, 16)).astype(np.float32), np.eye(4))
    base = segment(model, image, samples=2, steps=EAGER_CALLS + 3)
    other = segment(recorded(model, fails), image, samples=2, steps=EAGER_CALLS + 3)
    np.testing.assert_array_equal(base.probability, other.probability)
    said = [w for w in other.report["warnings"] if "CUDA graph" in w]
    assert len(said) == 1 and "not permitted when stream is capturing)" in said[0]


def test_memory_that_ran_out_while_a_step_was_recorded_is_no_reason_for_ever(steps):
    def fails(_call):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    recorder, steps._record = steps._record, fails
    with pytest.raises(torch.cuda.OutOfMemoryError):
        for _ in range(EAGER_CALLS + 1):
            steps.of(seen(1.0), 1)(torch.zeros(1, 2, 3), 0.0)
    assert steps.warnings == []
    steps._record = recorder
    steps.of(seen(1.0), 1)(torch.zeros(1, 2, 3), 0.0)
    assert recorder.recorded == 1
    steps.warnings.append("of a case before")
    steps.clear()
    assert steps.warnings == []


def test_networks_may_refuse(steps):
    steps.network.replayable = False
    for n in range(2 * EAGER_CALLS):
        steps.of(seen(1.0), 1)(torch.zeros(1, 2, 3), float(n))
    assert steps._record.recorded == 0


NOISE = {**NETWORKS["medsegdiff_v2"], "prediction": "noise"}
FLAT = {**NETWORKS["medsegdiff_v2"], "spatial_dims": 2}


@pytest.mark.parametrize(
    ("network", "arguments", "options"),
    [
        ("medsegdiff_3d", None, {}),
        ("medsegdiff_3d", None, {"sampler": "ddpm"}),
        ("medsegdiff_3d", None, {"sampler": "dpm++", "tta": True}),
        ("medsegdiff_3d", None, {"tile": 32, "truncation": 0.5}),
        ("medsegdiff_v2", None, {"eta": 0.5}),
        ("medsegdiff_v2", NOISE, {"sampler": "dpm++"}),
        ("medsegdiff_v2", FLAT, {}),
    ],
)
def test_segmentation_with_recorded_steps_is_the_same(tmp_path, network, arguments, options):
    """With networks and samplers as they are: none may keep an answer's memory, or read it late."""
    model = load_model(write_tiny_model(tmp_path / "tiny", network, arguments).folder, device="cpu")
    if network == "medsegdiff_v2":  # a fresh one says nothing
        last = (model.network if arguments is not FLAT else model.network.network).diffusion_model.leave[2]
        torch.nn.init.normal_(last.conv.weight, std=0.5)
    size = (1, 104, 16, 16) if "tile" in options else (1, 40, 16, 16)
    image = Image(np.random.default_rng(0).normal(0, 1, size).astype(np.float32), np.eye(4))
    asked = {"samples": 4, "steps": 7, "sample_batch": 2, **options}
    base, replayed = segment(model, image, **asked), recorded(model, Recorder())
    for _ in range(2):  # the second case replays from its first step
        again = segment(replayed, image, **asked)
        np.testing.assert_array_equal(base.probability, again.probability)
        np.testing.assert_array_equal(base.packed_samples, again.packed_samples)
    assert replayed.steps._record.replayed > 0


def test_recordings_stay_with_one_model(model):
    """A copy elsewhere has memory of its own."""
    replayed = recorded(model, Recorder())
    assert replayed.on(torch.device("cpu")).steps is not replayed.steps
    assert type(steps_on(torch.device("cpu"), model.network)) is EagerSteps
    assert type(steps_on(torch.device("cuda", 0), model.network)) is RecordedSteps
