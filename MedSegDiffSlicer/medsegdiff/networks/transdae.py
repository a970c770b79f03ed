"""TransDAE: a hierarchical transformer whose blocks attend over channels and over places."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.layers.factories import Conv
from monai.networks.utils import pixelshuffle
from torch import Tensor, cat, nn
from torch.nn import functional as F

from .attention import Attention, checked_dims, map_of, tokens_of


class TransDAE(nn.Module):
    """A U-Net of dual attention blocks with large convolution kernels in its skips.

    image: (B, in_channels, *spatial), any size -> logits (B, out_channels, *spatial).
    channels: of the levels, at 1/4, 1/8, 1/16 ... of the image's size, multiples of `heads`.  depth: blocks of each.
    reductions: along each axis, how many places of a level share one key and value in the attention over places.
    heads: of that attention.  dropout: of attention and multilayer perceptrons.
    spatial_dims: 2 or 3.  Raises ValueError for other arguments.

    TransDAE (Azad et al., 2024, arXiv:2409.02018), after its abstract and what others tell of it; its full text was not
    at hand and there is no code. From there: overlapping patches become tokens; encoder and decoder consist of pairs of
    transformer layers, one over channels (efficient attention; Shen et al., WACV 2021, arXiv:1812.01243), one over
    places with fewer keys than places; an inter-scale interaction module in each skip lets encoder and decoder features
    meet in a large kernel, taken apart (Guo et al., 2023, arXiv:2202.09741: 5, then 7 at a dilation of 3, then 1).
    Not settled by it, and here as in DAE-Former (arXiv:2212.13504), which it continues: channels, depths, patches of 7
    with a stride of 4 and of 3 with a stride of 2, perceptrons four times as wide with a depthwise convolution inside,
    patch expanding. What the kernel says is added to the skip; 3D is ours.
    """

    diffusion = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spatial_dims: int = 2,
        channels: Sequence[int] = (128, 320, 512),
        depth: Sequence[int] = (2, 2, 2),
        reductions: Sequence[int] = (4, 2, 1),
        heads: int = 8,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.spatial_dims = dims = checked_dims(spatial_dims)
        if len(channels) < 2 or not len(channels) == len(depth) == len(reductions):
            raise ValueError("channels, depth and reductions must be of one length, 2 or more")
        if min(in_channels, out_channels, *channels, *depth, *reductions) < 1:
            raise ValueError("channels, depth and reductions must be at least 1")

        def blocks(level: int) -> nn.Sequential:
            shape = dims, channels[level], heads, reductions[level], dropout
            return nn.Sequential(*(_DualBlock(*shape) for _ in range(depth[level])))

        conv, steps = Conv[Conv.CONV, dims], range(len(channels) - 1)
        self.embed = nn.ModuleList([conv(in_channels, channels[0], 7, 4, 3)])
        self.embed += [conv(channels[n], channels[n + 1], 3, 2, 1) for n in steps]
        self.encode = nn.ModuleList(blocks(n) for n in range(len(channels)))
        self.norm = nn.ModuleList(nn.LayerNorm(c) for c in channels)
        self.expand = nn.ModuleList(_Expand(dims, channels[n + 1], channels[n], 2) for n in reversed(steps))
        self.interact = nn.ModuleList(_InterScale(dims, channels[n]) for n in reversed(steps))
        self.decode = nn.ModuleList(blocks(n) for n in reversed(steps))
        self.leave = nn.Sequential(_Expand(dims, channels[0], channels[0], 4), conv(channels[0], out_channels, 1))

    def forward(self, image: Tensor) -> Tensor:
        x, levels = image, []
        for embed, encode, norm in zip(self.embed, self.encode, self.norm):
            x = encode(embed(x))
            x = map_of(norm(tokens_of(x)), x.shape[2:])
            levels.append(x)
        x = levels.pop()
        for expand, interact, decode in zip(self.expand, self.interact, self.decode):
            skip = levels.pop()
            x = decode(interact(skip, _cut(expand(x), skip.shape[2:])))
        return _cut(self.leave(x), image.shape[2:])


def _cut(x: Tensor, size: Sequence[int]) -> Tensor:
    """Without the last places of axes that are longer than `size`."""
    return x[(..., *(slice(n) for n in size))]


class _DualBlock(nn.Module):
    """Attention over channels, then over places, a perceptron after each: (B, width, *grid) -> the same."""

    def __init__(self, dims: int, width: int, heads: int, reduction: int, dropout: float):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.channels = _EfficientAttention(width)
        self.places = Attention(width, heads, dropout)
        self.reduction = reduction
        if reduction > 1:
            self.reduce, self.norm = Conv[Conv.CONV, dims](width, width, reduction, reduction), nn.LayerNorm(width)
        self.mlps = nn.ModuleList(_MixedFeedForward(dims, width, dropout) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        grid, x = x.shape[2:], tokens_of(x)
        x = x + self.channels(self.norms[0](x))
        x = x + self.mlps[0](self.norms[1](x), grid)
        asked = self.norms[2](x)
        x = x + self.places(asked, self._fewer(asked, grid))
        x = x + self.mlps[1](self.norms[3](x), grid)
        return map_of(x, grid)

    def _fewer(self, x: Tensor, grid: Sequence[int]) -> Tensor:
        if self.reduction == 1:
            return x
        ends = [end for n in reversed(grid) for end in (0, -n % self.reduction)]
        return self.norm(tokens_of(self.reduce(F.pad(map_of(x, grid), ends))))


class _EfficientAttention(nn.Module):
    """Attention whose cost grows with the number of tokens, not with its square: (B, N, width) -> the same."""

    def __init__(self, width: int):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        context = self.key(x).softmax(1).transpose(1, 2).to(x.dtype) @ self.value(x)
        return self.out(self.query(x).softmax(-1).to(x.dtype) @ context)


class _MixedFeedForward(nn.Module):
    """Multilayer perceptron with a depthwise convolution inside (SegFormer; Xie et al., 2021, arXiv:2105.15203)."""

    def __init__(self, dims: int, width: int, dropout: float):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.mix = Conv[Conv.CONV, dims](4 * width, 4 * width, 3, padding=1, groups=4 * width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, grid: Sequence[int]) -> Tensor:
        x = tokens_of(self.mix(map_of(self.fc1(x), grid)))
        return self.dropout(self.fc2(F.gelu(x)))


class _InterScale(nn.Module):
    """skip, x (B, width, *grid), of the encoder and from the level below -> (B, width, *grid)."""

    def __init__(self, dims: int, width: int):
        super().__init__()
        conv = Conv[Conv.CONV, dims]
        self.meet = conv(2 * width, width, 1)
        self.kernel = nn.Sequential(
            conv(width, width, 5, padding=2, groups=width),
            conv(width, width, 7, padding=9, dilation=3, groups=width),
            conv(width, width, 1),
        )

    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        met = self.meet(cat([skip, x], 1))
        return skip + met * self.kernel(met)


class _Expand(nn.Module):
    """Each place becomes factor ** dims places: (B, cin, *grid) -> (B, cout, *grid * factor)."""

    def __init__(self, dims: int, cin: int, cout: int, factor: int):
        super().__init__()
        self.dims, self.factor = dims, factor
        self.enter, self.norm = Conv[Conv.CONV, dims](cin, cout * factor**dims, 1, bias=False), nn.LayerNorm(cout)

    def forward(self, x: Tensor) -> Tensor:
        x = pixelshuffle(self.enter(x), self.dims, self.factor)
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)
