"""From noise to a mask: samplers for networks that predict the clean mask x0, any number of steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .schedule import Schedule

Predict = Callable[[Tensor, int], Tensor]
Noise = Callable[[int], Tensor]


class Draw(NamedTuple):
    """What sampling gives.

    sample: (B, L, I, J, K) label probabilities of the last step; its most probable labels are a draw from the posterior.
    probability: (B, L, I, J, K) mean of all steps' predictions. Each step predicts E[mask | x_t, image], and the mean of that
      over x_t is E[mask | image] whatever t is, so every step estimates the posterior's mean; the early ones, which
      have not committed themselves to one mask yet, with far less variance than the last one.
    """

    sample: Tensor
    probability: Tensor


def sample(
    kind: str, predict: Predict, noise: Noise, schedule: Schedule, steps: int, temperature: float = 1.0
) -> Draw:
    """Draws masks.

    kind: "ddim" (Song et al., 2021, arXiv:2010.02502, eta 0), "ddpm" (Ho et al., 2020, arXiv:2006.11239, respaced) or
      "dpm++" (second-order multistep, Lu et al., 2022, arXiv:2211.01095).
    predict(x_t, t): x_t (B, L, I, J, K), training step t -> logits of the clean mask, same shape.
    noise(n): the n-th standard normal tensor (B, L, I, J, K); 0 is where sampling starts.
    steps: evaluations of `predict`.  temperature: divides the logits of what is returned, not of what is fed back.
    """
    update = {"ddim": _ddim, "ddpm": _ddpm, "dpm++": _dpm}[kind]()
    times = schedule.steps(steps).tolist()
    shares = [float(schedule.alpha_bar[t]) for t in times]
    x, total = noise(0), 0.0
    for n, t in enumerate(times):
        logits = predict(x, t).float()
        likely = torch.softmax(logits, 1)
        softened = likely if temperature == 1 else torch.softmax(logits / temperature, 1)
        total = total + softened
        if n + 1 < len(times):
            x = update(x, 2 * likely - 1, shares[n], shares[n + 1], lambda n=n: noise(n + 1))
    return Draw(softened, total / len(times))


def _ddim():
    def update(x: Tensor, x0: Tensor, now: float, then: float, fresh) -> Tensor:
        noise = (x - now**0.5 * x0) / (1 - now) ** 0.5
        return then**0.5 * x0 + (1 - then) ** 0.5 * noise

    return update


def _ddpm():
    def update(x: Tensor, x0: Tensor, now: float, then: float, fresh) -> Tensor:
        keep = now / then
        mean = (then**0.5 * (1 - keep) * x0 + keep**0.5 * (1 - then) * x) / (1 - now)
        return mean + ((1 - then) / (1 - now) * (1 - keep)) ** 0.5 * fresh()

    return update


def _dpm():
    last: list = []  # the previous prediction and its step in log-SNR

    def update(x: Tensor, x0: Tensor, now: float, then: float, fresh) -> Tensor:
        h = float(_log_snr(then) - _log_snr(now))
        guess = x0
        if last:
            ratio = last[1] / h
            guess = (1 + 1 / (2 * ratio)) * x0 - 1 / (2 * ratio) * last[0]
        last[:] = [x0, h]
        shrink = float(torch.exp(torch.tensor(-h, dtype=torch.float64)))
        return ((1 - then) / (1 - now)) ** 0.5 * x + then**0.5 * (1 - shrink) * guess

    return update


def _log_snr(share: float) -> Tensor:
    share = torch.tensor(share, dtype=torch.float64)
    return 0.5 * (torch.log(share) - torch.log1p(-share))
