"""The SS-Former: attention between image and noisy mask whose affinities are filtered in Fourier space."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .band_pass import NeuralBandPassFilter, frequency_radius

_RESAMPLE = {2: "bilinear", 3: "trilinear"}
_OCTAVES = 4


class SSFormer(nn.Module):
    """Spectrum-space transformer of MedSegDiff-V2 (Wu et al., AAAI 2024, arXiv:2301.11798): the semantic condition.

    From the paper: blocks of two symmetric cross attentions; the first tells the image's embedding of the noisy mask's,
    the second tells the noisy mask's embedding of the outcome; affinities are computed between Fourier transforms,
    filtered by the NBP-Filter under the step, and transformed back before they weigh the values; an MLP follows each.
    Not settled by what is known of it (see MedSegDiffV2): how it copes with sizes. Here the tokens are the voxels of
    the embedding, averaged over the smallest cubes that leave at most `max_tokens`, so that an affinity map has at most
    max_tokens^2 entries a head, whatever the image (512: 1 MiB). Their positions are sines and cosines of where they
    are in the image's extent. Each attention and each MLP is added to what it refines.

    embed: the image's deepest features (B, channels, *grid) -> its tokens (B, channels, *token grid); once an image.
    forward: the noisy mask's deepest features x (B, channels, *grid), the image's tokens, time (B, embedding) ->
      (B, channels, *grid), x with what was learnt added. Any grid.
    """

    def __init__(
        self, spatial_dims: int, channels: int, embedding: int, heads: int = 4, depth: int = 2, max_tokens: int = 512
    ):
        super().__init__()
        if min(channels, heads, depth, max_tokens) < 1:
            raise ValueError("channels, heads, depth and max_tokens must be at least 1")
        if channels % heads:
            raise ValueError(f"{channels} channels cannot be shared among {heads} heads")
        self.max_tokens = max_tokens
        self.mode = _RESAMPLE[spatial_dims]
        self.image_in, self.mask_in = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.place = nn.Linear(2 * _OCTAVES * spatial_dims, channels, bias=False)
        self.blocks = nn.ModuleList(
            nn.ModuleList(SpectrumSpaceAttention(channels, heads, embedding) for _ in range(2)) for _ in range(depth)
        )
        self.leave = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, channels))

    def embed(self, image: Tensor) -> Tensor:
        return self._tokens(image, self.image_in).movedim(-1, 1)

    def forward(self, x: Tensor, image: Tensor, time: Tensor) -> Tensor:
        image, mask = image.movedim(1, -1), self._tokens(x, self.mask_in)
        for tell_image, tell_mask in self.blocks:
            image = tell_image(image, mask, time)
            mask = tell_mask(mask, image, time)
        learnt = self.leave(mask).movedim(-1, 1)
        if learnt.shape != x.shape:
            learnt = F.interpolate(learnt, size=x.shape[2:], mode=self.mode, align_corners=False)
        return x + learnt

    def _tokens(self, x: Tensor, project: nn.Module) -> Tensor:
        """(B, *token grid, channels)."""
        grid = token_grid(tuple(x.shape[2:]), self.max_tokens)
        if grid != tuple(x.shape[2:]):
            x = F.interpolate(x, size=grid, mode="area")
        return project(x.movedim(1, -1)) + self.place(_positions(grid, x.device))


class SpectrumSpaceAttention(nn.Module):
    """One cross attention: the receiver asks, the giver answers, by affinities filtered in Fourier space; then an MLP.

    receiver, giver: (B, *grid, width); time: (B, embedding) -> the receiver with what it was told, (B, *grid, width).
    The paper's weights of query and key stand after the transform; they mix channels and the transform mixes places, so
    before it they do the same. Affinities are scaled and pass a softmax, as in any attention.
    """

    def __init__(self, width: int, heads: int, embedding: int):
        super().__init__()
        self.heads = heads
        self.norm_receiver, self.norm_giver = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.filter = NeuralBandPassFilter(heads, embedding)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, receiver: Tensor, giver: Tensor, time: Tensor) -> Tensor:
        asked, answer = self.norm_receiver(receiver), self.norm_giver(giver)
        weights = self.affinity(asked, answer, time).softmax(-1)
        told = weights @ self._split(self.value(answer)).to(weights.dtype)
        receiver = receiver + self.out(told.movedim(1, 2).reshape(receiver.shape))
        return receiver + self.mlp(receiver)

    def affinity(self, asked: Tensor, answer: Tensor, time: Tensor) -> Tensor:
        """(B, heads, N, N) float32, whatever autocast says: how much each place asks of each place.

        Without the filter, this is the product of queries and keys: the transform back undoes the one before. Half of
        the keys' spectrum is kept, which is all of it for real numbers.
        """
        grid, axes = tuple(asked.shape[1:-1]), tuple(range(1, asked.ndim - 1))
        with torch.autocast(asked.device.type, enabled=False):
            query = torch.fft.fftn(self.query(asked.float()), dim=axes, norm="ortho")
            key = torch.fft.rfftn(self.key(answer.float()), dim=axes, norm="ortho")
            query, key, half_grid = self._split(query), self._split(key), tuple(key.shape[1:-1])
            affinity = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
            radii = (frequency_radius(grid, half, asked.device) for half in (False, True))
            affinity = self.filter(affinity, *radii, time.float())
            b, heads, n, k = affinity.shape
            back = torch.fft.ifftn(affinity.reshape(b * heads, *grid, k), dim=axes, norm="ortho")
            back = torch.fft.irfftn(back.reshape(b * heads * n, *half_grid), s=grid, dim=axes, norm="ortho")
        return back.reshape(b, heads, n, n)

    def _split(self, x: Tensor) -> Tensor:
        """(B, *grid, width) -> (B, heads, N, width / heads)."""
        return x.reshape(len(x), -1, self.heads, x.shape[-1] // self.heads).transpose(1, 2)


def token_grid(grid: tuple[int, ...], max_tokens: int) -> tuple[int, ...]:
    """The grid divided by the smallest whole number that leaves at most max_tokens (>= 1) places."""
    factor, tokens = 1, grid
    while math.prod(tokens) > max_tokens:
        factor += 1
        tokens = tuple(-(-n // factor) for n in grid)
    return tokens


def _positions(grid: tuple[int, ...], device: torch.device) -> Tensor:
    """(*grid, 2 * octaves * axes) sines and cosines of the places' coordinates, 0 - 1 along each axis."""
    axes = [(torch.arange(n, device=device) + 0.5) / n for n in grid]
    place = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    angle = (math.pi * place[..., None] * 2 ** torch.arange(_OCTAVES, device=device)).flatten(-2)
    return torch.cat([angle.sin(), angle.cos()], -1)
