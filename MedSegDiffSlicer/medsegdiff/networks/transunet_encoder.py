"""The encoders of TransUNet: a ResNet with standardised weights, and the vision transformer on features."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import Block, map_of, positions_for, tokens_of


class HybridTransformer(nn.Module):
    """image (B, channels, I, J) -> tokens (B, hidden, I / 16, J / 16) and the ResNet's features, coarse to fine."""

    def __init__(self, channels, width, units, grid, hidden, mlp, layers, heads, dropout):
        super().__init__()
        self.embeddings = nn.Module()
        self.embeddings.hybrid_model = _ResNet(channels, width, units)
        _embed(self.embeddings, 2, 16 * width, grid, hidden, dropout)
        self.encoder = _Encoder(hidden, mlp, layers, heads, dropout)

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        x, features = self.embeddings.hybrid_model(image)
        return _attended(self, x), features


class FeatureTransformer(nn.Module):
    """features (B, channels, *spatial) -> (B, hidden, *spatial), each place told of all others.

    grid: the size for which positions are learnt; other sizes get interpolated ones.
    """

    def __init__(self, spatial_dims, channels, grid, hidden, mlp, layers, heads, dropout):
        super().__init__()
        self.embeddings = nn.Module()
        _embed(self.embeddings, spatial_dims, channels, grid, hidden, dropout)
        self.encoder = _Encoder(hidden, mlp, layers, heads, dropout)

    def forward(self, x: Tensor) -> Tensor:
        return _attended(self, x)


def _embed(module: nn.Module, dims: int, channels: int, grid: Sequence[int], hidden: int, dropout: float) -> None:
    """Gives the module what makes tokens of features."""
    module.grid = tuple(grid)
    module.patch_embeddings = (nn.Conv2d, nn.Conv3d)[dims - 2](channels, hidden, 1)
    module.position_embeddings = nn.Parameter(torch.zeros(1, prod(grid), hidden))
    module.dropout = nn.Dropout(dropout)


def _attended(transformer: nn.Module, x: Tensor) -> Tensor:
    embeddings = transformer.embeddings
    x = embeddings.patch_embeddings(x)
    grid = x.shape[2:]
    tokens = tokens_of(x) + positions_for(embeddings.position_embeddings, embeddings.grid, grid)
    return map_of(transformer.encoder(embeddings.dropout(tokens)), grid)


class _Encoder(nn.Module):
    def __init__(self, hidden: int, mlp: int, layers: int, heads: int, dropout: float):
        super().__init__()
        self.layer = nn.ModuleList(Block(hidden, heads, mlp, dropout) for _ in range(layers))
        self.encoder_norm = nn.LayerNorm(hidden, eps=1e-6)

    def forward(self, tokens: Tensor) -> Tensor:
        for block in self.layer:
            tokens = block(tokens)
        return self.encoder_norm(tokens)


class _ResNet(nn.Module):
    """ResNet-v2 of BiT (Kolesnikov et al., ECCV 2020, arXiv:1912.11370) without its fourth stage.

    (B, channels, I, J) -> (B, 16 * width, I / 16, J / 16), and [(B, 8 * width, I / 8, ..), (B, 4 * width, I / 4, ..),
    (B, width, I / 2, ..)].
    """

    def __init__(self, channels: int, width: int, units: Sequence[int]):
        super().__init__()
        self.root = nn.Sequential(
            OrderedDict(
                conv=_StandardisedConv2d(channels, width, 7, 2, 3, bias=False),
                gn=nn.GroupNorm(32, width, eps=1e-6),
                relu=nn.ReLU(inplace=True),
            )
        )
        stages = ((f"block{n + 1}", _stage(width, n, count)) for n, count in enumerate(units))
        self.body = nn.Sequential(OrderedDict(stages))

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        root = self.root(image)
        first = self.body.block1(F.max_pool2d(root, 3, 2))
        second = self.body.block2(first)
        padded = F.pad(first, (0, 1, 0, 1))  # the pooling has no padding and loses a row and a column
        return self.body.block3(second), [second, padded, root]


def _stage(width: int, number: int, units: int) -> nn.Sequential:
    """Stage 0 - 2: `units` bottleneck blocks; the first widens the features and, from stage 1 on, halves their size."""
    mid = width * 2**number
    cins = [width if number == 0 else 2 * mid] + [4 * mid] * (units - 1)
    strides = [1 if number == 0 else 2] + [1] * (units - 1)
    return nn.Sequential(
        OrderedDict((f"unit{n + 1}", _Unit(cin, mid, stride)) for n, (cin, stride) in enumerate(zip(cins, strides)))
    )


class _Unit(nn.Module):
    """Bottleneck block, (B, cin, I, J) -> (B, 4 * mid, I / stride, J / stride)."""

    def __init__(self, cin: int, mid: int, stride: int):
        super().__init__()
        cout = 4 * mid
        self.conv1, self.gn1 = _StandardisedConv2d(cin, mid, 1, bias=False), nn.GroupNorm(32, mid, eps=1e-6)
        self.conv2, self.gn2 = _StandardisedConv2d(mid, mid, 3, stride, 1, bias=False), nn.GroupNorm(32, mid, eps=1e-6)
        self.conv3, self.gn3 = _StandardisedConv2d(mid, cout, 1, bias=False), nn.GroupNorm(32, cout, eps=1e-6)
        self.projects = stride != 1 or cin != cout
        if self.projects:
            self.downsample = _StandardisedConv2d(cin, cout, 1, stride, bias=False)
            self.gn_proj = nn.GroupNorm(cout, cout)

    def forward(self, x: Tensor) -> Tensor:
        kept = self.gn_proj(self.downsample(x)) if self.projects else x
        y = F.relu(self.gn1(self.conv1(x)))
        y = F.relu(self.gn2(self.conv2(y)))
        return F.relu(kept + self.gn3(self.conv3(y)))


class _StandardisedConv2d(nn.Conv2d):
    """A convolution whose kernels have mean 0 and variance 1 (Qiao et al., 2019, arXiv:1903.10520)."""

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        weight = (self.weight - mean) / torch.sqrt(variance + 1e-5)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)
