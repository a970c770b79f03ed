"""TransUNet: the authors' names and numbers, any size, the 3D form."""

import pytest
import torch
from medsegdiff.errors import RequestError
from medsegdiff.networks.registry import build_network
from small_networks import SMALL

ENCODER = "transformer.embeddings.hybrid_model."
NORM = ("weight", "bias")
BATCH_NORM = (*NORM, "running_mean", "running_var", "num_batches_tracked")


def of_the_authors(layers: int = 12) -> set[str]:
    """Names in a checkpoint of R50-ViT-B/16 of the authors' code."""
    names = {ENCODER + "root.conv.weight", *(f"{ENCODER}root.gn.{n}" for n in NORM)}
    for block, units in enumerate((3, 4, 9), 1):
        for unit in range(1, units + 1):
            at = f"{ENCODER}body.block{block}.unit{unit}."
            names |= {f"{at}conv{k}.weight" for k in (1, 2, 3)} | {f"{at}gn{k}.{n}" for k in (1, 2, 3) for n in NORM}
            if unit == 1:
                names |= {at + "downsample.weight", at + "gn_proj.weight", at + "gn_proj.bias"}
    names |= {f"transformer.embeddings.patch_embeddings.{n}" for n in NORM}
    names.add("transformer.embeddings.position_embeddings")
    parts = ("attention_norm", "ffn_norm", "ffn.fc1", "ffn.fc2", "attn.query", "attn.key", "attn.value", "attn.out")
    names |= {f"transformer.encoder.layer.{k}.{part}.{n}" for k in range(layers) for part in parts for n in NORM}
    names |= {f"transformer.encoder.encoder_norm.{n}" for n in NORM} | {f"segmentation_head.0.{n}" for n in NORM}
    decoder = ["decoder.conv_more", *(f"decoder.blocks.{k}.conv{n}" for k in range(4) for n in (1, 2))]
    return names | {f"{at}.0.weight" for at in decoder} | {f"{at}.1.{n}" for at in decoder for n in BATCH_NORM}


def test_is_the_authors_r50_vit_b_16():
    with torch.device("meta"):
        network = build_network("transunet", {"in_channels": 1, "out_channels": 9})
    state = network.state_dict()
    assert set(state) == of_the_authors() and len(state) == 409
    assert sum(p.numel() for p in network.parameters()) == 105_277_081
    shapes = {
        ENCODER + "root.conv.weight": (64, 3, 7, 7),
        "transformer.embeddings.position_embeddings": (1, 196, 768),
        "decoder.blocks.0.conv1.0.weight": (256, 1024, 3, 3),
        "segmentation_head.0.weight": (9, 16, 3, 3),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes


def test_feature_sizes_are_the_papers():
    network = build_network("transunet", SMALL["transunet"] | {"image_size": 224}).eval()
    with torch.no_grad():
        x, skips = network.transformer(torch.randn(1, 3, 224, 224))
    assert x.shape == (1, 32, 14, 14)
    assert [tuple(s.shape[1:]) for s in skips] == [(8 * 32, 28, 28), (4 * 32, 56, 56), (32, 112, 112)]


@pytest.mark.parametrize("size", [(64, 64), (50, 41), (16, 9)])
def test_any_image_size(size):
    network = build_network("transunet", SMALL["transunet"]).eval()
    torch.nn.init.normal_(network.transformer.embeddings.position_embeddings)
    with torch.no_grad():
        assert network(torch.randn(2, 1, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_the_3d_form(spatial_dims):
    size = (16, 24, 32)[:spatial_dims]
    arguments = {**SMALL["transunet_3d"], "spatial_dims": spatial_dims, "grid": [4, 2, 2][:spatial_dims]}
    network = build_network("transunet_3d", arguments)
    out = network(torch.randn(2, 1, *size))
    assert out.shape == (2, 3, *size)
    out.square().sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None] == []


def test_a_corner_is_told_of_the_opposite_one():
    transformer = build_network("transunet_3d", SMALL["transunet_3d"]).eval().transformer
    x = torch.randn(1, 16, 4, 4, 4, requires_grad=True)
    transformer(x)[..., 0, 0, 0].square().sum().backward()
    assert x.grad[..., 3, 3, 3].any()


def test_the_3d_form_has_vit_b_between_encoder_and_decoder():
    with torch.device("meta"):
        network = build_network("transunet_3d", {"in_channels": 1, "out_channels": 9})
        plain = sum(p.numel() for p in network.parameters()) - sum(p.numel() for p in network.transformer.parameters())
    assert sum(p.numel() for p in network.transformer.encoder.parameters()) == 12 * 7_087_872 + 2 * 768
    assert plain == 31_189_641 + 768 * 320 + 320  # nnU-Net's 31.2 million and the convolution back to its channels


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("transunet", {"image_size": 40}), ("transunet", {"width": 48}), ("transunet", {"units": [1, 1]}),
        ("transunet", {"heads": 5}), ("transunet", {"layers": 0}), ("transunet_3d", {"spatial_dims": 4}),
        ("transunet_3d", {"grid": [2, 2]}), ("transunet_3d", {"channels": [4]}), ("transunet_3d", {"heads": 3}),
    ],
)  # fmt: skip
def test_impossible_arguments_are_refused(name, wrong):
    with pytest.raises(RequestError, match="cannot be built"):
        build_network(name, SMALL[name] | wrong)
