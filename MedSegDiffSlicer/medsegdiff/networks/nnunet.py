"""nnU-Net's networks, from nnU-Net's own package: so that its trained models come in with their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

PACKAGE = "dynamic_network_architectures"
ARCHITECTURES = ("PlainConvUNet", "ResidualEncoderUNet", "ResidualUNet")
# What an architecture's arguments may name; nothing else is looked up.
_LAYERS = (
    nn.Conv2d, nn.Conv3d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.BatchNorm2d, nn.BatchNorm3d, nn.Dropout2d,
    nn.Dropout3d,
    nn.LeakyReLU, nn.ReLU, nn.GELU, nn.SiLU, nn.PReLU, nn.ELU,
)  # fmt: skip
LAYERS = {layer.__name__: layer for layer in _LAYERS}
NAMED = ("conv_op", "norm_op", "dropout_op", "nonlin")


class NnUNet(nn.Module):
    """A network of nnU-Net v2 (Isensee et al., nnU-Net: a self-configuring method for deep learning-based biomedical
    image segmentation, 2021; nnU-Net revisited, 2024, arXiv:2404.09556), without deep supervision.

    architecture: PlainConvUNet, ResidualEncoderUNet or ResidualUNet of dynamic_network_architectures.
    options: its arguments as nnU-Net's plans give them, with classes by their name ("Conv3d").
    mirror: axes of the image, from 0; what is said of it and of its copies mirrored along any of these is averaged
      (the logits), as nnU-Net's predictor does. Not in training.
    image: (B, in_channels, *spatial), spatial divisible by the product of the strides -> logits (B, out_channels,
    *spatial). Weights that the package's modules share stand once in the state, under the first of their names.
    Raises ValueError for other architectures or classes; where the package is missing, too.
    """

    diffusion = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        options: Mapping[str, Any],
        architecture: str = "PlainConvUNet",
        mirror: Sequence[int] = (),
    ):
        super().__init__()
        try:
            from dynamic_network_architectures.architectures import unet
        except ImportError as error:
            raise ValueError(
                f"nnU-Net's package of networks, {PACKAGE}, is missing ({error}); install it with 'pip install "
                f"{PACKAGE}'"
            ) from None
        if architecture not in ARCHITECTURES:
            raise ValueError(f"architecture '{architecture}' is unknown; known: {', '.join(ARCHITECTURES)}")
        options = {key: _layer(value) if key in NAMED else value for key, value in options.items()}
        self.spatial_dims = 2 if options.get("conv_op") is nn.Conv2d else 3
        if not all(type(axis) is int and 0 <= axis < self.spatial_dims for axis in mirror):
            raise ValueError(f"mirror {list(mirror)} must name axes from 0 to {self.spatial_dims - 1}")
        self.mirror = tuple(2 + axis for axis in sorted(set(mirror)))
        self.net = getattr(unet, architecture)(
            in_channels, num_classes=out_channels, deep_supervision=False, **options
        )  # fmt: skip

    def forward(self, image: Tensor) -> Tensor:
        logits = self.net(image)
        if self.training or not self.mirror:
            return logits
        ways = [axes for count in range(1, len(self.mirror) + 1) for axes in combinations(self.mirror, count)]
        for axes in ways:
            logits += self.net(image.flip(axes)).flip(axes)
        return logits / (len(ways) + 1)

    def state_dict(self, *args, **kwargs) -> dict[str, Tensor]:
        """Each weight once."""
        first = set(self._first_names().values())
        return {name: value for name, value in super().state_dict(*args, **kwargs).items() if name in first}

    def load_state_dict(self, state: Mapping[str, Tensor], strict: bool = True, assign: bool = False):
        """Takes what state_dict gives."""
        first = self._first_names()
        shared = {name: state[own] for name, own in first.items() if name != own and own in state}
        return super().load_state_dict({**state, **shared}, strict, assign)

    def _first_names(self) -> dict[str, str]:
        """Name of a weight -> the first name of that weight."""
        weights = [*self.named_parameters(remove_duplicate=False), *self.named_buffers(remove_duplicate=False)]
        firsts: dict[int, str] = {}
        return {name: firsts.setdefault(id(value), name) for name, value in weights}


def _layer(name: str | None) -> type[nn.Module] | None:
    if name is None or name in LAYERS:
        return LAYERS.get(name)
    raise ValueError(f"layer {name!r} is unknown; known: {', '.join(LAYERS)}")
