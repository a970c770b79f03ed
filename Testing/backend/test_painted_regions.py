"""Networks of regions that overlap: their answers as labels, and such models of MONAI, nnU-Net and others."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from bundle_folder import UNET, write_bundle
from medsegdiff.cli.main import main
from medsegdiff.errors import JobError, RequestError
from medsegdiff.image import Image
from medsegdiff.inference import sweep
from medsegdiff.inference.api import segment
from medsegdiff.inference.model import load_model
from medsegdiff.models import importing, store
from medsegdiff.models.importing import import_package
from medsegdiff.networks.region_outputs import RegionOutputs
from medsegdiff.uncertainty.logit_pool import LogitPool
from medsegdiff.uncertainty.painting import paint, unpaint
from monai.networks.nets import UNet
from nnunet_folder import plans_of, write_folder

BRATS = ["Tumor core", "Whole tumor", "Enhancing tumor"]
ORDER = ["Whole tumor", "Tumor core", "Enhancing tumor"]
SIGMOID = {"transforms": [{"_target_": "Activationsd", "sigmoid": True}, {"_target_": "AsDiscreted", "threshold": 0.5}]}


@pytest.fixture
def home(tmp_path, monkeypatch):
    for module in (importing, store):
        monkeypatch.setattr(module, "user_store", lambda: tmp_path / "store")
    return tmp_path


def painted(logits: torch.Tensor, order: list[list[int]]) -> torch.Tensor:
    """(B, *spatial) what thresholds of 0.5 and painting give."""
    labels = torch.zeros_like(logits[:, 0], dtype=torch.long)
    for output, label in order:
        labels[logits[:, output].sigmoid() > 0.5] = label
    return labels


def regions_and_labels(shape: tuple[int, ...], order: list[list[int]], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (B, R, ...) of regions, and of labels (B, R + 1, ...)."""
    regions = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 3
    network = torch.nn.Identity()
    network.spatial_dims = len(shape) - 2
    labels = RegionOutputs(network, order)(regions) + 5  # a constant counts for nothing
    paint(labels.movedim(1, 0), [label for _, label in order])
    return regions, labels


@pytest.mark.parametrize("order", [[[1, 2], [0, 1], [2, 3]], [[0, 1], [1, 3], [2, 2]]])
def test_likeliest_label_is_the_painted_one(order):
    regions, labels = regions_and_labels((2, 3, 9, 8, 7), order, seed=0)
    assert labels.shape == (2, 4, 9, 8, 7) and len(labels.argmax(1).unique()) == 4
    torch.testing.assert_close(labels.argmax(1), painted(regions, order))


def test_odds_against_what_lies_beneath_are_the_sigmoids():
    regions, labels = regions_and_labels((1, 2, 5, 6, 7), [[0, 1], [1, 2]], seed=1)
    probability = labels.softmax(1)
    odds = probability[:, 2] / (probability[:, 2] + probability[:, :2].amax(1))
    torch.testing.assert_close(odds, regions[:, 1].sigmoid())
    regions, labels = regions_and_labels((1, 1, 5, 6, 7), [[0, 1]], seed=2)
    torch.testing.assert_close(labels.softmax(1)[:, 1], regions[:, 0].sigmoid())


def test_painting_can_be_undone():
    regions, labels = regions_and_labels((1, 3, 5, 6, 7), [[1, 2], [0, 1], [2, 3]], seed=3)
    logits = labels.log_softmax(1)[0].numpy()
    unpaint(logits, [2, 1, 3])
    np.testing.assert_allclose(logits, np.concatenate([np.zeros((1, 5, 6, 7)), regions[0].numpy()]), atol=1e-5)
    before = logits.copy()
    paint(logits, ())
    np.testing.assert_array_equal(logits, before)


def test_mean_of_models_is_that_of_their_regions():
    order = [[1, 2], [0, 1], [2, 3]]
    pool, both = LogitPool([2, 1, 3]), 0
    for seed, share in ((4, 0.25), (5, 0.75)):
        regions, labels = regions_and_labels((1, 3, 5, 6, 7), order, seed)
        pool.add(labels.softmax(1)[0].numpy(), share)
        both = both + share * regions
    np.testing.assert_array_equal(pool.finish().argmax(0), painted(both, order)[0].numpy())


def brats_bundle(folder, **entries):
    network = {**UNET, "out_channels": 3}
    torch.manual_seed(0)
    unet = UNet(**{key: value for key, value in network.items() if key != "_target_"}).eval()
    write_bundle(folder, unet.state_dict(), network_def=network, postprocessing=SIGMOID, **entries)
    metadata = json.loads((folder / "configs/metadata.json").read_text())
    metadata["network_data_format"]["outputs"]["pred"]["channel_def"] = dict(zip("012", BRATS))
    (folder / "configs/metadata.json").write_text(json.dumps(metadata))
    return folder, unet


def test_bundle_of_regions(home, capsys):
    folder, unet = brats_bundle(home / "bundle")
    assert main(["models", "import", str(folder)]) == 2
    assert "say in which order they are painted, the innermost last, with --paint Tumor core" in capsys.readouterr().err
    assert main(["models", "import", str(folder), "--name", "brats", "--paint", ",".join(ORDER)]) == 0
    assert main(["models", "verify", "brats"]) == 0
    package = store.find_model("brats")
    assert [x.name for x in package.labels] == [
        "background",
        "rest of Tumor core",
        "rest of Whole tumor",
        "Enhancing tumor",
    ]
    model = load_model("brats", device="cpu")
    x = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(model.likely(model.network(x)).argmax(1), painted(unet(x), [[1, 2], [0, 1], [2, 3]]))
    image = Image(
        np.random.default_rng(0).normal(50, 60, (1, 20, 24, 16)).astype(np.float32), np.diag([1.5, 1.5, 2.0, 1])
    )
    result = segment(model, image)
    assert (np.unique(result.labelmap) == [0, 1, 2, 3]).all()
    np.testing.assert_allclose(result.probability.sum(0), 1, atol=1e-5)
    assert {row["name"] for row in result.report["segments"]} == {label.name for label in package.foreground}


def test_calibrated_or_swept_regions_have_the_same_labels(home, monkeypatch):
    folder = import_package(brats_bundle(home / "bundle")[0], paint=ORDER, name="own").folder
    noise = np.random.default_rng(0).normal(50, 60, (1, 20, 24, 40)).astype(np.float32)
    image = Image(noise, np.diag([1.5, 1.5, 2.0, 1]))
    plain = segment(load_model(folder, device="cpu"), image)
    with monkeypatch.context() as patch:
        patch.setattr(sweep, "keeps_all", lambda labels, voxels: False)
        swept = segment(load_model(folder, device="cpu"), image)
    assert (swept.labelmap == plain.labelmap).mean() > 0.998
    config = json.loads((folder / "configs/segmenter.json").read_text())
    config["calibration"] = {"temperature": 2.0}
    (folder / "configs/segmenter.json").write_text(json.dumps(config))
    flat = segment(load_model(folder, device="cpu"), image)
    assert (flat.labelmap == plain.labelmap).mean() > 0.998
    assert flat.probability.max(0).mean() < plain.probability.max(0).mean() - 0.02


def test_painting_of_labels_is_refused(home):
    softmax = {"transforms": [{"_target_": "Activationsd", "softmax": True}]}
    folder = write_bundle(home / "bundle", postprocessing=softmax)
    with pytest.raises(RequestError, match="are labels .softmax., not regions"):
        import_package(folder, paint=["background", "spleen"])


def test_names_do_nothing_to_a_terminal(home, capsys):
    folder, _ = brats_bundle(home / "bundle")
    metadata = (folder / "configs/metadata.json").read_text().replace("Whole tumor", "\\u001b]0;owned\\u0007")
    (folder / "configs/metadata.json").write_text(metadata)
    for options in ([], ["--paint", "a,b"], ["--paint", "\x1b[2J,b,c"]):
        assert main(["models", "import", str(folder), *options]) == 2
        assert not set(capsys.readouterr().err) & {"\x1b", "\x07"}
    assert main(["models", "info", "a\x1b[2Jb"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_a_network_with_other_outputs_is_refused(home):
    folder = import_package(brats_bundle(home / "bundle")[0], paint=ORDER, name="own").folder
    config = json.loads((folder / "configs/segmenter.json").read_text())
    config["network"]["regions"], config["labels"] = [[0, 1], [1, 2]], config["labels"][:3]
    (folder / "configs/segmenter.json").write_text(json.dumps(config))
    image = Image(
        np.random.default_rng(0).normal(50, 60, (1, 16, 16, 16)).astype(np.float32), np.diag([1.5, 1.5, 2.0, 1])
    )
    with pytest.raises(JobError, match="has 3 outputs, the model tells 2 regions"):
        segment(load_model(folder, device="cpu"), image)


def test_regions_under_other_names_and_wrong_orders(home):
    folder, _ = brats_bundle(home / "bundle")
    package = import_package(
        folder, labels=["core", "whole", "enhancing"], paint=["whole", "core", "enhancing"], name="own"
    )
    assert [label.name for label in package.foreground] == ["rest of core", "rest of whole", "enhancing"]
    assert package.network["regions"] == [[1, 2], [0, 1], [2, 3]]
    for paint in (["whole", "core"], ["whole", "whole", "enhancing"], ORDER):
        with pytest.raises(RequestError, match="must name each region once"):
            import_package(folder, labels=["core", "whole", "enhancing"], paint=paint)
    with pytest.raises(RequestError, match="has 3 regions; name as many"):
        import_package(folder, labels=["core", "whole"], paint=["whole", "core"])


@pytest.mark.parametrize(
    "regions",
    [[[0, 1]], [[0, 1], [1, 2], [1, 3]], [[0, 0], [1, 1], [2, 2]], [[0, 1.0], [1, 2], [2, 3]], 5, [], [[]]],
)
def test_damaged_regions_are_refused(home, regions):
    folder = import_package(brats_bundle(home / "bundle")[0], paint=ORDER, name="own").folder
    config = json.loads((folder / "configs/segmenter.json").read_text())
    config["network"]["regions"] = regions
    (folder / "configs/segmenter.json").write_text(json.dumps(config))
    with pytest.raises(RequestError, match="must name each output and each label"):
        load_model(folder, device="cpu")


def test_regions_of_nnunet(home):
    pytest.importorskip("dynamic_network_architectures", reason="nnU-Net's package of networks is not installed")
    from medsegdiff.models.nnunet_plans import architecture_of, configuration_of
    from medsegdiff.networks.registry import build_network

    plans = plans_of("3d_fullres")
    kind, options = architecture_of(configuration_of(plans, "3d_fullres"))
    network = build_network(
        "nnunet", {"in_channels": 1, "out_channels": 3, "architecture": kind, "options": options}
    ).eval()
    state = {name.removeprefix("net."): value for name, value in torch.nn.Module.state_dict(network).items()}
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}
    dataset = {"labels": labels, "regions_class_order": [2, 1, 3]}
    folder = write_folder(home / "trained", "3d_fullres", {"0": state}, plans, dataset=dataset, mirror=())
    package = import_package(folder)
    assert [x.name for x in package.labels] == ["background", "rest of core", "rest of whole", "enhancing"]
    x = torch.randn(1, 1, 24, 32, 24)
    with torch.no_grad():
        said = (model := load_model(package.name, device="cpu")).likely(model.network(x))
        torch.testing.assert_close(said.argmax(1), painted(network(x), [[0, 2], [1, 1], [2, 3]]))


def test_regions_of_nnunet_without_an_order_are_refused(home):
    dataset = {"labels": {"background": 0, "whole": [1, 2], "core": [2]}, "regions_class_order": [1]}
    folder = write_folder(
        home / "trained", "3d_fullres", {"0": {"a": torch.zeros(1)}}, plans_of("3d_fullres"), dataset=dataset
    )
    with pytest.raises(RequestError, match="regions_class_order, a label for each of 2 regions"):
        import_package(folder)
