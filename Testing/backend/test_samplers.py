"""Samplers against cases whose answer is known."""

import pytest
import torch
from medsegdiff.diffusion.samplers import sample
from medsegdiff.diffusion.schedule import TRAIN_STEPS, Schedule, share_of

SHAPE = (2, 2, 4, 4, 4)


@pytest.fixture(scope="module")
def schedule():
    return Schedule("cosine")


def noise(n):
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(n), dtype=torch.float64)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 16, 50, 1000])
def test_steps_start_in_pure_noise_and_fall(schedule, count):
    steps = schedule.steps(count)
    assert len(steps) == count
    assert steps[0] == TRAIN_STEPS - 1
    assert (steps[1:] < steps[:-1]).all() and steps[-1] >= 0
    assert share_of(steps)[0] == 1


def test_more_steps_than_were_trained(schedule):
    assert len(schedule.steps(5000)) == TRAIN_STEPS


def test_noise_share(schedule):
    x0, eps = torch.ones(SHAPE), torch.zeros(SHAPE)
    noisy = schedule.add_noise(x0, eps, torch.tensor([0, TRAIN_STEPS - 1]))
    assert noisy[0].min() > 0.999
    assert noisy[1].max() < 1e-3


@pytest.mark.parametrize("kind", ["ddim", "ddpm", "dpm++"])
@pytest.mark.parametrize("steps", [1, 2, 5, 20])
def test_a_sure_network_is_believed(schedule, kind, steps):
    """Where the prediction does not depend on x_t, every sampler must end at it, after `steps` evaluations."""
    wanted = torch.randn(SHAPE, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    calls = []

    def predict(x, t):
        calls.append(t)
        assert torch.isfinite(x).all()
        return wanted

    drawn = sample(kind, predict, noise, schedule, steps)
    torch.testing.assert_close(drawn.sample, torch.softmax(wanted.float(), 1))
    torch.testing.assert_close(drawn.probability, drawn.sample)
    assert calls == schedule.steps(steps).tolist()


@pytest.mark.parametrize("kind", ["ddim", "ddpm", "dpm++"])
def test_noise_level_is_kept(schedule, kind):
    """With x0 known, x_t must stay distributed as the schedule says at every step."""
    logits = torch.zeros(SHAPE, dtype=torch.float64)  # softmax 0.5 -> x0 = 0: x_t is pure noise of variance 1 - alpha_bar
    shape = (1, 2, 32, 32, 32)
    seen = []

    def predict(x, t):
        seen.append((float(x.var()), 1 - float(schedule.alpha_bar[t])))
        return torch.zeros(shape, dtype=torch.float64)

    def wide(n):
        return torch.randn(shape, generator=torch.Generator().manual_seed(n), dtype=torch.float64)

    sample(kind, predict, wide, schedule, 12)
    assert logits.shape == SHAPE and len(seen) == 12
    for have, want in seen:
        assert have == pytest.approx(want, rel=0.03)


def test_ddim_matches_monai(schedule):
    """One DDIM update equals MONAI's scheduler at the same two time steps."""
    from monai.networks.schedulers import DDIMScheduler

    reference = DDIMScheduler(TRAIN_STEPS, "cosine", clip_sample=False, prediction_type="sample")
    reference.set_timesteps(10)  # 900, 800, ..., 0: its step is 100
    logits = torch.randn(SHAPE, generator=torch.Generator().manual_seed(5))
    x = noise(0).float()
    expected, _ = reference.step(2 * torch.softmax(logits, 1) - 1, 500, x)

    class Two(Schedule):
        def steps(self, count):
            return torch.tensor([500, 400])

    seen = []

    def predict(x_t, t):
        seen.append(x_t)
        return logits

    sample("ddim", predict, lambda n: x, Two(), 2)
    torch.testing.assert_close(seen[1], expected, atol=1e-5, rtol=1e-5)


def test_probability_is_the_mean_of_all_steps(schedule):
    said = [torch.randn(SHAPE, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    pending = list(said)
    drawn = sample("ddim", lambda x, t: pending.pop(0), noise, schedule, 3, temperature=2.0)
    torch.testing.assert_close(drawn.sample, torch.softmax(said[-1] / 2, 1))
    torch.testing.assert_close(drawn.probability, sum(torch.softmax(s / 2, 1) for s in said) / 3)
