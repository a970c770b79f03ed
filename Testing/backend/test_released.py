"""MedSegDiff's released networks: the reference's numbers, its checkpoints, other sizes and labels."""

import functools

import numpy as np
import pytest
import released_reference as reference
import torch
from medsegdiff.diffusion.process import NoiseProcess
from medsegdiff.diffusion.samplers import sample
from medsegdiff.diffusion.schedule import Schedule
from medsegdiff.errors import RequestError
from medsegdiff.models.released import convert_released
from medsegdiff.networks.nested import for_samples
from medsegdiff.networks.registry import build_network

CLOSE = 1e-5  # the bar of parity, in float32
SMALL = {"in_channels": 1, "image_size": 64, "channels": 32, "num_res_blocks": 1, "channel_mult": [1, 1, 1, 1]}
NAMES = ("medsegdiff_v1", "medsegdiff_v2_released")


@functools.cache
def imported(version, bottleneck="reference"):
    name, arguments, weights = convert_released(reference.checkpoint(version), "a checkpoint")
    more = {"bottleneck": bottleneck} if version == "v1" else {}
    network = build_network(name, {**arguments, **more}).eval().requires_grad_(False)
    network.load_state_dict(weights, strict=True)
    return network


def answer(network, step):
    torch.manual_seed(reference.SEED)
    said = network.denoise(reference.noisy_mask(), torch.tensor([float(step)]), network.encode(reference.image()))
    return torch.cat(said, 1).numpy()


def tiny(name, **more):
    torch.manual_seed(0)
    network = build_network(name, {**SMALL, **more})
    for parameter in network.parameters():  # what starts at zero says nothing
        torch.nn.init.normal_(parameter, std=0.1)
    return network


@pytest.fixture
def same_generator():
    if not reference.generator_is_the_same():
        pytest.skip("this torch draws other random numbers than the one that made the fixtures")


@pytest.mark.parametrize("version", ["v1", "new"])
@pytest.mark.parametrize("step", [3, 600])
def test_forward_equals_the_reference(version, step, same_generator):
    expected = reference.NUMBERS[f"{version}_forward_{step}"]
    assert np.abs(answer(imported(version), step) - expected).max() <= CLOSE
    assert expected.std() > 0.1


def test_deterministic_bottleneck_leaves_the_draw_out():
    expected = reference.NUMBERS["v1_deterministic_600"]
    assert np.abs(answer(imported("v1", "deterministic"), 600) - expected).max() <= CLOSE
    assert np.abs(expected - reference.NUMBERS["v1_forward_600"]).max() > 100 * CLOSE


@pytest.mark.parametrize("version", ["v1", "new"])
def test_loop_equals_the_reference(version, same_generator):
    network, states = imported(version), []
    condition = network.encode(reference.image())

    def predict(x, t):
        states.append(x)
        if version == "new":
            torch.nn.Conv2d(128, 128, 1)  # the reference draws it here, too, and does not use it
        return network.denoise(x, torch.tensor([float(t)]), condition)

    torch.manual_seed(reference.SEED)
    drawn = sample(
        "ddpm",
        NoiseProcess(2, 2),
        predict,
        lambda n: torch.randn(1, 1, 64, 64),
        Schedule("linear"),
        6,
        truncation=0.006,
    )
    expected = reference.NUMBERS[f"{version}_loop_states"]
    np.testing.assert_allclose(torch.cat(states[1:]).numpy(), expected[:-1], atol=2 * CLOSE, rtol=0)
    mask = reference.NUMBERS[f"{version}_loop_mask"]
    np.testing.assert_allclose(drawn.sample[:, 1:].numpy(), mask, atol=2 * CLOSE, rtol=0)


@pytest.mark.parametrize(("version", "name", "count"), [("v1", NAMES[0], 601), ("new", NAMES[1], 581)])
def test_default_checkpoint_fits_key_by_key(version, name, count):
    state = reference.default_checkpoint(version)
    found, arguments, weights = convert_released(state, "a checkpoint")
    assert (found, len(state), len(weights)) == (name, count, count)
    assert (arguments["in_channels"], arguments["out_channels"], arguments["image_size"]) == (3, 2, 256)
    with torch.device("meta"):
        network = build_network(name, {"in_channels": 3})  # the defaults are the released command's
    assert {k: v.shape for k, v in network.state_dict().items()} == {k: v.shape for k, v in weights.items()}
    assert sum(p.numel() for p in network.parameters()) == {601: 130_527_814, 581: 129_400_450}[count]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("labels", "learned"), [(2, True), (4, True), (3, False)])
def test_any_number_of_masks(name, labels, learned):
    network = tiny(name, out_channels=labels, learned_variance=learned).eval()
    condition = network.encode(torch.rand(1, 1, 64, 64))
    x, t = torch.randn(3, labels - 1, 64, 64), torch.tensor([0.0, 500.0, 999.0])
    said = network.denoise(x, t, for_samples(condition, 3))
    assert said.noise.shape == said.mask.shape == x.shape
    assert (said.variance is None) != learned
    assert 0 <= said.mask.min() and said.mask.max() <= 1
    alone = torch.cat([network.denoise(x[n : n + 1], t[n : n + 1], condition).noise for n in range(3)])
    torch.testing.assert_close(said.noise, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(name):
    network = tiny(name).to(memory_format=torch.channels_last)  # as in training
    condition = network.encode(torch.rand(2, 1, 64, 64))
    said = network.denoise(torch.randn(2, 1, 64, 64), torch.tensor([9.0, 99.0]), condition)
    sum(part.square().sum() for part in said).backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    # The loss passes through batch norm, which takes the mean, and so the bias before it, away.
    assert [n for n in silent if not ("highway" in n and n.endswith("conv.bias"))] == []


def test_new_version_takes_other_sizes_and_says_which():
    network = tiny("medsegdiff_v2_released").eval()
    condition = network.encode(torch.rand(1, 1, 32, 96))
    assert network.denoise(torch.randn(1, 1, 32, 96), torch.zeros(1), condition).noise.shape == (1, 1, 32, 96)
    with pytest.raises(RequestError, match="32 divides, not 40x96"):
        network.encode(torch.rand(1, 1, 40, 96))


def test_v1_is_bound_to_its_size_and_says_so():
    with pytest.raises(RequestError, match="64x64 pixels only, not 64x128: its FF-Parser"):
        tiny("medsegdiff_v1").encode(torch.rand(1, 1, 64, 128))


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("medsegdiff_v1", {"bottleneck": "random"}, "deterministic or reference"),
        ("medsegdiff_v1", {"highway_depth": 9}, "from 1 to 4"),
        ("medsegdiff_v1", {"highway_depth": 2, "bottleneck": "reference"}, "needs highway_depth 3"),
        ("medsegdiff_v2_released", {"highway_depth": 2}, "3 or more"),
        ("medsegdiff_v2_released", {"channels": 48}, "multiples of 32"),
        ("medsegdiff_v2_released", {"image_size": 100, "channel_mult": None}, "no usual channel_mult"),
        ("medsegdiff_v2_released", {"channel_mult": [2, 2]}, "begin with 1"),
        ("medsegdiff_v1", {"num_heads": 0}, "num_heads 0 must be 1 or more"),
        ("medsegdiff_v2_released", {"out_channels": 1}, "out_channels 1 must be 2 or more"),
    ],
)
def test_unusable_arguments_are_refused(name, wrong, message):
    with pytest.raises(RequestError, match=message):
        build_network(name, {**SMALL, **wrong})


@pytest.mark.parametrize("name", NAMES)
def test_steps_without_gradient_give_the_same_numbers(name):
    network = tiny(name, num_res_blocks=2).eval()
    x, t, condition = torch.randn(1, 1, 64, 64), torch.tensor([300.0]), network.encode(torch.rand(1, 1, 64, 64))
    with torch.no_grad():
        quick = network.denoise(x, t, condition)
        with torch.autocast("cpu", torch.bfloat16):
            half = network.denoise(x, t, condition)
    expected = network.denoise(x, t, condition)
    assert torch.equal(quick.noise, expected.noise)
    assert (half.noise - expected.noise).abs().mean() < 0.1 * expected.noise.std()
