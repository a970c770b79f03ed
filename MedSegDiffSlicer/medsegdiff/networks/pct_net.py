"""PCT-Net: convolutions beside windows of attention, the network of MIS-FM."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers import Conv, Norm, Pool
from monai.networks.nets.swin_unetr import SwinTransformerBlock, compute_mask, get_window_size
from torch import Tensor, nn

from .supervision import Supervised, deep_supervision


class PCTNet(nn.Module):
    """Wang et al., "MIS-FM: 3D Medical Image Segmentation using Foundation Models Pretrained on a Large-Scale
    Unannotated Dataset", 2023, arXiv:2306.16925; with the module names of its code (openmedlab/MIS-FM), so that
    published weights fit once models.state_dicts has seen to what differs.

    image: (B, in_channels, *spatial) float -> logits (B, out_channels, *spatial); spatial divisible by 16, the last
    axis by 16 / 2**thick.
    channels: of the five levels. The two upper ones are convolutions; the others are convolutions and, beside them,
    whose answers are added, `depths` Swin blocks of `heads` heads in windows of `window` voxels a side, every other one
    shifted.
    thick: of the two upper levels those whose convolutions and halving leave the last axis, across thick slices, alone:
    0, 1 or 2 (the code's resolution_mode).  dropout: of the three lower levels.  drop_path: of their attention.
    spatial_dims: 2 or 3 (2: thick is 0).  Raises ValueError for other arguments.
    Channels are those of the published weights (`pctnet_ct10k_volf.pt`, for 5 labels and any `thick`).

    The four upper levels are supervised in training.
    What differs: the code holds embedding and head of all three `thick` at once, and norms that it never uses; here are
    those that run. Its arrays have the slices first, these have them last. Windows are of MONAI's Swin blocks: where a
    level is smaller than a window, a part of the position biases serves.
    In 3D several distances share one position bias, as in the code, since published weights were learnt so.
    """

    diffusion = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spatial_dims: int = 3,
        channels: Sequence[int] = (24, 48, 128, 256, 512),
        depths: Sequence[int] = (2, 2, 2),
        heads: Sequence[int] = (4, 8, 16),
        window: int = 6,
        thick: int = 0,
        dropout: float = 0.2,
        drop_path: float = 0.2,
    ):
        super().__init__()
        if spatial_dims not in (2, 3) or thick not in ((0, 1, 2) if spatial_dims == 3 else (0,)):
            raise ValueError(f"spatial_dims is {spatial_dims} and thick {thick}, not 2 and 0, or 3 and 0 to 2")
        if (len(channels), len(depths), len(heads)) != (5, 3, 3):
            raise ValueError("channels must be five numbers, depths and heads three each")
        if min(in_channels, window, *channels, *depths, *heads) < 1 or out_channels < 2:
            raise ValueError("numbers must be at least 1, out_channels at least 2")
        if any(c % h for c, h in zip(channels[2:], heads)):
            raise ValueError(f"channels {tuple(channels[2:])} are not multiples of heads {tuple(heads)}")
        if not (0 <= dropout < 1 and 0 <= drop_path < 1):
            raise ValueError("dropout and drop_path must be from 0 to below 1")
        self.spatial_dims, self._thick = spatial_dims, str(thick)
        c, dims, flat = channels, spatial_dims, (thick > 0, thick > 1)

        def mixed(level: int) -> ConvTransBlock:
            n = level - 2
            return ConvTransBlock(dims, c[level], depths[n], heads[n], window, dropout, drop_path)

        self.embeddings = nn.ModuleDict({self._thick: _Embedding(dims, in_channels, c, flat)})
        pyramid = {f"down{n}": _Unit(dims, c[n - 1], c[n], halve=True) for n in (3, 4)}
        pyramid |= {f"up{n}": _Up(dims, c[n - 1], c[n]) for n in (3, 4)}
        pyramid |= {f"convtrans_{name}": mixed(int(name[1])) for name in ("e2", "d2", "e3", "d3", "e4")}
        pyramid |= {f"out_conv{n}": _Unit(dims, c[n], out_channels, kernel=1) for n in (2, 3)}
        self.pyramid_ct = nn.ModuleDict(pyramid)
        self.pred_heads = nn.ModuleDict({self._thick: _Head(dims, out_channels, c, flat)})

    def forward(self, image: Tensor) -> Tensor:
        return self.pred_heads[self._thick].out_conv0(self._decode(image)[0])

    def supervised(self, image: Tensor) -> Supervised:
        head, pyramid = self.pred_heads[self._thick], self.pyramid_ct
        outs = (head.out_conv0, head.out_conv1, pyramid["out_conv2"], pyramid["out_conv3"])
        return deep_supervision([out(x) for out, x in zip(outs, self._decode(image))])

    def _decode(self, image: Tensor) -> tuple[Tensor, ...]:
        """The decoder's features of the four upper levels, the highest resolution first."""
        pyramid = self.pyramid_ct
        x0, x1, x2 = self.embeddings[self._thick](image)
        x2 = pyramid["convtrans_e2"](x2)
        x3 = pyramid["convtrans_e3"](pyramid["down3"](x2))
        x4 = pyramid["convtrans_e4"](pyramid["down4"](x3))
        x3 = pyramid["convtrans_d3"](pyramid["up4"](x3, x4))
        x2 = pyramid["convtrans_d2"](pyramid["up3"](x2, x3))
        return *self.pred_heads[self._thick](x0, x1, x2), x2, x3


class ConvTransBlock(nn.Module):
    """Two convolutions, and Swin blocks beside them, on the same features (B, channels, *grid); their answers added."""

    def __init__(
        self, dims: int, channels: int, depth: int, heads: int, window: int, dropout: float, drop_path: float
    ):
        super().__init__()
        self.window, self.shift = (window,) * dims, (window // 2,) * dims
        self.conv = _ConvBlock(dims, channels, dropout)
        blocks = nn.ModuleList(
            SwinTransformerBlock(
                channels, heads, self.window, self.shift if n % 2 else (0,) * dims, drop=dropout, attn_drop=dropout,
                drop_path=drop_path,
            )
            for n in range(depth)
        )  # fmt: skip
        for block in blocks:
            block.attn.register_buffer("relative_position_index", _position_index(dims, window), persistent=False)
        self.trans = nn.ModuleDict({"blocks": blocks})
        self.pos_drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.pos_drop(x.movedim(1, -1))
        window, shift = get_window_size(x.shape[2:], self.window, self.shift)
        padded = [-(-n // edge) * edge for n, edge in zip(x.shape[2:], window)]
        mask = compute_mask(padded, window, shift, x.device)
        for block in self.trans["blocks"]:
            tokens = block(tokens, mask)
        return self.conv(x) + tokens.movedim(-1, 1)


def _position_index(dims: int, window: int) -> Tensor:
    """(N, N) which position bias is that of two of a window's N voxels, by their distance along each axis."""
    factors = (1, 2 * window - 1, 3 * window - 1)[:dims]  # the last should be (2 * window - 1)**2
    places = torch.stack(torch.meshgrid(*[torch.arange(window)] * dims, indexing="ij")).flatten(1)
    distance = places[:, :, None] - places[:, None] + window - 1
    return sum(factor * along for factor, along in zip(factors, distance))


def _conv(dims: int, cin: int, cout: int, kernel: int = 3, flat: bool = False) -> nn.Module:
    edge = (kernel,) * (dims - flat) + (1,) * flat
    return Conv[Conv.CONV, dims](cin, cout, edge, padding=tuple(n // 2 for n in edge))


def _unit(dims: int, channels: int, conv: nn.Module) -> nn.Sequential:
    return nn.Sequential(Norm[Norm.BATCH, dims](channels), nn.PReLU(), conv)


class _Unit(nn.Module):
    """Norm, activation and convolution, after halving the size or not."""

    def __init__(
        self, dims: int, cin: int, cout: int, kernel: int = 3, halve: bool = False,
        flat_size: bool = False, flat_kernel: bool = False,
    ):  # fmt: skip
        super().__init__()
        self.pool = Pool[Pool.MAX, dims]((2,) * (dims - flat_size) + (1,) * flat_size) if halve else nn.Identity()
        self.conv = _unit(dims, cin, _conv(dims, cin, cout, kernel, flat_kernel))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.pool(x))


class _ConvBlock(nn.Module):
    """Two units with dropout between them."""

    def __init__(self, dims: int, channels: int, dropout: float, flat: bool = False):
        super().__init__()
        first, second = (_unit(dims, channels, _conv(dims, channels, channels, flat=flat)) for _ in range(2))
        self.conv_conv = nn.Sequential(*first, *second[:2], nn.Dropout(dropout), second[2])

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_conv(x)


class _Up(nn.Module):
    """Features from below, doubled in size, beside those of the encoder."""

    def __init__(self, dims: int, high: int, low: int, flat_size: bool = False, flat_kernel: bool = False):
        super().__init__()
        edge = (2,) * (dims - flat_size) + (1,) * flat_size
        self.up = _unit(dims, low, Conv[Conv.CONVTRANS, dims](low, high, edge, edge))
        self.conv = _unit(dims, 2 * high, _conv(dims, 2 * high, high, flat=flat_kernel))

    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        return self.conv(torch.cat([skip, self.up(x)], 1))


class _Embedding(nn.Module):
    """The two upper levels of the encoder. flat: whether each leaves the last axis alone."""

    def __init__(self, dims: int, in_channels: int, c: Sequence[int], flat: tuple[bool, bool]):
        super().__init__()
        self.proj = _conv(dims, in_channels, c[0], flat=flat[0])
        self.conv0, self.conv1 = (_ConvBlock(dims, c[n], 0.0, flat[n]) for n in (0, 1))
        self.down1 = _Unit(dims, c[0], c[1], halve=True, flat_size=flat[0], flat_kernel=flat[1])
        self.down2 = _Unit(dims, c[1], c[2], halve=True, flat_size=flat[1])

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x0 = self.conv0(self.proj(image))
        x1 = self.conv1(self.down1(x0))
        return x0, x1, self.down2(x1)


class _Head(nn.Module):
    """The two upper levels of the decoder -> their features, the highest resolution first."""

    def __init__(self, dims: int, out_channels: int, c: Sequence[int], flat: tuple[bool, bool]):
        super().__init__()
        self.up1, self.up2 = (_Up(dims, c[n], c[n + 1], flat[n], flat[n]) for n in (0, 1))
        self.conv0, self.conv1 = (_ConvBlock(dims, c[n], 0.0, flat[n]) for n in (0, 1))
        self.out_conv0, self.out_conv1 = (_Unit(dims, c[n], out_channels, kernel=1) for n in (0, 1))

    def forward(self, x0: Tensor, x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:
        x1 = self.conv1(self.up2(x1, x2))
        return self.conv0(self.up1(x0, x1)), x1
