"""medsegdiff train: from the command to a model that the other commands take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medsegdiff.cli.main import main
from medsegdiff.cli.progress import ShareBar
from medsegdiff.models.package import PAGE
from block_dataset import write_blocks
from tiny_models import NETWORKS


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Four cases with a bright block to find."""
    return write_blocks(tmp_path / "dataset", 4, [3])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A training of a few steps."""
    settings = {
        "name": "blocks", "description": "blocks", "network": {"name": "unet", "arguments": NETWORKS["unet"]},
        "channels": [{"name": "T1", "modality": "MR"}],
        "labels": [{"name": "background"}, {"name": "back"}, {"name": "front"}], "patch": [16, 16, 16], "batch": 2,
        "steps": 4, "preprocessing": {"orientation": "RAS", "spacing": [1, 1, 1], "normalization": "zscore",
                                      "divisible": 8}, "workers": 0, "precision": "fp32",
    }  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(json.dumps(settings))
    return path


def test_a_trained_model_segments(dataset: Path, config: Path, tmp_path: Path, capsys):
    model = tmp_path / "model"
    assert main(["train", str(dataset), "-c", str(config), "-o", str(model)]) == 0
    said = capsys.readouterr()
    assert "trained: blocks" in said.out and "mean Dice on 1 validation case: 0." in said.out
    assert "measured on only 1 case, too few" in said.err and "too few" in (model / PAGE).read_text()
    assert main(["models", "verify", str(model)]) == 0
    scan, out = dataset / "imagesTr" / "case3.nii.gz", tmp_path / "o.nii.gz"
    assert main(["segment", str(scan), "-m", str(model), "-o", str(out)]) == 0
    assert out.is_file()


@pytest.mark.parametrize("after", ["the first of", "step 2/4"])
def test_an_interrupt_tells_where_it_goes_on(dataset: Path, config: Path, tmp_path: Path, capsys, monkeypatch, after):
    def note(bar, share: float, text: str) -> None:
        if text.startswith(after):
            raise KeyboardInterrupt

    monkeypatch.setattr("medsegdiff.cli.train.ShareBar.note", note)
    monkeypatch.setattr("medsegdiff.training.run.SILENCE", 0.0)
    assert main(["train", str(dataset), "-c", str(config), "-o", str(tmp_path / "model")]) == 1
    said = capsys.readouterr().err
    if after == "step 2/4":
        assert said == "medsegdiff: interrupted; the same command goes on after step 2\n"
    else:
        assert said == "medsegdiff: interrupted before the first step was done; nothing was kept\n"
    assert (tmp_path / "model").exists() == (after == "step 2/4")


def test_folders_of_the_users_are_left_alone(dataset: Path, config: Path, tmp_path: Path, capsys):
    project = tmp_path / "project"
    (project / "training").mkdir(parents=True)
    dataset.rename(project / "training" / "blocks")
    given = [str(project / "training" / "blocks"), "-c", str(config)]
    before = sorted(project.rglob("*"))
    assert main(["train", *given, "-o", str(project)]) == 2
    assert "holds other files" in capsys.readouterr().err and sorted(project.rglob("*")) == before
    model = tmp_path / "model"
    (model / "training").mkdir(parents=True)  # as it is left where a training is killed at its beginning
    (model / "notes.txt").write_text("which no file of the model replaces")
    assert main(["train", *given, "-o", str(model)]) == 0 and not (model / "training").exists()
    (model / "training").mkdir()
    (model / "training" / "notes.txt").write_text("mine")
    assert main(["train", *given, "-o", str(model)]) == 0, "the model itself may be trained anew"
    assert (model / "training" / "notes.txt").read_text() == "mine"
    config.write_text(config.read_text().replace('"name": "blocks"', '"name": "others"'))
    capsys.readouterr()
    assert main(["train", *given, "-o", str(model)]) == 2
    assert "holds another model, 'blocks'" in capsys.readouterr().err


def test_lines_now_and_then_where_there_is_no_terminal(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with ShareBar(quiet=False) as bar:
        for second in range(0, 140, 5):
            now[0] = float(second)
            bar.note(second / 1000, f"at {second}")
    assert [line.split("at ")[1] for line in capsys.readouterr().err.splitlines()] == ["10", "70", "130"]


def test_unusable_requests_are_refused(dataset: Path, config: Path, tmp_path: Path, capsys):
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    model = tmp_path / "model"
    for source, settings, output, about in (
        (tmp_path / "absent", config, model, "does not exist"),
        (dataset, tmp_path / "absent.json", model, "does not exist"),
        (dataset, broken, model, "JSON"),
        (tmp_path, config, model, "dataset.json"),
        (dataset, config, tmp_path / "absent" / "model", "does not exist"),
        (dataset, config, broken, "is a file"),
    ):
        assert main(["train", str(source), "-c", str(settings), "-o", str(output)]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and about in lines[0], lines
    assert not model.exists()


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("channels", [{"name": 1}]), ("labels", [{"name": 1}] * 3), ("network", {}), ("sampling", {"samples": 0}),
        ("labels", [{"name": "a"}, {"name": "b", "color": 5}, {"name": "c"}]),
    ],
)  # fmt: skip
def test_what_a_package_cannot_say_is_told_of_the_configuration(dataset, config, tmp_path, capsys, entry, value):
    settings = {**json.loads(config.read_text()), "description": "", entry: value}
    config.write_text(json.dumps(settings))
    assert main(["train", str(dataset), "-c", str(config), "-o", str(tmp_path / "model")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"configuration {config}: " in line and "install the model again" not in line
