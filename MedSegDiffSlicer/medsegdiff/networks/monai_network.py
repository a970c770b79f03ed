"""A network of MONAI by its name, for imported bundles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


# Those that segment and take nothing but numbers, names of layers, and no weights from elsewhere.
ARCHITECTURES = ("AttentionUnet", "BasicUNet", "BasicUNetPlusPlus", "DynUNet", "HighResNet", "MedNeXt", "SegResNet",
                 "SegResNetDS",
                 "SwinUNETR", "UNet", "UNETR", "VNet")  # fmt: skip


class MonaiNetwork(nn.Module):
    """A class of monai.networks.nets with plain arguments.

    architecture: the name of the class, one of ARCHITECTURES.  options: its arguments.
    image: (B, C, *spatial) -> logits (B, L, *spatial). Of a class with one output, the logit of the only structure (for
    a sigmoid), there are two: 0 for the background comes first.
    Raises ValueError for other names.
    """

    diffusion = False

    def __init__(self, architecture: str, options: Mapping[str, Any]):
        super().__init__()
        from monai.networks import nets

        if architecture not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise ValueError(
                f"architecture {architecture!r} is no network of monai.networks.nets that is known here: {known}"
            )
        self.spatial_dims = options.get("spatial_dims", 3)
        if self.spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims {self.spatial_dims!r} must be 2 or 3")
        self._answer = -1 if architecture == "BasicUNetPlusPlus" else 0  # which of several heads sees most
        self.net = getattr(nets, architecture)(**options)

    def forward(self, image: Tensor) -> Tensor:
        logits = self.net(image)
        if isinstance(logits, (list, tuple)):  # others are for training
            logits = logits[self._answer]
        return torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits
