"""What is done while a GPU works: its time is measured without waiting for it, noise is made ahead."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from medsegdiff import load_model, segment
from medsegdiff.diffusion.noise import NoiseField
from medsegdiff.image import Image
from medsegdiff.inference import members
from medsegdiff.inference.clock import RUN_AHEAD, Clock, EventClock, clock_for
from medsegdiff.inference.noise_ahead import AHEAD, NoiseAhead, Wanted
from tiny_models import write_tiny_model

CPU = torch.device("cpu")


class Gpu:
    """A queue whose work takes 5 ms a call and is done when somebody waits for it."""

    def __init__(self):
        self.now, self.waits = 0.0, 0

    def record(self):
        gpu = self

        class Event:
            at = gpu.now

            def synchronize(self):
                gpu.waits += 1

            def elapsed_time(self, end) -> float:
                return 1000 * (end.at - self.at)

        return Event()


def test_a_gpu_is_waited_for_only_when_it_is_far_behind():
    gpu = Gpu()
    clock = EventClock(gpu.record)
    for call in range(1, 6):
        with clock:
            gpu.now += 0.005
        gpu.now += 1  # other work
        assert gpu.waits == max(0, call - RUN_AHEAD), "the oldest call alone is waited for"
    assert clock.seconds == pytest.approx(0.005 * (5 - RUN_AHEAD))
    clock.finish()
    assert clock.seconds == pytest.approx(0.025) and gpu.waits == 5


def test_a_failed_call_is_not_counted():
    gpu = Gpu()
    for clock in (EventClock(gpu.record), Clock()):
        with pytest.raises(ValueError), clock:
            raise ValueError
        clock.finish()
        assert clock.seconds == 0


def test_calls_on_mps_are_settled():
    settled = []
    clock = Clock(lambda: settled.append(1))
    with clock:
        pass
    assert settled == [1] and clock.seconds > 0


def test_clocks_of_devices():
    assert isinstance(clock_for(CPU), Clock) and isinstance(clock_for(torch.device("mps")), Clock)
    assert isinstance(clock_for(torch.device("cuda")), EventClock)


def wanted(step: int, numbers=(0, 3)) -> Wanted:
    return Wanted(numbers, step, (5, 0, 30), (7, 16, 20))


class Field(NoiseField):
    """Notes where it is asked."""

    def __init__(self):
        super().__init__(7, 2)
        self.asked: list[tuple[int, int, int]] = []

    def window(self, sample, step, start, size):
        self.asked.append((sample, step, threading.get_ident()))
        return super().window(sample, step, start, size)


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_noise_made_ahead_is_the_same(threads):
    coming = [wanted(step) for step in range(6)]
    field = Field()
    with NoiseAhead(field, CPU, coming, threads) as noise:
        for key in [*coming[:3], wanted(40), wanted(2, (9,)), *coming[3:], wanted(6)]:  # some come unannounced
            expected = [NoiseField(7, 2).window(n, key.step, key.start, key.size) for n in key.numbers]
            np.testing.assert_array_equal(noise(key), np.stack(expected))
    assert len(field.asked) == 2 * 6 + 2 + 1 + 2, "nothing is made twice"
    elsewhere = {step for _, step, thread in field.asked if thread != threading.get_ident()}
    assert elsewhere == (set(range(6)) if threads else set())


def test_noise_is_not_made_far_ahead():
    before = threading.active_count()
    field = Field()
    with NoiseAhead(field, CPU, (wanted(step) for step in range(100)), 2) as noise:
        noise(wanted(0))
    assert len(field.asked) <= 2 * (AHEAD + 1)
    assert threading.active_count() == before


def test_errors_while_noise_is_made_are_raised():
    class Broken(NoiseField):
        def window(self, *_):
            raise MemoryError("no room for noise")

    with NoiseAhead(Broken(0, 1), CPU, [wanted(0)], 1) as noise, pytest.raises(MemoryError, match="no room for noise"):
        noise(wanted(0))


@pytest.mark.parametrize(
    "options",
    [{}, {"sampler": "ddpm"}, {"eta": 0.7}, {"sampler": "dpm++"}, {"truncation": 0.002, "sampler": "ddpm"},
     {"tile": 32, "sampler": "ddpm"}, {"tta": True, "sampler": "ddpm"}],
)  # fmt: skip
def test_the_engine_foresees_all_noise(tmp_path, monkeypatch, options):
    """On a GPU, nothing is asked for that was not made ahead."""
    model = load_model(write_tiny_model(tmp_path / "tiny").folder, device="cpu")
    image = Image(np.random.default_rng(0).normal(0, 1, (1, 104, 8, 8)).astype(np.float32), np.eye(4))
    asked = {"samples": 3, "steps": 3, "sample_batch": 2, **options}
    base = segment(model, image, **asked)

    class Strict(NoiseAhead):
        def __init__(self, field, device, coming, threads):
            super().__init__(field, device, coming, 1)

        def __call__(self, key):
            assert self._made[0][0] == key
            return super().__call__(key)

        def __exit__(self, *error):
            super().__exit__(*error)
            assert error[0] is not None or not self._made, "what is made is used"

    monkeypatch.setattr(members, "NoiseAhead", Strict)
    ahead = segment(model, image, **asked)
    np.testing.assert_array_equal(base.probability, ahead.probability)


def test_report_tells_how_long_sampling_took(tmp_path):
    model = load_model(write_tiny_model(tmp_path / "tiny").folder, device="cpu")
    image = Image(np.random.default_rng(0).normal(0, 1, (1, 16, 16, 16)).astype(np.float32), np.eye(4))
    seconds = segment(model, image, samples=2).report["seconds"]
    assert 0 < seconds["denoising"] <= min(seconds["sampling"], seconds["network"]) <= seconds["total"]


def test_a_plain_models_time_is_known_at_the_end(tmp_path, monkeypatch):
    gpu = Gpu()
    monkeypatch.setattr(members, "clock_for", lambda device: EventClock(gpu.record))
    model = load_model(write_tiny_model(tmp_path / "plain", "unet").folder, device="cpu")
    forward = model.network.forward

    def timed(image):
        gpu.now += 0.005
        return forward(image)

    monkeypatch.setattr(model.network, "forward", timed)
    image = Image(np.zeros((1, 16, 16, 16), np.float32), np.eye(4))
    assert segment(model, image).report["seconds"]["network"] == pytest.approx(0.005)
