"""The colours of uncertainty, in pictures and in Slicer."""

from __future__ import annotations

import numpy as np

# Matplotlib's colour map inferno (CC0), every 32nd entry: its lightness grows evenly.
INFERNO = np.array([
    (0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85), (227, 89, 51), (249, 140, 10),
    (249, 201, 50), (252, 255, 164),
], dtype=np.float32)  # fmt: skip


def inferno(share: np.ndarray) -> np.ndarray:
    """(...) in 0 - 1 to (..., 3) r, g, b in 0 - 255."""
    places = np.linspace(0, 1, len(INFERNO))
    return np.stack([np.interp(share, places, INFERNO[:, c]) for c in range(3)], axis=-1)
