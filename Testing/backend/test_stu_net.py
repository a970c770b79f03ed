"""STU-Net: the paper's sizes, the names of the published weights, odd sizes, supervision of all levels."""

import pytest
import torch
from medsegdiff.errors import RequestError
from medsegdiff.networks.registry import build_network
from medsegdiff.networks.stu_net import SIZES, STUNet
from torch.utils.flop_counter import FlopCounterMode

# Of the paper, for 104 structures and the background: millions of parameters, and 1e12 multiply-adds on 128^3 voxels.
MILLIONS = {"S": 14.60, "B": 58.26, "L": 440.30, "H": 1457.33}
WORK = {"S": 0.13, "B": 0.51, "L": 3.81, "H": 12.60}


def tiny(**arguments) -> STUNet:
    torch.manual_seed(0)
    return build_network("stu_net", {"in_channels": 1, "out_channels": 3, "width": 4, "strides": [2, 2]} | arguments)


@pytest.mark.parametrize("size", sorted(SIZES))
def test_parameters_are_the_papers(size):
    with torch.device("meta"):
        network = STUNet(1, 105, **SIZES[size])
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == MILLIONS[size]


@pytest.mark.parametrize("size", sorted(SIZES))
def test_work_is_the_papers(size):
    """A little less: the 1x1 convolutions come before the enlargement."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        STUNet(1, 105, **SIZES[size]).supervised(torch.empty(1, 1, 128, 128, 128))
    assert 0.97 * WORK[size] < counter.get_total_flops() / 2e12 < WORK[size]


def test_names_are_those_of_the_published_weights():
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in STUNet(1, 105, **SIZES["L"]).state_dict().items()}
    assert shapes["conv_blocks_context.0.0.conv1.weight"] == (64, 1, 3, 3, 3)
    assert shapes["conv_blocks_context.0.0.conv3.weight"] == (64, 1, 1, 1, 1)
    assert shapes["conv_blocks_context.5.1.norm2.bias"] == (1024,)
    assert shapes["upsample_layers.0.conv.weight"] == (1024, 1024, 1, 1, 1)
    assert shapes["conv_blocks_localization.4.0.conv1.weight"] == (64, 128, 3, 3, 3)
    assert shapes["seg_outputs.4.weight"] == (105, 64, 1, 1, 1)
    assert "conv_blocks_context.5.1.conv3.weight" not in shapes
    assert len(shapes) == (6 + 5) * (10 + 8) + 5 * 2 + 5 * 2


@pytest.mark.parametrize("size", [(24, 40), (13, 22, 9)])
def test_any_size(size):
    network = tiny(spatial_dims=len(size), strides=[2, [2, 1, 1][: len(size)]])
    logits = network(torch.randn(2, 1, *size))
    assert logits.shape == (2, 3, *size)


def test_all_levels_are_supervised():
    network, image = tiny(depth=2), torch.randn(1, 1, 16, 16, 16)
    said = network.supervised(image)
    assert torch.equal(said.logits[0], network(image))
    assert [x.shape[2] for x in said.logits] == [16, 8] and said.weights == (2 / 3, 1 / 3)
    sum(x.square().sum() for x in said.logits).backward()
    norms = ("conv1.bias", "conv2.bias")  # which the norms after them take away
    assert all(p.grad.any() for name, p in network.named_parameters() if not name.endswith(norms))


@pytest.mark.parametrize("wrong", [{"width": 0}, {"strides": []}, {"strides": [[2, 2]]}, {"spatial_dims": 4}])
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(RequestError, match="cannot be built"):
        tiny(**wrong)
