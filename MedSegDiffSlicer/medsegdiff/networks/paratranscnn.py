"""ParaTransCNN: a ResNet and a transformer side by side as one encoder."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.blocks import ChannelSELayer
from monai.networks.layers.factories import Conv
from monai.networks.nets.basic_unet import TwoConv
from monai.networks.nets.resnet import ResNet
from torch import Tensor, cat, nn

from .attention import Block, checked_dims, map_of, tokens_of


class ParaTransCNN(nn.Module):
    """Local features of a ResNet and global ones of a pyramid of transformers, weighed by channel attention.

    image: (B, in_channels, *spatial), sizes divisible by 16 -> logits (B, out_channels, *spatial).
    channels: of the ResNet's four stages, whose features have 1/2, 1/4, 1/8 and 1/16 of the image's size; units: its
      residual units.
    width: channels of the transformer at 1/4 of the size; twice and four times as many at 1/8 and 1/16.
    depth: blocks of the three transformers; heads: of each.  dropout: of attention and multilayer perceptrons.
    spatial_dims: 2 or 3.  Raises ValueError for other arguments.

    ParaTransCNN (Sun et al., 2024, arXiv:2401.15307); the defaults are the authors' (HongkunSun/ParaTransCNN): a
    ResNet-34 without its pooling, embeddings of patches of 4 and of 2, no positions, perceptrons twice as wide as the
    tokens, decoder of transposed convolutions of which the last has a stride of 4.
    What differs: 3D; weights start at random, where the authors start the ResNet from ImageNet's; the two layers of the
    channel attention have offsets (MONAI's block); after attention values are dropped once, in the code twice.
    """

    diffusion = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spatial_dims: int = 2,
        channels: Sequence[int] = (64, 128, 256, 512),
        units: Sequence[int] = (3, 4, 6, 3),
        width: int = 320,
        depth: Sequence[int] = (3, 3, 3),
        heads: int = 8,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.spatial_dims = dims = checked_dims(spatial_dims)
        if min(in_channels, out_channels, width, *channels, *units, *depth) < 1:
            raise ValueError("channels, units, width and depth must be at least 1")
        if len(channels) != 4 or len(units) != 4 or len(depth) != 3:
            raise ValueError("four channels, four units and three depths are needed")
        widths = [width, 2 * width, 4 * width]
        self.resnet = ResNet(
            "basic", list(units), list(channels), dims, in_channels, conv1_t_stride=2, no_max_pool=True,
            feed_forward=False, bias_downsample=False,
        )  # fmt: skip
        self.embed = nn.ModuleList(
            Conv[Conv.CONV, dims](cin, cout, patch, patch)
            for cin, cout, patch in zip([in_channels, *widths], widths, (4, 2, 2))
        )
        self.transformers = nn.ModuleList(
            nn.Sequential(*(Block(w, heads, 2 * w, dropout, dropout, qkv_bias=False) for _ in range(count)))
            for w, count in zip(widths, depth)
        )
        joint = [w + c for w, c in zip(widths, channels[1:])]
        self.weigh = nn.ModuleList(ChannelSELayer(dims, c, r=min(16, c)) for c in joint)
        ins, outs = (joint[2], 2 * joint[1], joint[0] + joint[1]), (joint[1], joint[1], width)
        self.decode = nn.ModuleList(TwoConv(dims, c, c, "relu", "batch", bias=True) for c in ins)
        self.up = nn.ModuleList(
            Conv[Conv.CONVTRANS, dims](cin, cout, stride, stride) for cin, cout, stride in zip(ins, outs, (2, 2, 4))
        )
        self.leave = Conv[Conv.CONV, dims](width, out_channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        levels = self.features(image)
        x = levels.pop()
        for decode, up in zip(self.decode, self.up):
            x = up(decode(x))
            x = cat([levels.pop(), x], 1) if levels else x
        return self.leave(x)

    def features(self, image: Tensor) -> list[Tensor]:
        """What both branches say, weighed; (B, width * 2**n + channels[n + 1], *spatial / 2 ** (n + 2)), n = 0, 1,
        2."""
        net, y, levels = self.resnet, image, []
        x = net.layer1(net.act(net.bn1(net.conv1(image))))
        stages = (net.layer2, net.layer3, net.layer4)
        for stage, embed, transformer, weigh in zip(stages, self.embed, self.transformers, self.weigh):
            x, y = stage(x), embed(y)
            y = map_of(transformer(tokens_of(y)), y.shape[2:])
            levels.append(weigh(cat([y, x], 1)))
        return levels
