"""Networks whose layers are MONAI's: sizes that the papers tell, shapes, what training compares, what stays off."""

import pytest
import torch
from medsegdiff.errors import RequestError
from medsegdiff.inference.dropout import has_dropout
from medsegdiff.networks.registry import build_network
from monai.networks import nets
from small_networks import SMALL

MILLIONS = [
    ("unetr", {"in_channels": 1, "out_channels": 14}, 92.6, 0.3),
    ("dynunet", {"in_channels": 1, "out_channels": 3}, 31.2, 0.1),
    ("segresnet", {"in_channels": 4, "out_channels": 3}, 18.8, 0.05),
    ("unet_plus_plus", {"in_channels": 1, "out_channels": 2, "spatial_dims": 2}, 9.04, 0.1),
    ("attention_unet", {"in_channels": 1, "out_channels": 2}, 5.9, 0.05),  # 6.4 in the paper: see its docstring
    *(
        ("mednext", {"in_channels": 1, "out_channels": 3, "size": size}, count, 0.1)
        for size, count in (("S", 5.6), ("B", 10.5), ("M", 17.6), ("L", 61.8))
    ),
    ("mednext", {"in_channels": 1, "out_channels": 3, "size": "L", "kernel": 5}, 63.0, 0.1),
]
NAMES = ["attention_unet", "dynunet", "mednext", "segresnet", "swin_unetr", "unet_plus_plus", "unetr"]


def small(name: str, dims: int, **more):
    torch.manual_seed(0)
    sizes = {"image_size": [32] * dims} if name == "unetr" else {}
    return build_network(name, {**SMALL[name], **sizes, "spatial_dims": dims, **more})


@pytest.mark.parametrize(("name", "arguments", "millions", "within"), MILLIONS)
def test_as_many_parameters_as_the_paper_says(name, arguments, millions, within):
    with torch.device("meta"):
        network = build_network(name, arguments)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=within)


def test_swin_unetr_has_the_authors_parameters_and_monais_names():
    """61.98 million in the paper; half its channels are a quarter of them."""
    network = build_network("swin_unetr", {"in_channels": 4, "out_channels": 3, "spatial_dims": 3})
    assert 4 * sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(62, abs=1)
    names = network.state_dict()
    bias = names["net.swinViT.layers1.0.blocks.0.attn.relative_position_bias_table"]
    assert bias.shape == (13**3, 3) and names["net.encoder10.layer.conv1.conv.weight"].shape == (384, 384, 3, 3, 3)


@pytest.mark.parametrize("version2", [False, True])
@pytest.mark.parametrize("dims", [2, 3])
def test_swin_unetr_says_what_monais_says(monkeypatch, dims, version2):
    import monai.networks.nets.swin_unetr as theirs

    network = small("swin_unetr", dims, version2=version2).eval()
    moved = {True: lambda x: x.movedim(1, -1), False: lambda x: x.movedim(-1, 1)}
    monkeypatch.setattr(theirs, "rearrange", lambda x, how: moved[how.endswith("c")](x))  # einops is not needed here
    image = torch.randn(1, 1, *[32, 64, 32][:dims])
    with torch.no_grad():
        torch.testing.assert_close(network(image), network.net(image), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_what_training_compares(name, dims):
    network = small(name, dims)
    image = torch.randn(2, 1, *[32, 48, 16][:dims])
    said = network.supervised(image) if hasattr(network, "supervised") else None
    logits = network.eval()(image)
    assert logits.shape == (2, 3, *image.shape[2:])
    if said is not None:
        assert len(said.logits) == len(said.weights) > 1 and said.logits[0].shape == logits.shape
        assert sum(said.weights) == pytest.approx(1)
        sum(x.square().mean() for x in said.logits).backward()
    else:
        network(image).square().mean().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("name", "size"), [("swin_unetr", (24, 38, 10)), ("unetr", (16, 64, 48)), ("unet_plus_plus", (33, 30, 21))]
)
def test_other_sizes(name, size):
    with torch.no_grad():
        assert small(name, 3).eval()(torch.randn(1, 1, *size)).shape == (1, 3, *size)


def test_unetr_interpolates_positions():
    """What it has learnt of an image of one size holds for one twice as large."""
    network = small("unetr", 3).eval()
    torch.nn.init.constant_(network.positions, 0.3)
    image = torch.randn(1, 1, 32, 32, 32)
    with torch.no_grad():
        before = network(image)
        network.positions.data[:, 4:] = -0.3
        assert (network(image) - before).abs().max() > 1e-5
        network.positions.data[:, :4] = -0.3
        flat = network.patches(torch.zeros(1, 1, 64, 64, 64))
        assert flat.shape[2:] == (4, 4, 4) and network(torch.zeros(1, 1, 64, 64, 64)).isfinite().all()


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"mednext"}))
def test_dropout_is_there_where_asked_for(name):
    assert has_dropout(small(name, 3, dropout=0.2)) and not has_dropout(small(name, 3, dropout=0.0))


@pytest.mark.parametrize("residual", [False, True])
def test_nnunets_network_says_what_monais_says(residual):
    from monai.networks.nets import DynUNet

    network = small("dynunet", 3, residual=residual).train()
    theirs = DynUNet(
        3, 1, 3, [3] * 4, [1, 2, 2, 2], [2] * 3, [4, 4, 8, 8], deep_supervision=True, deep_supr_num=2,
        res_block=residual,
    )  # fmt: skip
    missing, unexpected = theirs.load_state_dict(network.net.state_dict(), strict=False)
    assert all(name.startswith("skip_layers.") for name in missing) and not unexpected
    image = torch.randn(1, 1, 16, 24, 16)
    ours, said = network.supervised(image).logits, theirs.train()(image).unbind(1)
    for one, other in zip(ours, said, strict=True):
        torch.testing.assert_close(torch.nn.functional.interpolate(one, image.shape[2:]), other)


@pytest.mark.parametrize(
    ("architecture", "options", "deep"),
    [
        ("BasicUNetPlusPlus", {"features": [4] * 6}, {"deep_supervision": True}),
        ("DynUNet",
         {"kernel_size": [3] * 4, "strides": [1, 2, 2, 2], "upsample_kernel_size": [2] * 3, "filters": [4] * 4},
         {"deep_supervision": True, "deep_supr_num": 2}),
        ("MedNeXt", {"init_filters": 4}, {"deep_supervision": True}),
        ("SegResNetDS", {"init_filters": 8, "blocks_down": [1, 1, 1]}, {"dsdepth": 3}),
    ],
)  # fmt: skip
def test_of_several_heads_the_last_layers_answers(architecture, options, deep):
    torch.manual_seed(0)
    options = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, **options}
    network = build_network("monai", {"architecture": architecture, "options": {**options, **deep}}).eval()
    alone = getattr(nets, architecture)(**options).eval()
    assert not alone.load_state_dict(network.net.state_dict(), strict=False).missing_keys
    image = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        said = alone(image)
        torch.testing.assert_close(network(image), said[-1] if isinstance(said, list) else said)


def test_layers_have_one_name():
    weights = small("dynunet", 3).state_dict().values()
    assert len({value.data_ptr() for value in weights}) == len(weights)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("attention_unet", {"channels": [4]}), ("dynunet", {"heads": 3}), ("dynunet", {"strides": [2]}),
        ("mednext", {"size": "XL"}), ("mednext", {"kernel": 4}), ("segresnet", {"blocks_up": [1, 1]}),
        ("segresnet", {"filters": 6}), ("swin_unetr", {"feature_size": 10}), ("unet_plus_plus", {"channels": [4]}),
        ("unetr", {"image_size": [32, 32, 30]}), ("unetr", {"layers": 6}), ("unetr", {"heads": 3}),
    ],
)  # fmt: skip
def test_impossible_arguments_are_refused(name, wrong):
    with pytest.raises(RequestError, match="cannot be built"):
        small(name, 3, **wrong)
