"""Models are imported by a process of their own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from medsegdiff.errors import RequestError
from MedSegDiffSlicerLib.setup.model_import import import_model

MODEL = Path(__file__).resolve().parents[2] / "Resources" / "Models" / "hippocampus-unet"


def test_a_model_is_taken_into_the_store(tmp_path, monkeypatch):
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    turns = []
    package = import_model(sys.executable, MODEL, lambda: turns.append(1))
    assert package.name == MODEL.name and tmp_path in package.folder.parents and turns
    assert package.weights_sha256 and package.weights_path.is_file()


def test_what_is_no_model_is_refused_in_the_words_of_the_command_line(tmp_path):
    with pytest.raises(RequestError, match="^[^:]*nothing.zip.* neither a folder nor a .zip"):
        import_model(sys.executable, tmp_path / "nothing.zip", lambda: None)
