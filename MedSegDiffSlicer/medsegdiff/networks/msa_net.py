"""MSA-Net: multi-scale guided attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution
from monai.networks.layers import Conv, Pool
from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import LINEAR, checked_dims
from .supervision import Supervised

_GUIDANCE, _RECONSTRUCTION = 0.25, 0.1  # weights of the two guiding losses in the authors' code
_PRELU = {"adn_ordering": "NA", "norm": "batch", "act": "prelu"}


class MSANet(nn.Module):
    """Sinha and Dolz, "Multi-scale self-guided attention for medical image segmentation", IEEE JBHI 2021,
    arXiv:1906.02849, after its abstract and its code (sinAshish/Multi-Scale-Attention).

    image: (B, in_channels, *spatial) float, of any size from 32 on -> logits (B, out_channels, *spatial).
    layers: residual blocks of the backbone's four stages, at 1/4, 1/8, 1/16 and 1/32 of the image's resolution; the
    default is ResNet-101.  channels: of its stages' bottlenecks, a quarter of what the stages give.
    width: channels of the attention, a multiple of 8; 64 in the code.
    dropout: share of the channels that are dropped before the last predictions, in training and by Monte-Carlo dropout.
    spatial_dims: 2, the paper's, or 3.  Raises ValueError for other arguments. Training needs batches of 2 at least.

    From the code: the four stages' features, brought to `width` channels and 1/4 of the image's resolution, are fused;
    each, beside what was fused, passes position and channel attention, which the answer of an encoder-decoder (the same
    for all scales) weighs; the outcome weighs what was fused, and a second such step follows with weights of its own.
    The answer is the mean of the four scales' second predictions. In training, all eight predictions count alike, and
    the attention is guided: deepest features of both encoder-decoders shall be alike (weight 1/4), and each shall
    reconstruct its input (1/10), both by mean squared error.
    What differs: the backbone is MONAI's ResNet; the code has ResNeXt-101 (32x8d), which MONAI has not. What is
    computed but never used in the code is left out. Any size; 3D.
    """

    diffusion = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spatial_dims: int = 2,
        layers: Sequence[int] = (3, 4, 23, 3),
        channels: Sequence[int] = (64, 128, 256, 512),
        width: int = 64,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.spatial_dims = checked_dims(spatial_dims)
        if (len(layers), len(channels)) != (4, 4) or min(in_channels, *layers, *channels) < 1 or out_channels < 2:
            raise ValueError("layers and channels must be four numbers from 1 on each, out_channels at least 2")
        if width < 8 or width % 8 or not 0 <= dropout < 1:
            raise ValueError("width must be a multiple of 8, dropout from 0 to below 1")
        self.backbone = ResNet(
            "bottleneck", list(layers), list(channels), spatial_dims, in_channels, conv1_t_stride=2, feed_forward=False,
            bias_downsample=False,
        )  # fmt: skip

        def predict() -> nn.Module:
            return Convolution(spatial_dims, width, out_channels, kernel_size=1, conv_only=True)

        self.down = nn.ModuleList(
            Convolution(spatial_dims, 4 * c, width, kernel_size=1, **_PRELU) for c in channels
        )  # fmt: skip
        self.fuse = nn.Sequential(
            Convolution(spatial_dims, 4 * width, width, **_PRELU), Convolution(spatial_dims, width, width, **_PRELU),
            Convolution(spatial_dims, width, width, kernel_size=1, **_PRELU),
        )  # fmt: skip
        self.steps = nn.ModuleList(_GuidedAttention(spatial_dims, width) for _ in range(2))
        self.first = nn.ModuleList(predict() for _ in channels)
        self.drop = (nn.Dropout2d, nn.Dropout3d)[spatial_dims - 2](dropout)
        self.second = nn.ModuleList(predict() for _ in channels)

    def forward(self, image: Tensor) -> Tensor:
        refined = self._attend(*self._scales(image))[0]
        return self._predict(self.second, refined, image).mean(0)

    def supervised(self, image: Tensor) -> Supervised:
        scales, fused = self._scales(image)
        refined, penalty = self._attend(scales, fused)
        said = (*self._predict(self.first, scales, image), *self._predict(self.second, refined, image))
        return Supervised(said, (1 / len(said),) * len(said), penalty / len(said))

    def _scales(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """The features of the four stages, (B, width, *spatial / 4) each, and what is fused of them."""
        net = self.backbone
        x, scales = net.maxpool(net.act(net.bn1(net.conv1(image)))), []
        for stage, down in zip((net.layer1, net.layer2, net.layer3, net.layer4), self.down):
            x = stage(x)
            scales.append(down(x))
        scales = [_resize(x, scales[0].shape[2:]) for x in scales]
        return scales, self.fuse(torch.cat(scales, 1))

    def _attend(self, scales: list[Tensor], fused: Tensor) -> tuple[list[Tensor], Tensor]:
        """The refined features of each scale, and the guiding losses, summed over scales."""
        refined, penalty = [], 0.0
        for n, x in enumerate(scales):
            both = torch.cat([x, fused], 1)
            attention, deep, rebuilt = self.steps[0](both, n)
            weighed = torch.cat([x, attention * fused], 1)
            again, deeper, rebuilt_again = self.steps[1](weighed, n)
            refined.append(again)
            wrong = F.mse_loss(rebuilt, both) + F.mse_loss(rebuilt_again, weighed)
            penalty = penalty + _GUIDANCE * F.mse_loss(deep, deeper) + _RECONSTRUCTION * wrong
        return refined, penalty

    def _predict(self, heads: nn.ModuleList, features: list[Tensor], image: Tensor) -> Tensor:
        """(4, B, out_channels, *spatial)."""
        drop = self.drop if heads is self.second else nn.Identity()
        return torch.stack([_resize(head(drop(x)), image.shape[2:]) for head, x in zip(heads, features)])


class _GuidedAttention(nn.Module):
    """One step of attention: x (B, 2 * width, *grid), number of its scale -> attention (B, width, *grid); deepest
    features and answer (B, 2 * width, *grid) of the encoder-decoder that guides it."""

    def __init__(self, dims: int, width: int, scales: int = 4):
        super().__init__()

        def attend(attention: nn.Module) -> nn.Sequential:
            return nn.Sequential(
                Convolution(dims, 2 * width, width, **_PRELU), attention, Convolution(dims, width, width, **_PRELU)
            )

        self.guide = _EncoderDecoder(dims, 2 * width)
        self.position = nn.ModuleList(attend(PositionAttention(dims, width)) for _ in range(scales))
        self.channel = nn.ModuleList(attend(ChannelAttention()) for _ in range(scales))
        self.weigh = nn.ModuleList(Convolution(dims, 2 * width, width, conv_only=True) for _ in range(scales))
        self.leave = nn.ModuleList(
            Convolution(dims, width, width, kernel_size=1, conv_only=True) for _ in range(scales)
        )  # fmt: skip

    def forward(self, x: Tensor, scale: int) -> tuple[Tensor, Tensor, Tensor]:
        deep, answer = self.guide(x)
        attended = self.position[scale](x) + self.channel[scale](x)
        return self.leave[scale](attended * self.weigh[scale](answer)), deep, answer


class PositionAttention(nn.Module):
    """Each place's features and, by a learnt share that begins with none, those of the places that are like it (Fu et
    al., "Dual Attention Network for Scene Segmentation", CVPR 2019). x: (B, width, *grid)."""

    def __init__(self, dims: int, width: int):
        super().__init__()
        conv = Conv[Conv.CONV, dims]
        self.query, self.key, self.value = conv(width, width // 8, 1), conv(width, width // 8, 1), conv(width, width, 1)
        self.share = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (f(x).flatten(2).mT for f in (self.query, self.key, self.value))
        told = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return x + self.share * told.mT.reshape(x.shape)


class ChannelAttention(nn.Module):
    """Each channel and, by a learnt share that begins with none, the channels that are least like it (as in the Dual
    Attention Network, whose affinities are subtracted from the largest). x: (B, width, *grid)."""

    def __init__(self):
        super().__init__()
        self.share = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        with torch.autocast(x.device.type, enabled=False):  # sums over all places
            alike = flat.float() @ flat.float().mT
            weights = torch.softmax(alike.amax(-1, keepdim=True) - alike, -1)
        return x + self.share * (weights.to(x.dtype) @ flat).reshape(x.shape)


class _EncoderDecoder(nn.Module):
    """Two halvings and back: x (B, width, *grid) -> deepest features (B, 4 * width, *grid / 4), answer as x."""

    def __init__(self, dims: int, width: int):
        super().__init__()
        pool, up = Pool[Pool.MAX, dims](2), Conv[Conv.CONVTRANS, dims]

        def twice(cin: int, cout: int) -> list[nn.Module]:
            return [Convolution(dims, n, cout, adn_ordering="NA", norm="batch", act="relu") for n in (cin, cout)]

        self.encode = nn.Sequential(*twice(width, 2 * width), pool, *twice(2 * width, 4 * width), pool)
        self.up2 = nn.Sequential(*twice(4 * width, 2 * width), up(2 * width, 2 * width, 2, 2))
        self.up1 = nn.Sequential(*twice(2 * width, width), up(width, width, 2, 2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        deep = self.encode(x)
        half = tuple(n // 2 for n in x.shape[2:])
        return deep, _resize(self.up1(_resize(self.up2(deep), half)), x.shape[2:])


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode=LINEAR[x.ndim - 2], align_corners=False)
