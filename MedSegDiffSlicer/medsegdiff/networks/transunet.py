"""TransUNet as published: a ResNet, a vision transformer on its features, and a cascade of upsampling blocks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, cat, nn
from torch.nn import functional as F

from .transunet_encoder import HybridTransformer

_LEAST = 32  # pixels; less would leave a single place to normalise


class TransUNet(nn.Module):
    """2D segmentation by a convolutional network whose deepest features attend to each other.

    image: (B, in_channels, I, J), any size -> logits (B, out_channels, I, J).
    in_channels: 1 is repeated to the 3 of the published weights.
    image_size: the side for which positions are learnt, a multiple of 16; those of other sizes are interpolated.
    width, units: channels of the ResNet's root, a multiple of 32, and the bottleneck blocks of its three stages, whose
      features have 1/4, 1/8 and 1/16 of the image's side and 4, 8 and 16 times the channels.
    hidden, mlp, layers, heads: of the transformer.  decoder: channels of the convolution after the transformer and of
      the four blocks of the decoder.  dropout: of embeddings and multilayer perceptrons.
    Raises ValueError for other arguments.

    TransUNet (Chen et al., 2021, arXiv:2102.04306); the defaults are R50-ViT-B/16, 105 million parameters. Names of
    modules and all numbers are those of the authors' code (Beckschen/TransUNet), so that its checkpoints load as they
    are: with image_size 224, out_channels as trained, in_channels 1 or 3.
    What differs: any image size and any ratio of its sides (the code wants squares of the trained size), less than 32
    pixels are padded; skips are met at their own size. The code's variant without ResNet (ViT-B/16 alone) is not here.
    The 3D form is TransUNet3D.
    """

    diffusion = False
    spatial_dims = 2

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        image_size: int = 224,
        width: int = 64,
        units: Sequence[int] = (3, 4, 9),
        hidden: int = 768,
        mlp: int = 3072,
        layers: int = 12,
        heads: int = 12,
        decoder: Sequence[int] = (512, 256, 128, 64, 16),
        dropout: float = 0.1,
    ):
        super().__init__()
        if min(in_channels, out_channels, hidden, mlp, layers, *units, *decoder) < 1:
            raise ValueError("channels, units, hidden, mlp and layers must be at least 1")
        if image_size < 16 or image_size % 16 or width < 32 or width % 32:
            raise ValueError(f"image_size {image_size} must be a multiple of 16, width {width} one of 32")
        if len(units) != 3 or len(decoder) != 5:
            raise ValueError(f"three units and five decoder channels are needed, not {len(units)} and {len(decoder)}")
        self.repeats = 3 if in_channels == 1 else 1
        grid = (image_size // 16,) * 2
        self.transformer = HybridTransformer(
            in_channels * self.repeats, width, units, grid, hidden, mlp, layers, heads, dropout
        )
        self.decoder = _Decoder(hidden, decoder, (8 * width, 4 * width, width, 0))
        self.segmentation_head = nn.Sequential(nn.Conv2d(decoder[-1], out_channels, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        size = image.shape[2:]
        lacking = [max(0, _LEAST - n) for n in size]
        image = F.pad(image.repeat(1, self.repeats, 1, 1), (0, lacking[1], 0, lacking[0]))
        x, skips = self.transformer(image)
        return self.segmentation_head(self.decoder(x, skips, image.shape[2:]))[..., : size[0], : size[1]]


class _Decoder(nn.Module):
    """(B, hidden, *grid) and the skips, coarse to fine -> (B, channels[-1], I, J)."""

    def __init__(self, hidden: int, channels: Sequence[int], skips: Sequence[int]):
        super().__init__()
        self.conv_more = _convolution(hidden, channels[0])
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"conv1": _convolution(cin + skip, cout), "conv2": _convolution(cout, cout)})
            for cin, cout, skip in zip(channels, channels[1:], skips)
        )

    def forward(self, x: Tensor, skips: list[Tensor], size: Sequence[int]) -> Tensor:
        x = self.conv_more(x)
        for n, block in enumerate(self.blocks):
            here = skips[n].shape[2:] if n < len(skips) else size
            x = F.interpolate(x, size=here, mode="bilinear", align_corners=True)
            x = cat([x, skips[n]], 1) if n < len(skips) else x
            x = block["conv2"](block["conv1"](x))
        return x


def _convolution(cin: int, cout: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(cin, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(inplace=True))
