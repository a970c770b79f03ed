"""What MedSegDiff's released code says, and the weights it said it with.

fixtures/released.npz was made with github.com/KidsWithTokens/MedSegDiff, commit 60850bf, on a CPU with torch 2.13:
networks with 32 channels on 64x64 pixels, the code's fixed sizes (FF-Parser, highway network, bottleneck) scaled to
match. It holds

- layout: JSON, version -> weight's name -> [shape in that small network, shape in a default one];
- VERSION_forward_T: (1, 3, 64, 64), noise, variance and calibration map at step T after torch.manual_seed(SEED);
- v1_deterministic_600: the same, the random bottleneck left out;
- VERSION_loop_states: (6, 1, 64, 64), what the DDPM loop from step 5 to 0 of 1000 passed through, its start left out;
- VERSION_loop_mask: (1, 1, 64, 64), the loop's calibrated mask;
- generator: the first four numbers of torch's normal generator after manual_seed(SEED).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

SEED = 5
NUMBERS = np.load(Path(__file__).parent / "fixtures/released.npz")
LAYOUT = json.loads(NUMBERS["layout"].tobytes())


def checkpoint(version: str) -> dict[str, torch.Tensor]:
    """The small network's state dict, the numbers drawn by Philox in the order of the names."""
    generator = np.random.Generator(np.random.Philox(0))
    state = {}
    for key, (shape, _) in sorted(LAYOUT[version].items()):
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(0)
            continue
        noise = generator.standard_normal(shape, np.float32)
        if key.endswith("running_var"):
            noise = 1 + 0.2 * np.abs(noise)
        elif key.endswith("complex_weight"):
            noise = 0.5 * noise
        elif len(shape) > 1:
            noise = noise * ((2 if key.startswith("hwm") else 1) / np.prod(shape[1:])) ** 0.5
        elif key.endswith("weight"):
            noise = 1 + 0.1 * noise
        else:
            noise = 0.1 * noise
        state[key] = torch.from_numpy(np.asarray(noise, np.float32))
    return state


def default_checkpoint(version: str) -> dict[str, torch.Tensor]:
    """Names and shapes of a checkpoint of the default size, without numbers."""
    return {key: torch.empty(shape, device="meta") for key, (_, shape) in LAYOUT[version].items()}


def image() -> torch.Tensor:
    """(1, 3, 64, 64) in [0, 1]."""
    return _drawn(100, (1, 3, 64, 64)).abs().clamp(0, 1)


def noisy_mask() -> torch.Tensor:
    """(1, 1, 64, 64)."""
    return _drawn(101, (1, 1, 64, 64))


def generator_is_the_same() -> bool:
    """Whether this torch draws the numbers that the reference drew."""
    torch.manual_seed(SEED)
    return np.allclose(torch.randn(4).numpy(), NUMBERS["generator"])


def _drawn(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(np.random.Generator(np.random.Philox(seed)).standard_normal(shape, np.float32))
