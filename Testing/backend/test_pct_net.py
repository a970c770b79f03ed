"""PCT-Net: names and shapes of the published weights, thick slices, pictures, supervision."""

import pytest
import torch
from medsegdiff.errors import RequestError
from medsegdiff.networks.pct_net import PCTNet
from medsegdiff.networks.registry import build_network

TINY = {"channels": [4, 4, 8, 8, 16], "heads": [2, 2, 4], "window": 2, "depths": [2, 1, 1]}


def tiny(**arguments) -> PCTNet:
    torch.manual_seed(0)
    return build_network("pct_net", {"in_channels": 1, "out_channels": 3, **TINY, **arguments}).eval()


def test_names_and_shapes_are_those_of_the_published_weights():
    with torch.device("meta"):
        networks = [PCTNet(1, 5, thick=thick) for thick in (0, 1, 2)]
    parts = [{name: tuple(value.shape) for name, value in network.state_dict().items()} for network in networks]
    every = {name: shape for part in parts for name, shape in part.items()}
    assert every["embeddings.1.proj.weight"] == (24, 1, 3, 3, 1)
    assert every["embeddings.1.down1.conv.2.weight"] == (48, 24, 3, 3, 3)
    assert every["embeddings.2.conv1.conv_conv.6.weight"] == (48, 48, 3, 3, 1)
    assert every["pyramid_ct.down4.conv.2.weight"] == (512, 256, 3, 3, 3)
    assert every["pyramid_ct.up3.up.2.weight"] == (256, 128, 2, 2, 2)
    assert every["pyramid_ct.convtrans_e4.trans.blocks.1.attn.relative_position_bias_table"] == (11**3, 16)
    assert every["pyramid_ct.convtrans_d2.trans.blocks.0.attn.qkv.weight"] == (384, 128)
    assert every["pred_heads.2.up2.up.2.weight"] == (128, 48, 2, 2, 1)
    assert every["pred_heads.0.out_conv0.conv.2.weight"] == (5, 24, 1, 1, 1)
    learnt = (shape for name, shape in every.items() if "running" not in name and "tracked" not in name)
    numbers = sum(torch.Size(shape).numel() for shape in learnt)
    unused = 2 * (128 + 128 + 256 + 256 + 512)  # norms that the authors' code has and never runs
    assert numbers + unused == 45_289_554  # of the authors' network (resolution_mode 1)


@pytest.mark.parametrize("thick, size", [(0, (16, 32, 16)), (1, (16, 16, 8)), (2, (16, 16, 4))])
def test_thick_slices_are_halved_less_often(thick, size):
    network, image = tiny(thick=thick), torch.randn(1, 1, *size)
    with torch.no_grad():
        said = network.supervised(image)
        assert torch.equal(said.logits[0], network(image))
    depths = [max(1, size[2] >> max(0, level - thick)) for level in range(4)]
    assert [tuple(x.shape) for x in said.logits] == [
        (1, 3, size[0] >> level, size[1] >> level, depth) for level, depth in enumerate(depths)
    ]


def test_pictures():
    assert tiny(spatial_dims=2)(torch.randn(2, 1, 32, 48)).shape == (2, 3, 32, 48)


def test_every_parameter_learns():
    network = tiny(depths=[2, 2, 2], drop_path=0.0).train()
    sum(x.square().sum() for x in network.supervised(torch.randn(2, 1, 32, 32, 32)).logits).backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert [name for name in silent if not name.endswith(".bias")] == []  # which the norms after them take away


@pytest.mark.parametrize(
    "wrong",
    [{"thick": 3}, {"spatial_dims": 2, "thick": 1}, {"heads": [3, 2, 4]}, {"channels": [8]}, {"dropout": 1}],
)
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(RequestError, match="cannot be built"):
        tiny(**wrong)
