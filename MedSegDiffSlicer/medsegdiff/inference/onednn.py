"""3D convolutions of single images by oneDNN on the CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class OneDnnConv3d(nn.Conv3d):
    """The same convolution. For a batch of one with a small first plane, PyTorch 2.13 chooses a loop of its own that
    takes twice the time (seen for channels x depth x height <= 20480); this asks for oneDNN itself. float32 on CPU
    only; else as ever."""

    def forward(self, x: Tensor) -> Tensor:
        plain = x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        if not plain or self.padding_mode != "zeros" or isinstance(self.padding, str):
            return super().forward(x)
        return torch.mkldnn_convolution(
            x, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups
        )


def use_onednn(network: nn.Module) -> None:
    """Lets all 3D convolutions of a network run so, where this PyTorch has oneDNN."""
    if not torch.backends.mkldnn.is_available():
        return
    for module in network.modules():
        if type(module) is nn.Conv3d:
            module.__class__ = OneDnnConv3d
