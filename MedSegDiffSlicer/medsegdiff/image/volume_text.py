"""Volumes as people read them."""

from __future__ import annotations


def in_ml(volume: float) -> str:
    """A volume in mm^3 as text in ml: two decimals, below 1 ml three significant digits."""
    ml = volume / 1000
    return f"{ml:.2f}" if ml >= 1 or ml == 0 else f"{ml:#.3g}"
