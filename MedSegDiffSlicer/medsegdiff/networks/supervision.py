"""What a network is taught by in training beside its logits."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Supervised(NamedTuple):
    """Opinions of a network in training, each of which is compared with the label.

    logits: (B, out_channels, ...) each, of the image's resolution or a lower one.  weights: how much the loss of each
    counts.  penalty: a term of the network's own, a scalar.
    """

    logits: tuple[Tensor, ...]
    weights: tuple[float, ...]
    penalty: Tensor | float = 0.0


def deep_supervision(logits: list[Tensor]) -> Supervised:
    """Of logits from the highest resolution to the lowest: each counts half as much as the one before, 1 in all
    (nnU-Net; Isensee et al., 2021)."""
    shares = [2.0**-level for level in range(len(logits))]
    return Supervised(tuple(logits), tuple(share / sum(shares) for share in shares))
