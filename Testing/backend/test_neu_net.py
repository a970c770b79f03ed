"""neU-Net: sub-pixel convolution, wavelets, shapes, supervision."""

import pytest
import torch
from medsegdiff.errors import RequestError
from medsegdiff.networks.neu_net import NeUNet, SubPixelConvolution, haar
from medsegdiff.networks.registry import build_network


def tiny(**arguments) -> NeUNet:
    torch.manual_seed(0)
    small = {"in_channels": 1, "out_channels": 3, "channels": [4, 8, 8], "strides": [2, 2]}
    return build_network("neu_net", small | arguments)


def test_haar_halves_and_keeps_the_energy():
    x = torch.arange(4.0).reshape(1, 1, 4)
    root = 2**0.5
    torch.testing.assert_close(haar(x, [2]), torch.tensor([[[1 / root, 5 / root], [-1 / root, -1 / root]]]))
    x = torch.randn(2, 3, 4, 6, 8)
    bands = haar(x, [2, 3, 4])
    assert bands.shape == (2, 24, 2, 3, 4)
    torch.testing.assert_close(bands.square().sum(), x.square().sum())
    means = torch.nn.functional.avg_pool3d(x, 2)
    torch.testing.assert_close(bands[:, :3], means * 2**1.5)


def test_subpixels_are_dealt_out_as_torch_does():
    up = SubPixelConvolution(2, 4, 3, (2, 2))
    x = torch.randn(2, 4, 5, 6)
    torch.testing.assert_close(up(x), torch.nn.functional.pixel_shuffle(up.convs(x), 2))
    assert SubPixelConvolution(3, 4, 3, (2, 2, 1))(torch.randn(1, 4, 5, 6, 7)).shape == (1, 3, 10, 12, 7)


def test_sizes_are_those_of_the_code():
    with torch.device("meta"):  # as planned for Synapse
        network = NeUNet(1, 9, strides=[[2, 2, 1], 2, 2, 2, [2, 2, 1]], kernels=[[3, 3, 1], 3, 3, 3, 3, 3])
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert [shapes[f"shown.{n}.conv.weight"][:2] for n in range(4)] == [(32, 1), (64, 4), (128, 8), (256, 8)]
    assert "shown.4.conv.weight" not in shapes
    assert shapes["encoder.0.0.conv.weight"] == (32, 1, 3, 3, 1)
    assert [shapes[f"encoder.{n}.0.conv.weight"][:2] for n in range(1, 6)] == [
        (64, 64), (128, 128), (256, 256), (320, 512), (320, 320)
    ]  # fmt: skip
    assert shapes["up.0.convs.0.conv.weight"] == (640, 320, 5, 5, 5)
    assert shapes["up.0.convs.2.conv.weight"] == (320 * 4, 640, 3, 3, 3)
    assert shapes["decoder.0.0.conv.weight"][:2] == (320, 640)


@pytest.mark.parametrize("size", [(16, 24), (8, 16, 12)])
def test_every_level_is_supervised(size):
    network = tiny(spatial_dims=len(size), channels=[4, 4, 8, 8], strides=[2, 2, 1], in_channels=2)
    image = torch.randn(2, 2, *size)
    said = network.supervised(image)
    assert torch.equal(said.logits[0], network(image)) and said.logits[0].shape == (2, 3, *size)
    assert [x.shape[2] for x in said.logits] == [size[0], size[0] // 2, size[0] // 4]
    sum(x.square().sum() for x in said.logits).backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert [name for name in silent if not name.endswith("conv.bias")] == []


@pytest.mark.parametrize("wrong", [{"channels": [4]}, {"strides": [3, 2]}, {"strides": [2]}, {"kernels": [3]}])
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(RequestError, match="cannot be built"):
        tiny(**wrong)
