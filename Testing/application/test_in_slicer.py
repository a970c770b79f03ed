"""Starts the real Slicer ($SLICER_EXECUTABLE), without a display, to run the tests of Testing/Python in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "Testing" / "Python"


@pytest.fixture(scope="module")
def slicer_command() -> list[str]:
    """How Slicer is started; skips where it is not at hand."""
    executable = os.environ.get("SLICER_EXECUTABLE")
    if not executable:
        pytest.skip("SLICER_EXECUTABLE is not set; set it to the Slicer application to run the tests in it")
    needs_display = not os.environ.get("DISPLAY") and shutil.which("xvfb-run")
    virtual = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24"] if needs_display else []
    paths = ["--additional-module-paths", str(ROOT / "MedSegDiffSlicer")]
    return [*virtual, executable, "--no-splash", "--testing", "--ignore-slicerrc", *paths]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.stem for path in TESTS.glob("*Test.py")))
def test_in_the_application(slicer_command, name, tmp_path):
    code = f"import slicer.testing; slicer.testing.runUnitTest([{str(TESTS)!r}], {name!r})"
    screenshots = os.environ.get("MEDSEGDIFF_SCREENSHOTS", str(tmp_path))
    # On Linux, Slicer lowers the priority of its GUI and its children as that of its background threads.
    environment = dict(os.environ, MEDSEGDIFF_SCREENSHOTS=screenshots, SLICER_BACKGROUND_THREAD_PRIORITY="0")
    done = subprocess.run(
        [*slicer_command, "--python-code", code], env=environment, capture_output=True, text=True, timeout=900
    )
    for line in done.stdout.splitlines():
        if "MEASURED" in line:
            print(line)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    output = done.stdout + done.stderr
    assert re.search(r"^Ran [1-9]\d* tests? in", output, re.MULTILINE), "no test was run: " + output[-6000:]
    assert re.search(r"^OK\b", output, re.MULTILINE), output[-6000:]
