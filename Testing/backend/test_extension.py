"""What is in the tree is what an installed extension has, and the three descriptions of the extension agree."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from cmake_lists import MODULE, RESOURCES, SCRIPTS, SHIPPED, cmake_list

ROOT = MODULE.parent
# What Slicer's schema 1.0.2 for catalog entries says of each property: type, and which are required.
SCHEMA = {
    "type": "object",
    "required": ["$schema", "category", "scm_url"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string"},
        "category": {"type": "string"},
        "scm_url": {"type": "string"},
        "scm_revision": {"type": "string"},
        "scm_type": {"type": "string", "enum": ["git", "local"]},
        "build_dependencies": {"type": "array", "items": {"type": "string"}},
        "dicom_support_rule": {"type": "string"},
        "build_subdirectory": {"type": "string"},
        "enabled": {"type": "boolean"},
        "tier": {"type": "integer", "minimum": 1, "maximum": 5},
    },
}


def tracked_or_new(*folders: Path) -> set[Path]:
    """Files below the folders that git tracks or would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *map(str, folders)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return {path for name in done.stdout.split("\0") if name and (path := ROOT / name).exists()}


@pytest.mark.parametrize(
    ("names", "base", "folders", "is_script"),
    [
        (SCRIPTS, MODULE, [MODULE], True),
        (RESOURCES, MODULE, [MODULE], False),
        ([SHIPPED], ROOT / "Resources", [ROOT / "Resources/Models", ROOT / "Resources/SampleData"], None),
    ],
)
def test_cmake_lists_exactly_the_files_of_the_tree(names, base, folders, is_script):
    listed = [entry for name in names for entry in cmake_list(name)]
    files = tracked_or_new(*folders) - {MODULE / "CMakeLists.txt"}
    expected = {p.relative_to(base).as_posix() for p in files if is_script is None or (p.suffix == ".py") == is_script}
    assert sorted(set(listed)) == sorted(listed), "a file is listed twice"
    assert sorted(expected - set(listed)) == [], "not listed in MedSegDiffSlicer/CMakeLists.txt"
    assert sorted(set(listed) - expected) == [], "listed in MedSegDiffSlicer/CMakeLists.txt, but not in the tree"


def test_all_python_tests_are_registered():
    text = (ROOT / "Testing/Python/CMakeLists.txt").read_text()
    listed = re.findall(r"slicer_add_python_unittest\(SCRIPT (\S+)\)", text)
    assert sorted(listed) == sorted(p.name for p in (ROOT / "Testing/Python").glob("*Test.py"))
    assert listed


def cmake_facts() -> dict[str, str]:
    text = (ROOT / "CMakeLists.txt").read_text()
    return dict(re.findall(r'^set\(EXTENSION_(\w+) "([^"\n]*)"\)$', text, re.MULTILINE))


def s4ext_facts() -> dict[str, str]:
    lines = (ROOT / "MedSegDiffSlicer.s4ext").read_text().splitlines()
    pairs = (line.partition(" ") for line in lines if line and not line.startswith("#"))
    return {key: value.strip() for key, _, value in pairs}


def test_index_file_fits_the_schema():
    jsonschema = pytest.importorskip("jsonschema")
    entry = json.loads((ROOT / "MedSegDiffSlicer.json").read_text())
    jsonschema.validate(entry, SCHEMA)
    assert re.fullmatch(r"https://\S+/slicer-extension-catalog-entry-schema-v1\.0\.2\.json#", entry["$schema"])


def test_descriptions_agree():
    entry, cmake, s4ext = json.loads((ROOT / "MedSegDiffSlicer.json").read_text()), cmake_facts(), s4ext_facts()
    for key in ("homepage", "contributors", "category", "iconurl", "description", "screenshoturls", "depends"):
        assert s4ext[key] == cmake[key.upper()], key
    assert entry["category"] == cmake["CATEGORY"]
    assert entry["build_dependencies"] == cmake["DEPENDS"].split()
    assert (entry["scm_url"], entry["scm_revision"]) == (s4ext["scmurl"], s4ext["scmrevision"])
    assert re.search(r"^project\(MedSegDiffSlicer\)$", (ROOT / "CMakeLists.txt").read_text(), re.MULTILINE)


def test_pictures_that_the_description_names_are_in_the_tree():
    facts = cmake_facts()
    for url in [facts["ICONURL"], *facts["SCREENSHOTURLS"].split()]:
        path = ROOT / url.partition("/main/")[2]
        assert path.suffix in (".png", ".jpg") and path.is_file(), url


def test_icon_is_square_and_128_pixels_wide():
    from PIL import Image

    with Image.open(ROOT / "MedSegDiffSlicer/Resources/Icons/MedSegDiffSlicer.png") as icon:
        assert icon.size == (128, 128) and icon.mode == "RGBA"


def test_licence_is_apache_2():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text and "Version 2.0, January 2004" in text and "END OF TERMS AND CONDITIONS" in text
