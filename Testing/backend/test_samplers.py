"""Samplers against cases whose answer is known."""

import numpy as np
import pytest
import torch
from medsegdiff.diffusion.samplers import sample
from medsegdiff.diffusion.process import MaskProcess, NoiseProcess, Reading, mix
from medsegdiff.diffusion.schedule import TRAIN_STEPS, Schedule
from medsegdiff.networks.denoised import Denoised

SHAPE = (2, 2, 4, 4, 4)
MASK = MaskProcess(2)


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

    drawn = sample(kind, MASK, predict, noise, schedule, steps)
    torch.testing.assert_close(drawn.sample, torch.softmax(wanted.float(), 1))
    torch.testing.assert_close(drawn.probability, drawn.sample)
    assert calls == schedule.steps(steps).tolist()


@pytest.mark.parametrize("kind", ["ddim", "ddpm", "dpm++"])
def test_noise_level_is_kept(schedule, kind):
    """With x0 known, x_t must stay distributed as the schedule says at every step: x0 sqrt(alpha_bar), and noise of the
    variance 1 - alpha_bar."""
    shape = (1, 2, 32, 32, 32)
    probability = torch.tensor([0.9, 0.1], dtype=torch.float64).reshape(1, 2, 1, 1, 1).expand(shape)
    seen = []

    def predict(x, t):
        kept = float(schedule.alpha_bar[t])
        rest = x - kept**0.5 * (2 * probability - 1)
        seen.append((kept, float(rest.var()), float(rest[:, 0].mean())))
        return probability.log()

    def wide(n):
        return torch.randn(shape, generator=torch.Generator().manual_seed(n), dtype=torch.float64)

    sample(kind, MASK, predict, wide, schedule, 12)
    assert len(seen) == 12
    for kept, variance, mean in seen:
        assert variance == pytest.approx(1 - kept, rel=0.03) and abs(mean) < 0.03


def test_ddim_matches_monai(schedule):
    """One DDIM update equals MONAI's scheduler at the same two time steps."""
    from monai.networks.schedulers import DDIMScheduler

    reference = DDIMScheduler(TRAIN_STEPS, "cosine", clip_sample=False, prediction_type="sample")
    reference.set_timesteps(10)  # 900, 800, ..., 0: its step is 100
    logits = torch.randn(SHAPE, generator=torch.Generator().manual_seed(5))
    x = noise(0).float()
    expected, _ = reference.step(2 * torch.softmax(logits, 1) - 1, 500, x)

    class Two(Schedule):
        def steps(self, count, truncation):
            return torch.tensor([500, 400])

    seen = []

    def predict(x_t, t):
        seen.append(x_t)
        return logits

    sample("ddim", MASK, predict, lambda n: x, Two(), 2)
    torch.testing.assert_close(seen[1], expected, atol=1e-5, rtol=1e-5)


def test_probability_is_the_mean_of_all_steps(schedule):
    said = [torch.randn(SHAPE, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    pending = list(said)
    drawn = sample("ddim", MaskProcess(2), lambda x, t: pending.pop(0), noise, schedule, 3)
    torch.testing.assert_close(drawn.sample, torch.softmax(said[-1], 1))
    torch.testing.assert_close(drawn.probability, sum(torch.softmax(s, 1) for s in said) / 3)


class Plain:
    """A process without labels: the answer is the clean state."""

    all_steps = False

    def state_of(self, probability):
        return probability

    def read(self, answer, x_t, share):
        return answer if isinstance(answer, Reading) else Reading(answer, answer)


def gaussian(schedule, mean=0.4, deviation=0.3):
    """The best prediction of x0 ~ N(mean, deviation^2), and what the probability-flow equation makes of x at step t."""

    def predict(x, t):
        a = float(schedule.alpha_bar[t])
        return mean + a**0.5 * deviation**2 / (a * deviation**2 + 1 - a) * (x - a**0.5 * mean)

    def carried(x, t, to):
        a, b = float(schedule.alpha_bar[t]), float(schedule.alpha_bar[to])
        spread = ((b * deviation**2 + 1 - b) / (a * deviation**2 + 1 - a)) ** 0.5
        return b**0.5 * mean + spread * (x - a**0.5 * mean)

    return predict, carried


def end_error(kind, schedule, steps):
    """How far x at the last step is from the exact solution."""
    predict, carried = gaussian(schedule)
    seen = []

    def watched(x, t):
        seen.append((x, t))
        return predict(x, t)

    sample(kind, Plain(), watched, noise, schedule, steps)
    exact = carried(seen[0][0], seen[0][1], seen[-1][1])
    return float((seen[-1][0] - exact).abs().max())


@pytest.mark.parametrize("name", ["cosine", "linear", "shifted-cosine"])
def test_solvers_follow_the_probability_flow(name):
    schedule = Schedule(name)
    assert end_error("ddim", schedule, 1000) < 0.01
    assert end_error("dpm++", schedule, 50) < 0.02
    assert end_error("dpm++", schedule, 20) < 0.5 * end_error("ddim", schedule, 20), "second order"


@pytest.mark.parametrize("kind, eta", [("ddpm", 0.0), ("ddim", 1.0), ("ddim", 0.5)])
def test_random_samplers_draw_the_right_spread(schedule, kind, eta):
    predict, _ = gaussian(schedule)
    drawn = sample(kind, Plain(), predict, lambda n: torch.randn(40_000, 1, generator=torch.Generator().manual_seed(n)),
                   schedule, 1000, eta=eta).sample  # fmt: skip
    assert float(drawn.mean()) == pytest.approx(0.4, abs=0.01)
    assert float(drawn.std()) == pytest.approx(0.3, rel=0.02)


def test_ddim_with_all_noise_is_ddpm(schedule):
    predict, _ = gaussian(schedule)
    one = sample("ddim", Plain(), predict, noise, schedule, 9, eta=1.0)
    torch.testing.assert_close(one.sample, sample("ddpm", Plain(), predict, noise, schedule, 9).sample)


@pytest.mark.parametrize("v, log_variance", [(-1.0, "posterior"), (1.0, "beta"), (0.0, "geometric mean")])
def test_learned_variance(schedule, v, log_variance):
    """One DDPM update between known steps has the deviation that the learned range says."""
    now, then = (float(schedule.alpha_bar[t]) for t in schedule.steps(5)[:2])
    beta, posterior = 1 - now / then, (1 - then) / (1 - now) * (1 - now / then)
    wanted = {"posterior": posterior, "beta": beta, "geometric mean": (beta * posterior) ** 0.5}[log_variance]
    seen, shape = [], (1, 1, 40, 40, 40)

    def predict(x, t):
        seen.append(x)
        return Reading(torch.zeros(shape), torch.zeros(shape), torch.full(shape, v))

    def fresh(n):
        return torch.randn(shape, generator=torch.Generator().manual_seed(n)) if n else torch.zeros(shape)

    sample("ddpm", Plain(), predict, fresh, schedule, 5)
    assert float(seen[1].var()) == pytest.approx(wanted, rel=0.02)


def test_linear_schedule_is_the_papers():
    shares = Schedule("linear").alpha_bar
    assert float(shares[0]) == pytest.approx(1 - 1e-4)
    assert float(shares[-1]) == pytest.approx(4.036e-5, rel=1e-3)  # measured with the released code


def test_truncated_sampling_starts_from_the_guess(schedule):
    guess = torch.softmax(torch.randn(SHAPE, generator=torch.Generator().manual_seed(3)), 1)
    seen = []

    def predict(x, t):
        seen.append((x, t))
        return torch.zeros(SHAPE)

    sample("ddim", MASK, predict, noise, schedule, 4, truncation=0.3, guess=guess)
    steps = [t for _, t in seen]
    assert len(steps) == 4 and steps[0] == 299 and steps == sorted(steps, reverse=True)
    a = float(schedule.alpha_bar[299])
    torch.testing.assert_close(seen[0][0], a**0.5 * (2 * guess - 1) + (1 - a) ** 0.5 * noise(0))


def test_guidance_takes_the_place_of_the_prediction(schedule):
    wanted = torch.softmax(torch.randn(SHAPE, generator=torch.Generator().manual_seed(4)), 1)
    asked = []

    def guide(probability, t):
        assert probability.shape == SHAPE
        asked.append(t)
        return wanted

    drawn = sample("ddim", MASK, lambda x, t: torch.zeros(SHAPE), noise, schedule, 3, guide=guide)
    torch.testing.assert_close(drawn.sample, wanted)
    assert asked == schedule.steps(3).tolist()


def test_noise_process_finds_the_masks_again(schedule):
    """Exact noise in, exact masks out; probabilities sum to one, overlapping masks share."""
    process = NoiseProcess(3, 2)
    onehot = torch.nn.functional.one_hot(torch.randint(3, (2, 4, 4)), 3).movedim(-1, 1).double()
    state, eps = process.state_of(onehot), torch.randn(2, 2, 4, 4, dtype=torch.float64)
    share = float(schedule.alpha_bar[400])
    x = share**0.5 * state + (1 - share) ** 0.5 * eps
    said = process.read(Denoised(eps), x, share)
    torch.testing.assert_close(said.state, state.to(said.state.dtype), atol=1e-5, rtol=0)
    torch.testing.assert_close(said.probability, onehot.to(said.probability.dtype), atol=1e-5, rtol=0)
    both = process.read(Denoised(torch.zeros(1, 2, 1, 1), None, torch.ones(1, 2, 1, 1)), torch.ones(1, 2, 1, 1), 1.0)
    torch.testing.assert_close(both.probability.flatten(), torch.tensor([0.0, 0.5, 0.5]))


def test_mixing_follows_the_released_code():
    """Agreeing opinions are averaged, a disagreeing sample only adds a quarter of itself; each sample decides alone."""
    agreed = torch.zeros(1, 1, 4, 4)
    agreed[..., :2, :] = 0.8
    stray = 0.4 * agreed.flip(2)
    state, opinion = torch.cat([agreed, stray]), torch.cat([agreed, agreed])
    mixed = mix(state, opinion, 2)
    torch.testing.assert_close(mixed[:1], agreed)
    torch.testing.assert_close(mixed[1:], (agreed + 0.25 * stray).clamp(0, 1))
    slices = mix(state.movedim(0, -1)[None], opinion.movedim(0, -1)[None], 2)
    torch.testing.assert_close(slices[0].movedim(-1, 0), mixed)


def test_schedules_of_another_length_follow_the_released_code():
    """gaussian_diffusion.get_named_beta_schedule: "linear" is scaled to the number of steps, "cosine" sampled as
    often."""
    for count in (100, 4000):
        shares = Schedule("linear", count).alpha_bar
        assert len(shares) == count and Schedule("linear", count).steps(3)[0] == count - 1
        betas = np.linspace(0.1 / count, 20 / count, count)
        np.testing.assert_allclose(shares, np.cumprod(1 - betas), rtol=1e-12)
        place = np.cos((np.arange(count + 1) / count + 0.008) / 1.008 * np.pi / 2) ** 2
        betas = np.minimum(1 - place[1:] / place[:-1], 0.999)
        np.testing.assert_allclose(Schedule("cosine", count).alpha_bar, np.cumprod(1 - betas), atol=1e-5)


@pytest.mark.parametrize("name", ["linear_beta", "scaled_linear_beta", "sigmoid_beta", "nonsense"])
def test_other_schedules_are_refused(name):
    with pytest.raises(ValueError, match="linear, cosine, shifted-cosine"):
        Schedule(name)
