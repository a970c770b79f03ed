"""MedSegDiff-V2: shapes, the once-made condition, the SS-Former and its filter, uncertain attention, a fit."""

import pytest
import torch
from medsegdiff.errors import RequestError
from medsegdiff.networks.band_pass import NeuralBandPassFilter, frequency_radius
from medsegdiff.networks.denoised import Denoised
from medsegdiff.networks.nested import for_samples
from medsegdiff.networks.registry import build_network
from medsegdiff.networks.ss_former import SpectrumSpaceAttention, SSFormer, token_grid
from medsegdiff.networks.uncertain_attention import UncertainSpatialAttention

SIZES = {2: (16, 24), 3: (8, 16, 24)}


def tiny(**arguments):
    torch.manual_seed(0)
    return build_network(
        "medsegdiff_v2", {"in_channels": 1, "out_channels": 3, "channels": [4, 8, 8], "depth": 1, **arguments}
    )


def awake(network):
    """The network with random numbers where a fresh one has zeros, which let nothing through."""
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return network


@pytest.mark.parametrize("patch", [1, 2])
@pytest.mark.parametrize("prediction", ["noise", "mask"])
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_shapes(spatial_dims, prediction, patch):
    network, size = tiny(spatial_dims=spatial_dims, prediction=prediction, patch=patch).eval(), SIZES[spatial_dims]
    channels = 3 if prediction == "mask" else 2
    with torch.no_grad():
        condition = network.encode(torch.randn(2, 1, *size))
        out = network.denoise(torch.randn(2, channels, *size), torch.tensor([0.0, 999.0]), condition)
    assert condition.anchor.shape == (2, 3, *size)
    assert condition.attention.shape == (2, 1, *(n // patch for n in size))
    assert (network.prediction, network.spatial_dims) == (prediction, spatial_dims)
    if prediction == "mask":
        assert out.shape == (2, 3, *size)
        return
    assert isinstance(out, Denoised) and out.variance is None
    assert out.noise.shape == out.mask.shape == (2, 2, *size)
    torch.testing.assert_close(out.mask, torch.softmax(condition.anchor, 1)[:, 1:])


def test_the_papers_prediction_is_the_default():
    assert tiny().prediction == "noise"


def test_fresh_correction_keeps_the_anchor():
    network = tiny(prediction="mask")
    condition = network.encode(torch.randn(1, 1, 8, 8, 8))
    out = network.denoise(torch.randn(1, 3, 8, 8, 8), torch.tensor([500.0]), condition)
    torch.testing.assert_close(out, condition.anchor)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_every_parameter_learns(spatial_dims):
    network, size = awake(tiny(spatial_dims=spatial_dims, depth=2)), SIZES[spatial_dims]
    condition = network.encode(torch.randn(2, 1, *size))
    out = network.denoise(torch.randn(2, 2, *size), torch.tensor([10.0, 700.0]), condition)
    (out.noise.square().sum() + condition.anchor.square().sum()).backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@pytest.mark.parametrize("prediction", ["noise", "mask"])
def test_condition_of_one_image_serves_many_samples(prediction):
    network = awake(tiny(prediction=prediction)).eval()
    image, t = torch.randn(1, 1, *SIZES[3]), 999 * torch.rand(3)
    x = torch.randn(3, 3 if prediction == "mask" else 2, *SIZES[3])
    with torch.no_grad():
        together = network.denoise(x, t, for_samples(network.encode(image), 3))
        alone = [network.denoise(x[n : n + 1], t[n : n + 1], network.encode(image)) for n in range(3)]
    if prediction == "noise":
        together, alone = together.noise, [one.noise for one in alone]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)


def test_anchor_semantics_and_step_are_heard():
    network = awake(tiny()).eval()
    x, t = torch.randn(1, 2, *SIZES[3]), torch.tensor([300.0])
    with torch.no_grad():
        condition = network.encode(torch.randn(1, 1, *SIZES[3]))
        usual = network.denoise(x, t, condition).noise
        others = {
            "attention": network.denoise(x, t, condition._replace(attention=1 - condition.attention)),
            "semantic": network.denoise(x, t, condition._replace(semantic=-condition.semantic)),
            "step": network.denoise(x, t + 100, condition),
        }
    deaf = [name for name, other in others.items() if torch.allclose(other.noise, usual, atol=1e-5)]
    assert deaf == []


@pytest.mark.parametrize("grid", [(6, 8), (5, 7), (1, 4), (4, 3, 5), (2, 2, 1)])
def test_affinity_without_the_filter_is_the_product_of_queries_and_keys(grid):
    attention = SpectrumSpaceAttention(8, heads=2, embedding=4)
    torch.nn.init.constant_(attention.filter.leave.bias, 50.0)  # passes everything
    asked, answer = torch.randn(2, *grid, 8), torch.randn(2, *grid, 8)
    query, key = attention._split(attention.query(asked)), attention._split(attention.key(answer))
    affinity = attention.affinity(asked, answer, torch.randn(2, 4))
    torch.testing.assert_close(affinity, query @ key.transpose(-1, -2) / 2, atol=1e-4, rtol=1e-4)


def test_autocast_leaves_the_affinity_alone():
    attention, tokens = SpectrumSpaceAttention(8, heads=2, embedding=4), torch.randn(1, 4, 3, 5, 8)
    network, x = awake(tiny()).eval(), torch.randn(1, 2, *SIZES[3])
    image, t = torch.randn(1, 1, *SIZES[3]), torch.tensor([500.0])
    with torch.no_grad():
        exact = attention.affinity(tokens, tokens, torch.ones(1, 4)), network.denoise(x, t, network.encode(image)).noise
        with torch.autocast("cpu", torch.bfloat16):
            affinity = attention.affinity(tokens, tokens, torch.ones(1, 4))
            noise = network.denoise(x, t, network.encode(image)).noise
    assert torch.equal(affinity, exact[0])
    torch.testing.assert_close(noise.float(), exact[1], atol=0.1, rtol=0.1)


def test_the_filter_passes_other_bands_at_other_steps():
    torch.manual_seed(0)
    bands = NeuralBandPassFilter(heads=2, embedding=4).bands(torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0]]))
    assert bands.shape == (2, 2, 16, 16) and bands.min() > 0 and bands.max() < 1
    assert (bands[0] - bands[1]).abs().max() > 0.01


def test_the_filter_can_learn_a_band_for_each_step():
    torch.manual_seed(0)
    band_pass = NeuralBandPassFilter(heads=1, embedding=2)
    steps, wanted = torch.eye(2), torch.zeros(2, 1, 16, 16)
    wanted[0, :, :8, :8], wanted[1, :, 8:, 8:] = 1, 1  # low frequencies at one step, high ones at the other
    optimiser = torch.optim.Adam(band_pass.parameters(), 0.01)
    for _ in range(300):
        optimiser.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy(band_pass.bands(steps), wanted)
        loss.backward()
        optimiser.step()
    radius = torch.tensor([0.1, 0.9])  # a low and a high frequency
    with torch.no_grad():
        passed = band_pass(torch.ones(2, 1, 2, 2, dtype=torch.complex64), radius, radius, steps).real[:, 0]
    assert passed[0, 0, 0] > 0.8 and passed[0, 1, 1] < 0.2
    assert passed[1, 0, 0] < 0.2 and passed[1, 1, 1] > 0.8


def test_frequency_radius():
    radius = frequency_radius((4, 4), half=False, device=torch.device("cpu")).reshape(4, 4)
    assert radius[0, 0] == 0 and radius[2, 2] == pytest.approx(1)
    assert torch.equal(radius[1], radius[3])  # a frequency and its negative
    half = frequency_radius((4, 4), half=True, device=torch.device("cpu")).reshape(4, 3)
    assert torch.equal(half, radius[:, :3])


def test_tokens_are_bounded_whatever_the_size():
    assert token_grid((5, 7, 5), 512) == (5, 7, 5)
    assert token_grid((16, 16, 16), 512) == (8, 8, 8)
    assert token_grid((9, 64, 64), 512) == (2, 13, 13)
    former = SSFormer(3, 8, embedding=4, heads=2, depth=1, max_tokens=8)
    x = torch.randn(1, 8, 5, 3, 4)
    image = former.embed(torch.randn(1, 8, 5, 3, 4))
    assert image.shape == (1, 8, 2, 1, 2)
    assert former(x, image, torch.randn(1, 4)).shape == x.shape


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_gaussian_smooths_and_the_maximum_keeps_peaks(spatial_dims):
    attention = UncertainSpatialAttention(spatial_dims, 2)
    flat = torch.full((1, 2, *[7] * spatial_dims), 3.0)
    torch.testing.assert_close(attention.smooth(flat), flat)
    peak = torch.zeros(1, 2, *[7] * spatial_dims)
    peak[(0, 0, *[3] * spatial_dims)] = 1.0
    with torch.no_grad():
        smooth = attention.smooth(peak)
    assert smooth.sum() == pytest.approx(1, abs=1e-5) and not smooth[0, 1].any()
    assert smooth.max() == smooth[(0, 0, *[3] * spatial_dims)] < 0.2
    with torch.no_grad():  # attention = sigmoid(first channel)
        attention.conv.weight.zero_()[0, 0] = 1.0
        attention.conv.bias.zero_()
    seen = attention(peak)[0, 0].detach()
    assert seen[(3,) * spatial_dims] == torch.tensor(1.0).sigmoid()  # the peak itself, not the smoothed one
    assert seen[(3,) * (spatial_dims - 1)][4] > 0.5 == seen[(0,) * spatial_dims]


def test_gaussian_mean_moves_the_attention():
    attention = UncertainSpatialAttention(2, 1)
    with torch.no_grad():
        attention.mean[1] = 1.0
        attention.log_deviation.fill_(-2.0)
    peak = torch.zeros(1, 1, 7, 7)
    peak[0, 0, 3, 3] = 1.0
    assert attention.smooth(peak)[0, 0, 3, 2] > 0.9


@pytest.mark.parametrize(
    "wrong", [{"spatial_dims": 4}, {"prediction": "x0"}, {"channels": [4, 6]}, {"channels": [4, 12], "heads": 5}]
)
def test_unusable_arguments_are_refused(wrong):
    with pytest.raises(RequestError, match="cannot be built"):
        tiny(**wrong)


@pytest.mark.parametrize("prediction", ["noise", "mask"])
def test_it_learns_one_case(prediction):
    torch.manual_seed(0)
    network = tiny(spatial_dims=2, prediction=prediction, channels=[8, 16])
    label = torch.zeros(1, 16, 16, dtype=torch.long)
    label[:, 4:12, 4:8], label[:, 4:12, 8:12] = 1, 2
    image = label[:, None] + 0.1 * torch.randn(1, 1, 16, 16)
    onehot = torch.nn.functional.one_hot(label, 3).movedim(-1, 1).float()
    x0 = 2 * onehot - 1 if prediction == "mask" else onehot[:, 1:]
    noise, t = torch.randn(4, *x0.shape[1:]), torch.tensor([100.0, 300.0, 500.0, 700.0])
    share = torch.cos(t / 1000 * torch.pi / 2)[:, None, None, None] ** 2
    x_t = share.sqrt() * x0 + (1 - share).sqrt() * noise
    optimiser, losses = torch.optim.Adam(network.parameters(), 3e-3), []
    for _ in range(60):
        condition = network.encode(image)
        out = network.denoise(x_t, t, for_samples(condition, 4))
        if prediction == "mask":
            loss = torch.nn.functional.cross_entropy(out, label.expand(4, -1, -1))
        else:
            loss = (out.noise - noise).square().mean()
        loss = loss + torch.nn.functional.cross_entropy(condition.anchor, label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
