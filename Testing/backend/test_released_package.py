"""Checkpoints of MedSegDiff's released code as models: imported, used, refused, removed."""

import json
import os

import numpy as np
import pytest
import released_reference as reference
import torch
from medsegdiff.cli.main import main
from medsegdiff.diffusion.schedule import Schedule
from medsegdiff.errors import RequestError
from medsegdiff.image import Image
from medsegdiff.inference.api import load_model, segment
from medsegdiff.models import importing, store
from medsegdiff.models.importing import import_package, remove_package
from tiny_models import write_tiny_model


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "user_store", lambda: tmp_path / "store")
    monkeypatch.setattr(store, "user_store", lambda: tmp_path / "store")
    return tmp_path


def save(folder, version="new", name="savedmodel000100.pt", prefix="", change=lambda state: None):
    state = {prefix + key: value for key, value in reference.checkpoint(version).items()}
    change(state)
    torch.save(state, folder / name)
    return folder / name


@pytest.mark.parametrize(
    ("version", "file", "prefix", "network"),
    [
        ("v1", "savedmodel000100.pt", "", "medsegdiff_v1"),
        ("v1", "emasavedmodel_0.9999_000100.pt", "module.", "medsegdiff_v1"),
        ("new", "emasavedmodel_0.9999_000100.pt", "", "medsegdiff_v2_released"),
        ("new", "savedmodel000100.pt", "module.", "medsegdiff_v2_released"),
    ],
)
def test_checkpoint_becomes_a_model(home, version, file, prefix, network):
    package = import_package(save(home, version, file, prefix))
    assert package.name == f"{network.replace('_', '-')}-{file[:-3]}"
    assert package.network["name"] == network
    assert [c["name"] for c in package.channels] == ["red", "green", "blue"]
    assert package.sampling == {"samples": 5, "steps": 20, "sampler": "dpm++", "schedule": "linear"}
    model = load_model(package.name, device="cpu")
    weights = {k.removeprefix("network."): v for k, v in model.network.state_dict().items()}
    assert torch.equal(weights["trunk.time_embed.0.bias"], reference.checkpoint(version)["time_embed.0.bias"])


def test_what_no_weight_tells_is_told_at_import(home):
    """Length and kind of the noise schedule, heads, and whether V1 draws at random within as its authors' code does."""
    told = ["--diffusion-steps", "400", "--noise-schedule", "cosine", "--bottleneck", "reference", "--heads", "2"]
    assert main(["models", "import", str(save(home, "v1")), "--name", "skin", *told]) == 0
    model = load_model("skin", device="cpu")
    np.testing.assert_array_equal(model.schedule.alpha_bar, Schedule("cosine", 400).alpha_bar)
    assert model.schedule.steps(5).tolist() == [399, 319, 239, 159, 79]
    assert (model.network.network.bottleneck, model.package.network["arguments"]["num_heads"]) == ("reference", 2)
    for options, message in (
        ({"diffusion_steps": 20}, "from 21 to 100000"),
        ({"noise_schedule": "sigmoid"}, "give linear or cosine"),
        ({"bottleneck": "reference"}, "for checkpoints of V1"),  # this one is not
    ):
        with pytest.raises(RequestError, match=message):
            import_package(save(home), **options)


def test_imported_model_segments_a_photograph(home):
    package = import_package(save(home, "v1"), name="skin", channels=["r", "g", "b"])
    colours = np.random.default_rng(0).integers(0, 256, (3, 80, 50, 1)).astype(np.float32)
    out = segment("skin", Image(colours, np.diag([-1.0, -1, 1, 1])), samples=2, steps=2, device="cpu")
    assert package.preprocessing["size"] == [64, 64, None]
    assert out.labelmap.shape == (80, 50, 1)
    assert out.report["steps"] == 2 and np.isfinite(out.probability).all()


def test_photographs_reach_the_network_as_rows_and_columns(home):
    from medsegdiff.inference.preprocessing import Preprocessing

    preprocessing = Preprocessing.from_dict(import_package(save(home, "v1")).preprocessing)
    # along columns
    ramp = np.zeros((3, 64, 64, 1), np.float32) + np.linspace(0, 255, 64, dtype=np.float32)[:, None, None]
    prepared = preprocessing.prepare(Image(ramp, np.diag([-1.0, -1, 1, 1]))).array
    np.testing.assert_allclose(prepared, ramp.swapaxes(1, 2) / 255, atol=1e-6)  # (C, rows, columns, 1)


def dangerous(path):
    class Code:
        def __reduce__(self):
            return os.mkdir, (str(path.parent / "made-by-code"),)

    torch.save({"weight": Code()}, path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: torch.save(torch.optim.SGD([torch.zeros(1)]).state_dict(), p), "is an optimizer's state"),
        (dangerous, "more than weights"),
        (lambda p: p.write_bytes(b"no pickle"), "more than weights"),
        (lambda p: torch.save({"epoch": 3}, p), "weights alone"),
        (lambda p: torch.save({"layer.weight": torch.zeros(2)}, p), "no checkpoint of .*input_blocks.0.0.weight"),
        (lambda p: None, "cannot be read: No such file"),
    ],
)
def test_other_files_are_refused(home, make, message):
    path = home / "optsavedmodel000100.pt"
    make(path)
    with pytest.raises(RequestError, match=message) as caught:
        import_package(path)
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in home.iterdir()) in ([], [path.name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("middle_block.1.qkv.weight"), "'trunk.middle.1.qkv.weight' is missing for"),
        (lambda s: s.update({"label_emb.weight": torch.zeros(2, 128)}), "'trunk.label_emb.weight' has no place in"),
        (lambda s: s.update({"time_embed.0.bias": torch.zeros(3)}), "another shape"),
        (lambda s: s.update({"input_blocks.1.0.emb_layers.1.weight": torch.zeros(64, 128)}), "use_scale_shift_norm"),
    ],
)
def test_other_networks_are_refused(home, change, message):
    with pytest.raises(RequestError, match=message):
        import_package(save(home, change=change))


def test_options_that_do_not_fit_are_refused(home):
    with pytest.raises(RequestError, match="takes 3 image channels; name as many, not 2"):
        import_package(save(home), channels=["a", "b"])
    with pytest.raises(RequestError, match="has 1 structure.s.; name as many with --labels A,B,..., not 2"):
        import_package(save(home), labels=["a", "b"])
    with pytest.raises(RequestError, match="must be multiples of 32 and of num_heads"):
        import_package(save(home), heads=3)
    with pytest.raises(RequestError, match="^--name is not for a model package"):
        import_package(write_tiny_model(home / "given").folder, name="other")
    with pytest.raises(RequestError, match="--no-mirroring is not for a checkpoint"):
        import_package(save(home), mirror=False)


def test_command_line_imports_and_removes(home, capsys):
    assert main(["models", "import", str(save(home)), "--name", "skin", "--channels", "r,g,b", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["name"], [c["name"] for c in said["channels"]]) == ("skin", ["r", "g", "b"])
    assert main(["models", "remove", "skin"]) == 0
    assert not (home / "store/skin").exists()
    assert main(["models", "remove", "skin"]) == 2


def test_what_no_checkpoint_tells_is_taken(home, capsys):
    told = ["--labels", "lesion", "--modality", "dermoscopy", "--licence", "MIT", "--source", "an article"]
    assert main(["models", "import", str(save(home)), "--name", "skin", *told]) == 0
    assert capsys.readouterr().err == ""
    package = store.find_model("skin")
    assert [label.name for label in package.labels] == ["background", "lesion"] and package.licence == "MIT"
    assert {c["modality"] for c in package.channels} == {"dermoscopy"} and package.training["source"] == "an article"
    assert main(["models", "import", str(save(home))]) == 0
    assert "does not tell its licence; give it with --licence" in capsys.readouterr().err


def test_the_licence_of_a_package_is_asked_of_its_maker(home, tiny_model, capsys):
    """Which takes no --licence."""
    assert main(["models", "import", str(tiny_model)]) == 0
    assert "does not tell its licence; ask whoever made it" in capsys.readouterr().err


def test_models_outside_the_store_are_not_removed(home, tiny_model):
    with pytest.raises(RequestError, match="was not imported, it is used from"):
        remove_package(str(tiny_model))
    assert tiny_model.is_dir()
