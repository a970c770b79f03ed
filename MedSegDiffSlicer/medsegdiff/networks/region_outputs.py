"""Networks whose outputs are regions that may overlap (a sigmoid each, as of BraTS)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import JobError


class RegionOutputs(nn.Module):
    """A network with its outputs in the order of the labels.

    network: image (B, C, *spatial) -> (B, R, *spatial) logits of R regions.
    painted: (R, 2) which output of it becomes which label, 1 - R, in the order of painting: the innermost last.
    image: (B, C, *spatial) -> (B, R + 1, *spatial): 0 for the background, then the regions; see uncertainty.painting.
    Raises JobError where the network has other outputs.
    """

    diffusion = False

    def __init__(self, network: nn.Module, painted: Sequence[Sequence[int]]):
        super().__init__()
        self.network, self.spatial_dims = network, network.spatial_dims
        self._outputs = [output for output, _ in sorted(painted, key=lambda pair: pair[1])]

    def forward(self, image: Tensor) -> Tensor:
        regions = self.network(image)
        if regions.shape[1] != len(self._outputs):
            raise JobError(
                f"the network has {regions.shape[1]} outputs, the model tells {len(self._outputs)} regions; install it "
                "anew"
            )
        regions = regions[:, self._outputs]
        return torch.cat([torch.zeros_like(regions[:, :1]), regions], 1)
