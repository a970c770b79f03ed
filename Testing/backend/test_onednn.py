"""Convolutions by oneDNN give what PyTorch's own give."""

import pytest
import torch
from medsegdiff.inference.onednn import OneDnnConv3d, use_onednn
from torch import nn


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN")
@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"groups": 2, "bias": False}, {"dilation": 2, "padding": 2},
                                     {"padding": "same"}, {"padding_mode": "replicate"}])  # fmt: skip
def test_same_numbers(options):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(4, 6, 3, **{"padding": 1, **options}), nn.Conv3d(6, 2, 1))
    image = torch.randn(1, 4, 12, 13, 14)
    with torch.inference_mode():
        wanted = network(image)
        use_onednn(network)
        assert all(type(module) is OneDnnConv3d for module in network)
        torch.testing.assert_close(network(image), wanted, atol=1e-5, rtol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            assert network(image).dtype == torch.bfloat16
