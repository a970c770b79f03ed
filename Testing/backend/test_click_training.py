"""Training with simulated clicks: where they are placed, what the network gets, how a model without clicks is
widened."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from block_dataset import write_blocks
from medsegdiff import segment
from medsegdiff.diffusion.schedule import Schedule
from medsegdiff.errors import RequestError
from medsegdiff.evaluation.corrective_clicks import corrective_click
from medsegdiff.image import read_image
from medsegdiff.inference.click_maps import click_maps
from medsegdiff.models.package import load_package
from medsegdiff.networks.registry import build_network
from medsegdiff.training.config import TrainingConfig, read_config
from medsegdiff.training.losses import SegmentationLoss
from medsegdiff.training.run import train
from medsegdiff.training.simulated_clicks import ClickSimulation, around_clicks, first_opinion
from medsegdiff.training.starting_weights import starting_network
from tiny_models import NETWORKS, write_tiny_model

TRAINING = Path(__file__).parents[2] / "Resources" / "Training"


def config(kind: str = "unet", **changes) -> TrainingConfig:
    arguments = {**NETWORKS[kind], "in_channels": 4}
    usual = {
        "name": "clicked", "description": "", "network": {"name": kind, "arguments": arguments},
        "channels": [{"name": "T1"}], "labels": [{"name": name} for name in ("background", "one", "two")],
        "preprocessing": {"spacing": [1, 1, 1], "divisible": 8}, "patch": (16, 16, 16), "batch": 2, "steps": 3,
        "workers": 0, "precision": "fp32", "clicks": {"sigma_mm": 2.0},
    }  # fmt: skip
    return TrainingConfig(**{**usual, **changes})


def test_a_click_goes_into_the_middle_of_the_largest_error():
    reference = np.zeros((30, 20, 20), np.uint8)
    reference[5:14, 5:14, 5:14], reference[18:25, 5:12, 5:12] = 1, 2
    predicted = reference.copy()
    assert corrective_click(predicted, reference) is None
    predicted[18:25, 5:12, 5:12] = 0
    assert corrective_click(predicted, reference) == ((21, 8, 8), 2), "a missed structure"
    predicted[5:14, 5:14, 5:14] = 2
    assert corrective_click(predicted, reference) == ((9, 9, 9), 1), "a larger one with the wrong label"
    predicted[0:2] = 1
    assert corrective_click(predicted, reference).label == 0, "what is too much is the background's"
    assert corrective_click(predicted, reference, structure=2) == ((9, 9, 9), 1), "what structure 2 has too much"
    rng = np.random.default_rng(0)
    drawn = {corrective_click(predicted, reference, 2, rng) for _ in range(30)}
    assert len(drawn) > 20 and all(reference[click.index] == click.label == 1 for click in drawn)


class Nothing(torch.nn.Module):
    """Finds no structure, but what is clicked."""

    diffusion = False

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.seen.append(image)
        return image[:, 1:] * 10 + torch.tensor([1.0, 0, 0]).reshape(1, 3, *[1] * (image.ndim - 2))


@pytest.mark.parametrize("flat", [False, True])
def test_clicks_follow_one_another(flat):
    """Each into what is still wrong after those before."""
    label = torch.zeros(6, 1, 16, 24, *([] if flat else [8]))
    label[:, :, 2:14, 2:22] = 1
    image, network = torch.randn(6, 1, *label.shape[2:]), Nothing()
    simulation = ClickSimulation(3, 1.5, (1, 1, 1), share=1.0, most=4, seed=0)
    shown = simulation(network, image, label)
    assert shown.shape == (6, 4, *label.shape[2:]) and torch.equal(shown[:, :1], image)
    assert not shown[:, 1].any() and not shown[:, 3].any(), "background and structure two are right"
    peaks = (shown[:, 2] == 1).flatten(1).sum(1)
    assert peaks.min() >= 1 and peaks.max() > 1 and (shown[:, 2][label[:, 0] == 0] < 1).all()
    assert len(network.seen) == peaks.max()


def test_the_loss_counts_what_is_around_clicks_once_more():
    """An error beside a click weighs more than one far from it; without clicks nothing changes."""
    image = torch.zeros(1, 4, 24, 16, 16)
    image[:, 2] = torch.from_numpy(click_maps([((4, 8, 8), 1)], (24, 16, 16), (1, 1, 1), 3, 2.0)[1])
    label, focus, loss_of = torch.zeros(1, 1, 24, 16, 16), around_clicks(image, 3), SegmentationLoss(Schedule(), 1)
    assert focus[0, 0, 4, 8, 8] == 1 and focus[0, 0, 8, 8, 8] == pytest.approx(np.exp(-0.5 * (4 / 6) ** 2), abs=1e-4)
    assert not focus[0, 0, 20:].any()
    losses = {}
    for place in (6, 20):
        wrong = label.clone()
        wrong[0, 0, place, 7:10, 7:10] = 1
        network = Nothing()
        losses[place] = [float(loss_of(network, image[:, :4] * 0, wrong, f)) for f in (None, focus, focus * 0)]
        assert losses[place][0] == losses[place][2]
    assert losses[6][1] - losses[6][0] > losses[20][1] - losses[20][0] > 0


def test_a_share_of_the_crops_stays_without_clicks():
    label = torch.ones(40, 1, 8, 8, 8)
    shown = ClickSimulation(3, 1.5, (1, 1, 1), 0.5, 1, 0)(Nothing(), torch.zeros(40, 1, 8, 8, 8), label)
    assert 10 < (shown.flatten(1).amax(1) > 0).sum() < 30


@pytest.mark.parametrize("network", ["unet", "medsegdiff_3d", "medsegdiff_v2"])
def test_a_widened_network_says_what_the_model_says(tmp_path, network):
    arguments = {**NETWORKS[network], "channels": [8, 8, 8] if network != "medsegdiff_3d" else 4}
    origin = write_tiny_model(tmp_path / "origin", network, arguments)
    wider = {"name": network, "arguments": {**arguments, "in_channels": 4}}
    wide = starting_network(origin, config(network=wider)).eval()
    image, maps = torch.randn(1, 1, 16, 16, 16), torch.rand(1, 3, 16, 16, 16)
    narrow = starting_network(origin, config(network=origin.network, clicks={})).eval()
    with torch.no_grad():
        before = first_opinion(narrow, image)
        torch.testing.assert_close(first_opinion(wide, torch.cat([image, maps], 1)), before, atol=1e-5, rtol=1e-4)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    origin = write_tiny_model(tmp_path / "origin", "unet")
    wider = {**NETWORKS["unet"], "in_channels": 4, "channels": [8, 8, 8]}
    short = write_tiny_model(tmp_path / "short", "medsegdiff_v2")  # whose first unit needs no convolution with 4 inputs
    with pytest.raises(RequestError, match="train it anew"):
        starting_network(short, config("medsegdiff_v2"))
    for changes in ({"network": {"name": "unet", "arguments": wider}}, {"clicks": {}}):
        with pytest.raises(RequestError, match="another network"):
            starting_network(origin, config(**changes))
    latent = {"in_channels": 1, "out_channels": 3, "spatial_dims": 3, "channels": [4, 8], "num_res_units": 1}
    drawn = write_tiny_model(tmp_path / "drawn", "probabilistic_unet", latent)
    with pytest.raises(RequestError, match="train it anew"):
        network = {"name": "probabilistic_unet", "arguments": {**latent, "in_channels": 4}}
        starting_network(drawn, config(network=network))


def test_training_teaches_clicks(tmp_path):
    """From a model without clicks to one that takes them, through the command's own function; it goes on from there."""
    data = write_blocks(tmp_path / "data", 4, [3])
    origin = write_tiny_model(tmp_path / "origin", "medsegdiff_3d")
    package = train(data, config("medsegdiff_3d"), tmp_path / "clicked", start=origin.folder)
    assert load_package(tmp_path / "clicked").clicks == {"sigma_mm": 2.0} and package.inputs == 4
    assert "knows of clicks" in (tmp_path / "clicked" / "docs" / "README.md").read_text()
    weights = starting_network(package, config("medsegdiff_3d")).encoder.detail.conv.weight
    assert weights[:, 1:].abs().max() > 0, "the new channels have learned"
    image = read_image(data / "imagesTr" / "case3.nii.gz")
    out = segment(str(package.folder), image, clicks=[(6, 6, 6, 1)])
    assert out.report["clicks"][0]["name"] == "one"


def test_a_share_of_what_was_learned_is_taken(tmp_path):
    """Half-way between the weights it started from and those it came to."""
    data, origin = write_blocks(tmp_path / "data", 4, [3]), write_tiny_model(tmp_path / "origin", "unet")
    weights = []
    for number, share in enumerate((1.0, 0.5)):
        fast = config(new_share=share, ema=0.1, learning_rate=0.05, warmup=1)
        package = train(data, fast, tmp_path / f"clicked{number}", start=origin.folder)
        weights.append(starting_network(package, config()).state_dict())
        assert package.training["new_share"] == share
    started = starting_network(origin, config()).state_dict()
    for name, before in started.items():
        torch.testing.assert_close(weights[1][name], (before + weights[0][name]) / 2, atol=2e-3, rtol=2e-3)
    assert any((weights[0][name] - before).abs().max() > 0.01 for name, before in started.items())
    path = tmp_path / "c.json"
    path.write_text(json.dumps({**config().to_dict(), "new_share": 0}))
    with pytest.raises(RequestError, match="new_share"):
        read_config(path)


def test_configurations_of_clicks_are_checked(tmp_path):
    for changes, about in (
        ({"preprocessing": {"spacing": [1, 1, None], "divisible": 8}}, "size in mm"),
        ({"clicks": {"sigma_mm": -1}}, "sigma_mm"), ({"clicks": {}}, "in_channels"),
    ):  # fmt: skip
        with pytest.raises(RequestError, match=about):
            train(tmp_path, config(**changes), tmp_path / "model")
    path = tmp_path / "c.json"
    path.write_text(json.dumps({**config().to_dict(), "click_share": 1.5}))
    with pytest.raises(RequestError, match="click_share"):
        read_config(path)
    network = build_network("medsegdiff_v1", {"in_channels": 4, "image_size": 32, "channel_mult": [1, 1]})
    with pytest.raises(RequestError, match="first opinion"):
        first_opinion(network, torch.zeros(1, 4, 32, 32))


@pytest.mark.parametrize("name", ["hippocampus-unet", "hippocampus-medsegdiff"])
def test_shipped_configurations_go_on_from_the_shipped_models(name):
    before, after = read_config(TRAINING / f"{name}.json"), read_config(TRAINING / f"{name}-clicks.json")
    arguments = {**before.network["arguments"], "in_channels": 4}
    assert after.network == {"name": before.network["name"], "arguments": arguments} and after.clicks
    assert (after.labels, after.channels, after.preprocessing) == (before.labels, before.channels, before.preprocessing)
