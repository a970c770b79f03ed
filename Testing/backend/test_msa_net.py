"""MSA-Net: the backbone's size, attention, guidance, shapes."""

import pytest
import torch
from medsegdiff.errors import RequestError
from medsegdiff.networks.msa_net import ChannelAttention, MSANet, PositionAttention
from medsegdiff.networks.registry import build_network


def tiny(**arguments) -> MSANet:
    torch.manual_seed(0)
    small = {"in_channels": 1, "out_channels": 3, "layers": [1, 1, 1, 1], "channels": [4, 4, 4, 4], "width": 8}
    return build_network("msa_net", small | arguments)


def test_backbone_is_resnet_101():
    with torch.device("meta"):
        backbone = MSANet(3, 5).backbone
    assert sum(p.numel() for p in backbone.parameters()) == 44_549_160 - 2_049_000  # less its classifier


@pytest.mark.parametrize("size", [(64, 48), (45, 70), (32, 32, 40)])
def test_the_answer_is_the_mean_of_the_second_predictions(size):
    network, image = tiny(spatial_dims=len(size)).eval(), torch.randn(1, 1, *size)
    with torch.no_grad():
        said = network.supervised(image)
        assert len(said.logits) == 8 and sum(said.weights) == 1 and said.penalty > 0
        torch.testing.assert_close(torch.stack(said.logits[4:]).mean(0), network(image))
    assert network(image).shape == (1, 3, *size)


def test_attention_begins_with_none_and_mixes_places_or_channels():
    x = torch.randn(1, 8, 4, 4)
    for attention in (PositionAttention(2, 8), ChannelAttention()):
        torch.testing.assert_close(attention(x), x)
        torch.nn.init.ones_(attention.share)
        changed = x.clone()
        changed[0, 3, 0, 0] += 5
        moved = (attention(changed) - changed - attention(x) + x).abs().amax(1)
        assert (moved > 1e-4).sum() > 1


def test_every_parameter_learns():
    network = tiny()
    for name, parameter in network.named_parameters():
        if name.endswith("share"):
            torch.nn.init.ones_(parameter)
    said = network.supervised(torch.randn(2, 1, 64, 64))
    (said.penalty + sum(x.square().sum() for x in said.logits)).backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert [name for name in silent if not name.endswith(".bias")] == []  # which the norms after them take away


@pytest.mark.parametrize("wrong", [{"width": 12}, {"layers": [1, 1]}, {"spatial_dims": 1}, {"dropout": -1}])
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(RequestError, match="cannot be built"):
        tiny(**wrong)
