"""The highway network of MedSegDiff's released code: a U-Net that looks at the image beside the diffusion trunk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from monai.networks.blocks import Convolution
from torch import Tensor, cat, nn
from torch.nn import functional as F

from .ff_parser import FFParser

MOST_CHANNELS = 480
_SLOPE = 0.01


class Seen(NamedTuple):
    """What the highway network says of an image.

    bottom: (B, C, I / 2**depth, J / 2**depth).  decoded: features of each decoder stage, coarse to fine; the last one
    has the image's size.  mask: (B, M, I, J) in [0, 1].
    """

    bottom: Tensor
    decoded: list[Tensor]
    mask: Tensor


class Highway(nn.Module):
    """nnU-Net's 2D U-Net (Isensee et al., 2021) of convolution, batch norm and leaky ReLU, as the released code has it.

    in_channels: of the image.  masks: M.  width: channels of the first stage, doubled by each pooling up to
    MOST_CHANNELS.  depth: poolings; I and J are divisible by 2 ** depth.
    meeting: channels of the trunk's features that are met after the first poolings (V1), none for the "new" version.
    image_size: I = J, needed by the FF-Parser of these meetings.
    """

    def __init__(
        self, in_channels: int, masks: int, width: int, depth: int, meeting: Sequence[int] = (), image_size: int = 0
    ):
        super().__init__()
        widths = [min(width * 2**n, MOST_CHANNELS) for n in range(depth + 1)]
        narrow = [*widths[:depth], widths[depth - 1]]  # upsampling cannot change channels: the stage before does
        self.context = nn.ModuleList(
            nn.Sequential(_conv(cin, mid, 0.5), _conv(mid, cout, 0.5))
            for cin, mid, cout in zip([in_channels, *widths], widths, narrow)
        )
        self.decoder = nn.ModuleList(
            nn.Sequential(_conv(2 * widths[n], widths[n]), _conv(widths[n], widths[max(n - 1, 0)]))
            for n in reversed(range(depth))
        )
        self.mask = nn.Conv2d(width, masks, 1, bias=False)
        self.meetings = nn.ModuleList(
            _Meeting(trunk, widths[n], image_size >> (n + 1)) for n, trunk in enumerate(meeting)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=_SLOPE)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def first(self, image: Tensor) -> Tensor:
        """(B, width, I, J), the first stage: it depends on the image alone."""
        return self.context[0](image)

    def forward(self, first: Tensor, features: Sequence[Tensor] = ()) -> Seen:
        """first: see there.  features: those of the trunk that are met, n-th at (I, J) / 2 ** (n + 1)."""
        x, skips = first, []
        for n, stage in enumerate(self.context[:-1]):
            x = stage(x) if n else first
            skips.append(x)
            x = F.max_pool2d(x, 2)
            if n < len(features):
                x = self.meetings[n](x, features[n])
        bottom = x = self.context[-1](x)
        decoded = []
        for stage in self.decoder:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = stage(cat([x, skips.pop()], 1))
            decoded.append(x)
        return Seen(bottom, decoded, self.mask(x).sigmoid())


class _Meeting(nn.Module):
    """Features of the noisy mask, parsed in Fourier space, gate the image's: once by place, once by channel."""

    def __init__(self, trunk: int, width: int, size: int):
        super().__init__()
        self.enter = nn.Conv2d(trunk, width, 1)
        self.parser = FFParser(width, size)
        self.gate = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        parsed = self.parser(self.enter(features))
        return x * self.gate(parsed) * parsed.mean((2, 3), keepdim=True)


def _conv(cin: int, cout: int, dropout: float = 0.0) -> Convolution:
    act = ("leakyrelu", {"negative_slope": _SLOPE, "inplace": True})
    return Convolution(2, cin, cout, norm="batch", act=act, dropout=dropout, dropout_dim=2, adn_ordering="DNA")
