"""The neural band-pass filter: which frequencies may talk to each other at a step of the diffusion."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_HARMONICS = 4


class NeuralBandPassFilter(nn.Module):
    """NBP-Filter of MedSegDiff-V2 (Wu et al., AAAI 2024, arXiv:2301.11798): weighs the spectrum of an affinity map.

    From the paper: a small network learns which frequencies pass; the embedded diffusion step scales and shifts its
    features, so that each step passes bands of its own. Not settled by what is known of it (see MedSegDiffV2): what the
    network sees. Here two coordinates, the distances of the query's and of the key's frequency from frequency 0, so
    that any size works; it gives a weight in (0, 1) for `knots` x `knots` pairs of distances, straight lines between.

    spectrum: (B, heads, N, K) complex; query_radius (N,) and key_radius (K,) in [0, 1] (frequency_radius);
    time: (B, embedding) -> the weighted spectrum. Computed in float32.
    """

    def __init__(self, heads: int, embedding: int, width: int = 32, blocks: int = 2, knots: int = 16):
        super().__init__()
        self.knots = knots
        self.enter = nn.Linear(2 * _HARMONICS, width)
        self.blocks = nn.ModuleList(_Block(width, embedding) for _ in range(blocks))
        self.leave = nn.Linear(width, heads)
        nn.init.constant_(self.leave.bias, 2.0)  # passes most of everything at first

    def bands(self, time: Tensor) -> Tensor:
        """(B, heads, knots, knots) weights in (0, 1) of the pairs of distances 0 ... 1 from frequency 0."""
        distance = torch.linspace(0, 1, self.knots, device=time.device)
        waves = torch.cos(math.pi * distance[:, None] * torch.arange(_HARMONICS, device=time.device))
        x = torch.cat(
            [waves[:, None].expand(-1, self.knots, -1), waves[None].expand(self.knots, -1, -1)], 2
        )
        x = self.enter(x).expand(len(time), -1, -1, -1)
        for block in self.blocks:
            x = block(x, time)
        return torch.sigmoid(self.leave(x)).permute(0, 3, 1, 2)

    def forward(self, spectrum: Tensor, query_radius: Tensor, key_radius: Tensor, time: Tensor) -> Tensor:
        query, key = self._between_knots(query_radius), self._between_knots(key_radius)
        return spectrum * (query @ self.bands(time) @ key.T)

    def _between_knots(self, radius: Tensor) -> Tensor:
        """(N, knots) weights of linear interpolation at the N distances."""
        place = torch.arange(self.knots, device=radius.device)
        return F.relu(1 - (radius[:, None] * (self.knots - 1) - place).abs())


class _Block(nn.Module):
    def __init__(self, width: int, embedding: int):
        super().__init__()
        self.linear, self.norm = nn.Linear(width, width), nn.LayerNorm(width, elementwise_affine=False)
        self.time = nn.Linear(embedding, 2 * width)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.time(time)[:, None, None].chunk(2, -1)
        return x + F.relu(self.norm(self.linear(x)) * (1 + scale) + shift)


def frequency_radius(grid: tuple[int, ...], half: bool, device: torch.device) -> Tensor:
    """(N,) distances from frequency 0 of the spectrum's places in memory order; the farthest corner possible has 1.

    grid: size in space.  half: the last axis holds the frequencies that rfftn gives.
    """
    axes = [torch.fft.fftfreq(n, device=device) for n in grid[:-1]]
    axes.append((torch.fft.rfftfreq if half else torch.fft.fftfreq)(grid[-1], device=device))
    square = sum((2 * f) ** 2 for f in torch.meshgrid(*axes, indexing="ij"))
    return (square / len(grid)).sqrt().flatten()
