"""The files that CMake installs, as MedSegDiffSlicer/CMakeLists.txt lists them."""

from __future__ import annotations

import re
from pathlib import Path

MODULE = Path(__file__).resolve().parents[2] / "MedSegDiffSlicer"
SCRIPTS = ("MODULE_PYTHON_SCRIPTS", "EFFECT_PYTHON_SCRIPTS")
RESOURCES = ("MODULE_PYTHON_RESOURCES", "EFFECT_PYTHON_RESOURCES")
SHIPPED = "MODULE_SHIPPED_FILES"  # below the project's Resources; they go to medsegdiff/shipped


def cmake_list(name: str) -> list[str]:
    """The entries of set(name ...), one of the above."""
    text = (MODULE / "CMakeLists.txt").read_text()
    entries = re.search(rf"^set\({name}\n(.*?)\)", text, re.MULTILINE | re.DOTALL).group(1).split()
    return [entry.replace("${MODULE_NAME}", "MedSegDiffSlicer") for entry in entries]
