"""Temperature scaling that may differ with the label and with the distance from doubt; imports torch."""

from __future__ import annotations

import torch
from torch import Tensor

CERTAIN = 1e-6  # probabilities are kept this far from 0, so that their logarithms are finite
TINY = 1e-12  # differences of logarithms likewise


def scale(probability: Tensor, power: Tensor | float, temperatures: Tensor) -> Tensor:
    """Label probabilities made softer or sharper; the likeliest label stays the likeliest.

    d = ln(p of the likeliest label) - ln(p) becomes d^power / temperature of the likeliest label. Power 1 is
    temperature scaling (Guo et al., 2017, arXiv:1706.04599); a power above 1 softens what is in doubt and leaves what
    is nearly sure. An order preserving map in the sense of Rahimi et al., 2020, arXiv:2003.06820.
    probability: (S, L, ...) summing to 1 over labels, background first.  power: above 0.  temperatures: (L,), above 0.
    """
    of_labels = probability.movedim(1, 0)
    flat = of_labels.reshape(len(of_labels), -1)
    doubtful = (~(flat[0] >= 1 - CERTAIN)).nonzero()[:, 0]  # NaN too; elsewhere, mostly, all is sure background
    background = torch.zeros_like(flat[:, :1])
    background[0] = 1
    scaled = _scaled(background, power, temperatures).expand_as(flat).contiguous()
    scaled.index_copy_(1, doubtful, _scaled(flat.index_select(1, doubtful), power, temperatures))
    return scaled.reshape(of_labels.shape).movedim(0, 1)


def _scaled(probability: Tensor, power: Tensor | float, temperatures: Tensor) -> Tensor:
    """(L, N) -> (L, N)."""
    logarithm = probability.clamp(min=CERTAIN).log()
    best = logarithm.amax(0)
    temperature = ((logarithm == best) * temperatures[:, None]).amax(0)  # of two likeliest labels the softer one's
    doubt = torch.exp(power * (best - logarithm).clamp(min=TINY).log())  # a power, at half the time
    return torch.softmax(-doubt / temperature, 0)


class Scaling:
    """The scaling that a model's calibration asks for, applied to the label probabilities of each of its opinions.

    calibration: `temperature`, `power` and `label_scale` (each label's factor of the temperature, background first) of
      the model package; 1 where an entry is missing.  labels: with background.
    Of a diffusion model the whole opinion is scaled, that is the mean over the steps of a sample; sampling itself, and
    the sample's label map, never see the temperature.
    """

    def __init__(self, calibration: dict, labels: int):
        self.power = float(calibration.get("power", 1.0))
        factors = calibration.get("label_scale", [1.0] * labels)
        self.temperatures = torch.tensor(factors, dtype=torch.float32) * float(calibration.get("temperature", 1.0))
        self.changes = self.power != 1 or bool((self.temperatures != 1).any())

    def __call__(self, probability: Tensor) -> Tensor:
        """(S, L, ...) float32 -> the same, scaled."""
        return scale(probability, self.power, self.temperatures.to(probability.device)) if self.changes else probability
