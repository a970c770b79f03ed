"""ParaTransCNN, MPU-Net, Barlow-Swin, Window Attention Upsample, TransDAE: numbers, sizes, what sees what."""

import pytest
import torch
from medsegdiff.errors import RequestError
from medsegdiff.networks.registry import build_network
from medsegdiff.networks.transdae import _EfficientAttention
from medsegdiff.networks.wau_unet import WindowAttentionUpsample
from small_networks import SMALL

SIZES = {2: (32, 48), 3: (16, 32, 16)}
BOTH = [(name, dims) for name in ("barlow_swin", "mpu_net", "paratranscnn", "transdae", "wau_unet") for dims in (2, 3)]


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("name", "spatial_dims"), BOTH)
def test_every_parameter_learns_in_2d_and_3d(name, spatial_dims):
    network = build_network(name, SMALL[name] | {"spatial_dims": spatial_dims})
    assert not network.diffusion and network.spatial_dims == spatial_dims
    out = network(torch.randn(2, 1, *SIZES[spatial_dims]))
    assert out.shape == (2, 3, *SIZES[spatial_dims])
    out.square().sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("name", "arguments", "count"),
    [
        # counted in the authors' code: 245,468,937, and 3,332 offsets of MONAI's channel attention
        ("paratranscnn", {"in_channels": 3, "out_channels": 9}, 245_468_937 + 3_332),
        # counted in the authors' code without the modules that it never uses
        ("mpu_net", {"in_channels": 1, "out_channels": 2}, 21_507_255),
        # the authors' notebook; its output has 2 more for a normalisation
        ("barlow_swin", {"in_channels": 3, "out_channels": 1}, 7_001_681),
    ],
)
def test_parameters_are_those_of_the_authors(name, arguments, count):
    with torch.device("meta"):
        assert parameters(build_network(name, arguments)) == count


def test_paratranscnn_has_both_branches_at_each_scale():
    network = build_network("paratranscnn", SMALL["paratranscnn"] | {"channels": [8, 8, 12, 16], "width": 8}).eval()
    with torch.no_grad():
        levels = network.features(torch.randn(1, 1, 64, 32))
    assert [tuple(x.shape[1:]) for x in levels] == [(8 + 8, 16, 8), (16 + 12, 8, 4), (32 + 16, 4, 2)]


def test_mpu_net_says_the_mean_of_its_scales():
    network = build_network("mpu_net", SMALL["mpu_net"]).eval()
    for convolution in network.map:  # each scale the same at every place
        torch.nn.init.zeros_(convolution.weight)
        torch.nn.init.normal_(convolution.bias, std=3)
    wanted = torch.stack([c.bias.softmax(0) for c in network.map]).mean(0)
    with torch.no_grad():
        said = network(torch.randn(1, 1, 16, 16, 16)).softmax(1)
    torch.testing.assert_close(said, wanted.reshape(1, 3, 1, 1, 1).expand_as(said))
    taught = network.supervised(torch.randn(1, 1, 16, 16, 16))
    torch.testing.assert_close(taught.logits[0].softmax(1), said)
    assert [tuple(x.shape) for x in taught.logits] == [(1, 3, 16, 16, 16)] * 4
    assert taught.weights == pytest.approx([1 / 2.2, *[0.4 / 2.2] * 3])


def test_mpu_net_attends_to_all_places():
    attention = build_network("mpu_net", SMALL["mpu_net"]).positions[1]
    x = torch.randn(1, 8, 2, 2, 2, requires_grad=True)
    attention(x)[..., 0, 0, 0].sum().backward()
    assert not x.grad[..., 1, 1, 1].any()
    torch.nn.init.ones_(attention.gamma)
    attention(x)[..., 0, 0, 0].sum().backward()
    assert x.grad[..., 1, 1, 1].any()


def test_barlow_swin_halves_its_features_and_takes_other_sizes_than_the_learnt_one():
    network = build_network("barlow_swin", SMALL["barlow_swin"]).eval()
    with torch.no_grad():
        levels = network.encoder(torch.randn(1, 1, 96, 32))
    assert [tuple(x.shape[1:]) for x in levels] == [(8, 24, 8), (16, 12, 4), (32, 6, 2)]


def test_barlow_swin_sees_over_the_border_of_a_window():
    stage = build_network("barlow_swin", SMALL["barlow_swin"]).eval().stages[0]
    x = torch.randn(1, 8, 8, 8, requires_grad=True)
    stage.blocks[0](x, None)[0, 3, 3].sum().backward()
    assert x.grad[0, 0, 0].any() and not x.grad[0, 4, 4].any()
    stage(x)[0, 3, 3].sum().backward()
    assert x.grad[0, 4, 4].any()


@pytest.mark.parametrize(
    ("name", "size"), [("wau_unet", (37, 21)), ("wau_unet", (9, 18, 13)), ("transdae", (33, 18, 5))]
)
def test_any_size(name, size):
    network = build_network(name, SMALL[name] | {"spatial_dims": len(size)}).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 1, *size)).shape == (1, 3, *size)


def test_window_attention_upsample_keeps_to_its_windows_and_leaves_padding_out():
    up = WindowAttentionUpsample(2, 8, 4, window=2, heads=2, dropout=0.0).eval()
    torch.nn.init.normal_(up.offset)
    x, skip = torch.randn(1, 8, 3, 4), torch.randn(1, 4, 6, 8)
    with torch.no_grad():
        whole = up(x, skip)
        other = skip.clone()
        other[..., 4:] = torch.randn(1, 4, 6, 4)
        torch.testing.assert_close(up(x, other)[..., :4], whole[..., :4])
        assert not torch.allclose(up(x, other)[..., 4:], whole[..., 4:])
        # the third row is alone in its window: its two places give all that is attended to there
        given = up.norm_low(up.enter(x).movedim(1, -1))[0, 2, :2]
        query = up.attention.query(up.norm_skip(skip.movedim(1, -1))[0, 4, 0]).unflatten(0, (2, -1))
        key, value = (part(given).unflatten(1, (2, -1)) for part in (up.attention.key, up.attention.value))
        weights = (torch.einsum("hd,khd->hk", query, key) / 2**0.5 + up.offset[:, 0, :2]).softmax(-1)
        told = up.attention.out(torch.einsum("hk,khd->hd", weights, value).flatten())
        upsampled = torch.nn.functional.interpolate(up.enter(x), size=(6, 8), mode="bilinear")[..., 4, 0]
        told = told + upsampled[0]
        torch.testing.assert_close(whole[0, :, 4, 0], told + up.mlp(up.norm_told(told)))


def test_transdae_attends_over_channels_by_the_formula_of_efficient_attention():
    attention, x = _EfficientAttention(8), torch.randn(2, 20, 8)
    query, key = attention.query(x).softmax(-1), attention.key(x).softmax(1)
    torch.testing.assert_close(attention(x), attention.out((query @ key.mT) @ attention.value(x)))


def test_transdae_levels_have_a_quarter_to_a_sixteenth_of_the_size():
    network, seen = build_network("transdae", SMALL["transdae"]).eval(), []
    for norm in network.norm:
        norm.register_forward_hook(lambda _, __, out: seen.append(tuple(out.shape[1:])))
    with torch.no_grad():
        network(torch.randn(1, 1, 64, 32, 16))
    assert seen == [(16 * 8 * 4, 8), (8 * 4 * 2, 8), (4 * 2 * 1, 16)]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("barlow_swin", {"image_size": 30}), ("barlow_swin", {"heads": 3}), ("barlow_swin", {"decoder": [8]}),
        ("barlow_swin", {"window": 1}), ("mpu_net", {"channels": [4, 8]}), ("mpu_net", {"channels": [3, 8, 8, 8]}),
        ("paratranscnn", {"heads": 7}), ("paratranscnn", {"depth": [1]}), ("paratranscnn", {"spatial_dims": 1}),
        ("transdae", {"depth": [1]}), ("transdae", {"heads": 3}), ("transdae", {"reductions": [0, 1, 1]}),
        ("wau_unet", {"channels": [8]}), ("wau_unet", {"window": 0}), ("wau_unet", {"heads": 5}),
    ],
)  # fmt: skip
def test_impossible_arguments_are_refused(name, wrong):
    with pytest.raises(RequestError, match="cannot be built"):
        build_network(name, SMALL[name] | wrong)
