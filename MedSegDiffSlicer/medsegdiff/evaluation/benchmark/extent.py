"""How much the benchmark measures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Extent:
    """What is varied, and how often all is repeated.

    samplers, steps: every pair, with `samples` samples.  ensemble: steps also measured without the mirrored copy.
    reference: (samples, steps) of the many-step result.  sample_counts: with DEFAULT_STEPS steps.
    volumes: edges of cubes in voxels.  label_counts: background included.  peer_steps: DDIM steps of a peer's mask.
    rounds: repeats of the masks; growth_rounds: of the other parts; medians are taken over them.
    """

    samplers: tuple[str, ...]
    steps: tuple[int, ...]
    samples: int
    ensemble: tuple[int, ...]
    reference: tuple[int, int]
    sample_counts: tuple[int, ...]
    volumes: tuple[int, ...]
    label_counts: tuple[int, ...]
    peer_steps: int
    rounds: int
    growth_rounds: int


DEFAULT_STEPS = 2  # of hippocampus-medsegdiff
FULL = Extent(
    samplers=("ddim", "ddpm", "dpm++"), steps=(1, 2, 4, 8, 16, 50), samples=8, ensemble=(1, 2, 4), reference=(16, 100),
    sample_counts=(1, 2, 4, 8, 16), volumes=(48, 64, 96, 128), label_counts=(2, 4, 8, 16), peer_steps=4,
    rounds=3, growth_rounds=3,
)  # fmt: skip
QUICK = Extent(
    samplers=("ddim",), steps=(1, 2, 4, 16), samples=8, ensemble=(1, 2, 4), reference=(8, 32),
    sample_counts=(1, 4), volumes=(48, 64), label_counts=(2, 4), peer_steps=2, rounds=3, growth_rounds=3,
)  # fmt: skip
