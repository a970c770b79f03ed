"""From noise to a mask: samplers for networks that predict the clean mask x0, any number of steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .schedule import Schedule

Predict = Callable[[Tensor, int], Tensor]
Noise = Callable[[int], Tensor]


def sample(kind: str, predict: Predict, noise: Noise, schedule: Schedule, steps: int) -> Tensor:
    """Draws masks.

    kind: "ddim" (Song et al., 2021, arXiv:2010.02502, eta 0), "ddpm" (Ho et al., 2020, arXiv:2006.11239, respaced) or
      "dpm++" (second-order multistep, Lu et al., 2022, arXiv:2211.01095).
    predict(x_t, t): x_t (B, L, I, J, K), training step t -> logits of the clean mask, same shape.
    noise(n): the n-th standard normal tensor (B, L, I, J, K); 0 is where sampling starts.
    steps: evaluations of `predict`. Returns the logits of the last one.
    """
    update = {"ddim": _ddim, "ddpm": _ddpm, "dpm++": _dpm}[kind]()
    times = schedule.steps(steps).tolist()
    shares = [float(schedule.alpha_bar[t]) for t in times]
    x = noise(0)
    for n, t in enumerate(times):
        logits = predict(x, t)
        if n + 1 < len(times):
            x0 = 2 * torch.softmax(logits.float(), 1) - 1
            x = update(x, x0, shares[n], shares[n + 1], lambda n=n: noise(n + 1))
    return logits


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
