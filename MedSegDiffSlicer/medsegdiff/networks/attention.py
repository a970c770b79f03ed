"""Parts that the networks with self-attention share: attention over tokens, the block around it, positions."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LINEAR = {2: "bilinear", 3: "trilinear"}  # F.interpolate's name of linear interpolation


class Attention(nn.Module):
    """Multi-head attention: tokens x (B, N, width) over `context` (B, M, width), x by default -> (B, N, width).

    Raises ValueError where heads do not share the width evenly.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, qkv_bias: bool = True):
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"{width} channels cannot be shared evenly among {heads} heads")
        self.heads = heads
        self.query = nn.Linear(width, width, bias=qkv_bias)
        self.key = nn.Linear(width, width, bias=qkv_bias)
        self.value = nn.Linear(width, width, bias=qkv_bias)
        self.out = nn.Linear(width, width)
        self.proj_dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, context: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """bias: added to the affinities, of a shape that broadcasts to (B, heads, N, M)."""
        context = x if context is None else context
        query, key, value = (self._split(y) for y in (self.query(x), self.key(context), self.value(context)))
        told = F.scaled_dot_product_attention(query, key, value, None if bias is None else bias.to(query.dtype))
        return self.proj_dropout(self.out(told.transpose(1, 2).flatten(2)))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them: (..., width) -> (..., width)."""

    def __init__(self, width: int, hidden: int, dropout: float = 0.0):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout, self.dropout_out = nn.Dropout(dropout), nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout_out(self.fc2(self.dropout(F.gelu(self.fc1(x)))))


class Block(nn.Module):
    """Block of the vision transformer (Dosovitskiy et al., ICLR 2021, arXiv:2010.11929), (B, N, width) -> the same.

    hidden: channels inside its perceptron.  dropout, attention_dropout: after the perceptron's layers, after attention.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        qkv_bias: bool = True,
    ):
        super().__init__()
        self.attention_norm, self.ffn_norm = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads, attention_dropout, qkv_bias)
        self.ffn = FeedForward(width, hidden, dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.attention_norm(x))
        return x + self.ffn(self.ffn_norm(x))


def tokens_of(x: Tensor) -> Tensor:
    """(B, C, *grid) -> (B, N, C)."""
    return x.flatten(2).transpose(1, 2)


def map_of(tokens: Tensor, grid: Sequence[int]) -> Tensor:
    """(B, N, C) -> (B, C, *grid)."""
    return tokens.transpose(1, 2).unflatten(2, tuple(grid))


def positions_for(positions: Tensor, trained: Sequence[int], grid: Sequence[int]) -> Tensor:
    """Learned positions (1, N, C) of the grid `trained`, interpolated linearly to (1, M, C) of another grid."""
    if prod(trained) != positions.shape[1]:
        raise ValueError(f"{positions.shape[1]} positions are no grid of {tuple(trained)}")
    if tuple(grid) == tuple(trained):
        return positions
    place = map_of(positions, trained)
    return tokens_of(F.interpolate(place, size=tuple(grid), mode=LINEAR[len(grid)], align_corners=False))


def checked_dims(spatial_dims: int) -> int:
    """spatial_dims. Raises ValueError where it is neither 2 nor 3."""
    if spatial_dims not in (2, 3):
        raise ValueError(f"spatial_dims is {spatial_dims}, not 2 or 3")
    return spatial_dims


def random_positions(tokens: int, width: int) -> nn.Parameter:
    """(1, tokens, width) to learn, near zero."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(1, tokens, width), std=0.02))
