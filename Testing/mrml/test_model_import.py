"""Models are imported by a process of their own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from medsegdiff.errors import RequestError
from MedSegDiffSlicerLib.setup import model_import
from MedSegDiffSlicerLib.setup.model_import import import_model

MODEL = Path(__file__).resolve().parents[2] / "Resources" / "Models" / "hippocampus-unet"


def test_a_model_is_taken_into_the_store(tmp_path, monkeypatch):
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    turns = []
    package = import_model(sys.executable, MODEL, lambda: turns.append(1))
    assert package.name == MODEL.name and tmp_path in package.folder.parents and turns
    assert package.weights_sha256 and package.weights_path.is_file()


@pytest.mark.parametrize(
    ("told", "name"),
    [
        (["{", f'"name": "{MODEL.name}"', "}"], MODEL.name),
        # after its members
        ([f'[{{"name": "{MODEL.name}"}},', '{"name": "hippocampus-ensemble"}]'], "hippocampus-ensemble"),
    ],
)
def test_what_torch_prints_before_is_not_taken_for_the_answer(monkeypatch, told, name):
    noise = "[W1122 00:10:29.123 NNPACK.cpp:61] Could not initialize NNPACK! Reason: Unsupported hardware."

    class Talkative:
        def __init__(self, _command, on_line, on_done, _environment):
            self._tell = lambda: [*map(on_line, (noise, *told)), on_done(0)]

        def pump(self):
            self._tell()

    monkeypatch.setattr(model_import, "Program", Talkative)
    assert import_model(sys.executable, MODEL, lambda: None).name == name


def test_options_are_those_of_the_command_line(tmp_path, monkeypatch):
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    (weights := tmp_path / "weights.pth").write_bytes(b"no weights")
    with pytest.raises(RequestError, match="'nothing' .* stu_net"):
        import_model(sys.executable, weights, lambda: None, ["--network", "nothing"])
    with pytest.raises(RequestError, match="--wheels"):
        import_model(sys.executable, weights, lambda: None, ["--wheels", "4"])


def test_what_is_no_model_is_refused_in_the_words_of_the_command_line(tmp_path):
    with pytest.raises(RequestError, match="^[^:]*nothing.zip.* neither a folder nor a .zip"):
        import_model(sys.executable, tmp_path / "nothing.zip", lambda: None)
