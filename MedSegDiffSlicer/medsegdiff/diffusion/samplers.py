"""From noise to a mask: samplers for any model, any number of steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .process import MaskProcess, NoiseProcess, Reading
from .schedule import Schedule

Predict = Callable[[Tensor, int], Any]
Noise = Callable[[int], Tensor]
Guide = Callable[[Tensor, int], Tensor]


class Draw(NamedTuple):
    """What sampling gives.

    sample: (B, L, ...) label probabilities of the last step; its most probable labels are a draw from the posterior.
    probability: (B, L, ...) the sample's estimate of the posterior's mean: the mean over all steps where each one
      estimates it (MaskProcess.all_steps), else `sample`.
    """

    sample: Tensor
    probability: Tensor


def sample(
    kind: str,
    process: MaskProcess | NoiseProcess,
    predict: Predict,
    noise: Noise,
    schedule: Schedule,
    steps: int,
    *,
    eta: float = 0.0,
    truncation: float = 1.0,
    guess: Tensor | None = None,
    guide: Guide | None = None,
) -> Draw:
    """Draws masks.

    kind: "ddim" (Song et al., 2021, arXiv:2010.02502), "ddpm" (Ho et al., 2020, arXiv:2006.11239, respaced;
      learned-range variance of Nichol & Dhariwal, 2021, where the network has it) or "dpm++" (second-order multistep,
      Lu et al., 2022, arXiv:2211.01095).
    predict(x_t, t): x_t (B, M, ...) float32, training step t -> the network's answer, read by `process`.
    noise(n): the n-th standard normal tensor (B, M, ...); 0 is where sampling starts.
    steps: evaluations of `predict`.  eta: share of fresh noise in DDIM, 0 (none) - 1 (as much as DDPM).
    truncation, guess: start at that share of the diffusion from the noised `guess`, label probabilities (B, L, ...)
      (truncated diffusion, Zheng et al., 2023, arXiv:2202.09671); without a guess from pure noise, which is right at 1
      only.
    guide(probability, t): per-step guidance; what it returns (label probabilities, same shape) takes the place of the
      prediction.
    """
    update = {"ddim": lambda: _Ddim(eta), "ddpm": _Ddpm, "dpm++": _DpmSolver}[kind]()
    times = schedule.steps(steps, truncation).tolist()
    shares = [float(schedule.alpha_bar[t]) for t in times]
    x, total = noise(0), None
    if guess is not None:
        x = shares[0] ** 0.5 * process.state_of(guess) + (1 - shares[0]) ** 0.5 * x
    for n, t in enumerate(times):
        said = process.read(predict(x, t), x, shares[n])
        if guide is not None:
            probability = guide(said.probability, t)
            said = Reading(process.state_of(probability), probability, said.variance)
        if process.all_steps:
            total = total.add_(said.probability) if n else said.probability.clone()
        if n + 1 < len(times):
            x = update(x, said, shares[n], shares[n + 1], lambda n=n: noise(n + 1))
    return Draw(said.probability, total.div_(len(times)) if process.all_steps else said.probability)


def draws_noise(kind: str, eta: float = 0.0) -> bool:
    """Whether a sampler asks for noise at each step, or only where it starts."""
    return kind == "ddpm" or (kind == "ddim" and eta > 0)


class _Ddim:
    def __init__(self, eta: float):
        self.eta = eta

    def __call__(self, x: Tensor, said: Reading, now: float, then: float, fresh: Callable[[], Tensor]) -> Tensor:
        deviation = self.eta * ((1 - then) / (1 - now) * (1 - now / then)) ** 0.5
        keep = ((1 - then - deviation**2) / (1 - now)) ** 0.5  # of the noise, which is x without the predicted mask
        x = (keep * x).add_(said.state, alpha=then**0.5 - keep * now**0.5)
        return x.add_(fresh(), alpha=deviation) if self.eta else x


class _Ddpm:
    def __call__(self, x: Tensor, said: Reading, now: float, then: float, fresh: Callable[[], Tensor]) -> Tensor:
        keep = now / then
        mean = (then**0.5 * (1 - keep) * said.state + keep**0.5 * (1 - then) * x) / (1 - now)
        log_variance = math.log((1 - then) / (1 - now) * (1 - keep))
        if said.variance is None:
            return mean + math.exp(0.5 * log_variance) * fresh()
        return mean + torch.exp(0.5 * between(said.variance, log_variance, math.log(1 - keep))) * fresh()


def between(variance: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """Learned-range log variance (Nichol & Dhariwal, 2021): v in [-1, 1] -> from `low`, the posterior's, to `high`,
    beta's."""
    share = (variance + 1) / 2
    return share * high + (1 - share) * low


class _DpmSolver:
    def __init__(self):
        self.last: tuple[Tensor, float] | None = None  # the previous prediction and its step in log-SNR

    def __call__(self, x: Tensor, said: Reading, now: float, then: float, fresh: Callable[[], Tensor]) -> Tensor:
        h = _log_snr(then) - _log_snr(now)
        guess = said.state
        if self.last is not None:
            ratio = self.last[1] / h
            guess = (1 + 1 / (2 * ratio)) * said.state - 1 / (2 * ratio) * self.last[0]
        self.last = said.state, h
        return ((1 - then) / (1 - now)) ** 0.5 * x + then**0.5 * (1 - math.exp(-h)) * guess


def _log_snr(share: float) -> float:
    return 0.5 * (math.log(share) - math.log1p(-share))
