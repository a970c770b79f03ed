"""What is left of the members' doubt once the probability is surer than before."""

from __future__ import annotations

import numpy as np

from .all_labels import Probability, labels_of
from .measures import binary_entropy

_OF_LABELS = "label_"  # what the names of moments a structure begin with


def less_doubtful(
    moments: dict[str, np.ndarray | None], before: Probability, after: Probability
) -> dict[str, np.ndarray | None]:  # fmt: skip
    """The moments of the opinions (see uncertainty.accumulator) by name, shrunk as the entropies do, never grown.

    moments: (I, J, K) float32, or (L - 1, I, J, K) a structure, whose names begin with "label_"; None stays None.
    before, after: label probabilities (L, I, J, K).
    """
    at = np.flatnonzero(labels_of(after).different(labels_of(before)))
    old, new = labels_of(before).take(at), labels_of(after).take(at)
    whole, out = _ratio(new.entropy, old.entropy), {}
    for name, moment in moments.items():
        out[name] = moment = None if moment is None else moment.copy()
        if moment is None:
            continue
        if not name.startswith(_OF_LABELS):
            moment.reshape(-1)[at] *= whole
            continue
        for value, part in enumerate(moment, start=1):
            part.reshape(-1)[at] *= _ratio(binary_entropy(new[value]), binary_entropy(old[value]))
    return out


def _ratio(new: np.ndarray, old: np.ndarray) -> np.ndarray:
    """How much smaller the new values are, 0 - 1."""
    return np.minimum(new / np.maximum(old, 1e-9), 1)
