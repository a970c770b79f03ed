"""The installed package holds what the checkout holds."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from medsegdiff.models.package import CONFIG, load_package

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # comes with pytest


@pytest.fixture
def settings(project_root: Path) -> dict:
    """pyproject.toml."""
    return tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_room_is_packaged(settings: dict, project_root: Path):
    source = project_root / "MedSegDiffSlicer"
    folders = {path.parent for path in (source / "medsegdiff").rglob("*.py")}
    rooms = {".".join(folder.relative_to(source).parts) for folder in folders}
    assert set(settings["tool"]["setuptools"]["packages"]) == rooms | {"medsegdiff.shipped"}


def test_shipped_files_are_packaged(settings: dict, project_root: Path):
    resources = project_root / "Resources"
    packaged = {path for pattern in settings["tool"]["setuptools"]["package-data"]["medsegdiff.shipped"]
                for path in resources.glob(pattern) if path.is_file()}  # fmt: skip
    wanted = {path for folder in ("Models", "SampleData", "Training") for path in (resources / folder).rglob("*")
              if path.is_file()}  # fmt: skip
    assert wanted == packaged and len(wanted) > 5


def test_every_licence_goes_along(settings: dict, project_root: Path):
    project = settings["project"]
    named = {path for pattern in project["license-files"] for path in project_root.glob(pattern)}
    assert named == {project_root / "LICENSE", *(project_root / "Resources").rglob("LICENSE*")}
    packages = (project_root / "Resources/Models").glob(f"*/{CONFIG}")
    weights = {load_package(path.parents[1]).licence for path in packages}
    assert set(project["license"].split(" AND ")) == {"Apache-2.0", "LicenseRef-ICBM152", *weights}


def test_every_dependency_has_a_tested_version(settings: dict, project_root: Path):
    project = settings["project"]
    constraints = (project_root / "Testing" / "constraints.txt").read_text(encoding="utf-8")
    pinned = {line.split("==")[0].lower() for line in constraints.splitlines() if "==" in line}
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
        name = re.match(r"[\w-]+", requirement).group().lower()
        assert name in pinned, requirement
