"""The command line with several models, variants, dropout and an early stop."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from medsegdiff.cli.main import main
from medsegdiff.cli.options import join_lists
from medsegdiff.image import write_volume
from medsegdiff.models.package import Label
from tiny_models import NETWORKS, write_tiny_model


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, str]:
    """Folders of models, by name."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny_model(folder / "diffusion")
    write_tiny_model(folder / "plain", "unet", {**NETWORKS["unet"], "dropout": 0.3})
    other = tuple(Label(i, name) for i, name in enumerate(("background", "one", "three")))
    write_tiny_model(folder / "stranger", "unet", labels=other)
    return {path.name: str(path) for path in folder.iterdir()}


@pytest.fixture
def scan(tmp_path: Path) -> str:
    """A small volume of noise, alone in its folder."""
    path = tmp_path / "scans" / "scan.nii.gz"
    path.parent.mkdir()
    write_volume(path, np.random.default_rng(0).normal(100, 20, (16, 18, 14)).astype(np.float32), np.eye(4))
    return str(path)


def run(tmp_path: Path, *arguments: str) -> dict:
    """The report of a segmentation that succeeded."""
    assert main(["segment", *arguments, "-o", str(tmp_path / "o.nrrd"), "--report", str(tmp_path / "r.json")]) == 0
    return json.loads((tmp_path / "r.json").read_text())


def test_lists_of_options_end_where_inputs_begin():
    given = "segment --samples 8 4 a.nii -m A --weights 0.7 .3 --variants mirror rotation b.nii --seed 3 4"
    assert join_lists(given.split()) == [
        "segment", "--samples", "8,4", "a.nii", "-m", "A", "--weights", "0.7,.3", "--variants", "mirror,rotation",
        "b.nii", "--seed", "3", "4",
    ]  # fmt: skip
    assert join_lists(["--samples", "--weights", "quality", "8"]) == ["--samples", "--weights", "quality", "8"]


def test_lists_leave_files_to_the_inputs(tmp_path, monkeypatch):
    """A folder of DICOM files may have a number for its name."""
    monkeypatch.chdir(tmp_path)
    for name in ("8", "1001", "mirror"):
        (tmp_path / name).mkdir()
    assert join_lists(["--samples", "8", "4", "1001"]) == ["--samples", "8,4", "1001"]
    assert join_lists(["--samples", "8", "1001", "4"]) == ["--samples", "8", "1001", "4"]
    window = "-175,250,-175,425"
    assert join_lists(["--normalization", window, "--modality", "CT"])[0] == f"--normalization={window}"
    assert join_lists(["--normalization", "--modality", "CT"]) == ["--normalization", "--modality", "CT"]
    assert join_lists(["--variants", "rotation", "mirror"]) == ["--variants", "rotation", "mirror"]


def test_two_models(tmp_path, scan, models, capsys):
    """Options before the input, too."""
    report = run(tmp_path, "--samples", "3", "2", scan, "-m", models["diffusion"], "-m", models["plain"],
                 "--weights", "3", "1", "--variants", "mirror", "intensity")  # fmt: skip
    printed = capsys.readouterr()
    assert (
        "opinions: diffusion 3, plain 2\n" in printed.out and "these models together are not calibrated" in printed.err
    )
    assert [(told["samples"], told["weight"]) for told in report["models"]] == [(3, 0.75), (2, 0.25)]
    assert report["request"]["others"] == [models["plain"]] and report["request"]["variants"] == ["mirror", "intensity"]


def test_early_stop_is_told(tmp_path, scan, models, capsys):
    report = run(tmp_path, scan, "-m", models["plain"], "--mc-dropout", "--samples", "50", "--settle", "0.2")
    assert f"opinions: plain {report['samples']} of 50 (settled)" in capsys.readouterr().out
    run(tmp_path, scan, "-m", models["plain"])
    assert "opinions" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "about"),
    [(["-m", "stranger"], "their labels differ"), (["-m", "nowhere"], "'nowhere' is not known"),
     (["-m", "diffusion"], "named twice"), (["--samples", "1", "2"], "one for each of 1"),
     (["--samples", "1,x"], "no number"), (["--weights", "best"], "no number"),
     (["--variants", "mirror", "--tta"], "one of them"), (["--variants", "flip"], "flip"),
     (["--mc-dropout"], "has none"), (["-m", "plain", "--weights", "quality"], "no Dice of validation")],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(tmp_path, scan, models, capsys, options, about):
    options = [models.get(option, option) for option in options]
    try:
        status = main(["segment", scan, "-m", models["diffusion"], "-o", str(tmp_path / "o.nrrd"), *options])
    except SystemExit as end:  # argparse
        status = end.code
    lines = capsys.readouterr().err.splitlines()
    assert status == 2 and len(lines) == 1 and about in lines[0], lines
    assert not (tmp_path / "o.nrrd").exists()


def test_batch_of_several_models_goes_on_where_it_stopped(tmp_path, scan, models, capsys):
    command = ["batch", str(Path(scan).parent), "-m", models["diffusion"], "-m", models["plain"],
               "-o", str(tmp_path / "out"), "--samples", "2", "--steps", "1"]  # fmt: skip
    settle = ["--settle", "0.3"]
    early = "(opinions: diffusion 2, "
    anew = f"done, instead of an earlier result {early}"
    for more, status in (([], "done\n"), ([], "kept\n"), (settle, anew), (settle, f"kept {early}")):
        assert main([*command, *more]) == 0
        assert f"scan: {status}" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "out" / "scan.json").read_text())["models"]) == 2
