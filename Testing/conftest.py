"""Paths and fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The project's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the project; tests that need it skip where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real data folder {folder} is absent")
    return folder


@pytest.fixture(scope="session")
def subprocess_environment() -> dict[str, str]:
    """Environment in which another Python process finds this checkout's medsegdiff."""
    path = os.pathsep.join([str(ROOT / "MedSegDiffSlicer"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path}


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the model package "tiny": a small MedSegDiff with random weights, one channel, labels "one" and
    "two"."""
    from tiny_models import write_tiny_model

    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny").folder
