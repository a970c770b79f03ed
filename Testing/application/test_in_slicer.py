"""Starts the real Slicer ($SLICER_EXECUTABLE), without a display, to run the tests of Testing/Python in it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cmake_lists import MODULE, RESOURCES, SCRIPTS, SHIPPED, cmake_list

TESTS = MODULE.parent / "Testing" / "Python"


@pytest.fixture(scope="module")
def slicer_command() -> list[str]:
    """How Slicer is started; skips where it is not at hand."""
    executable = os.environ.get("SLICER_EXECUTABLE")
    if not executable:
        pytest.skip("SLICER_EXECUTABLE is not set; set it to the Slicer application to run the tests in it")
    needs_display = not os.environ.get("DISPLAY") and shutil.which("xvfb-run")
    virtual = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24"] if needs_display else []
    return [*virtual, executable, "--no-splash", "--testing", "--ignore-slicerrc", "--additional-module-paths"]


@pytest.fixture
def installed(tmp_path) -> Path:
    """A folder with the files that CMake installs, and no others, as they lie in an installed extension."""
    folder = tmp_path / "qt-scripted-modules"
    files = {folder / name: MODULE / name for kind in (*SCRIPTS, *RESOURCES) for name in cmake_list(kind)}
    files |= {folder / "medsegdiff/shipped" / name: MODULE.parent / "Resources" / name for name in cmake_list(SHIPPED)}
    for target, source in files.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.stem for path in TESTS.glob("*Test.py")))
def test_in_the_application(slicer_command, name, tmp_path):
    assert trouble(run_in_slicer([*slicer_command, str(MODULE)], name, tmp_path)) == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MedSegDiffConsoleTest", "MedSegDiffEffectTest", "MedSegDiffReviewTest"])
def test_with_the_files_that_cmake_installs(slicer_command, installed, name, tmp_path):
    assert trouble(run_in_slicer([*slicer_command, str(installed)], name, tmp_path)) == ""


def test_an_application_that_hangs_is_ended_with_what_it_started(tmp_path):
    lived_on = tmp_path / "lived on"
    child = f"echo begun; (sleep 2; touch '{lived_on}') & wait"
    done = ended_in_time(["sh", "-c", child], dict(os.environ), seconds=1)
    assert done.returncode == 124 and "begun" in trouble(done)
    time.sleep(2)
    assert not lived_on.exists()


def run_in_slicer(command: list[str], name: str, tmp_path: Path) -> subprocess.CompletedProcess:
    """Runs the tests of one file; screenshots go to a folder of their own unless one is set."""
    code = f"import slicer.testing; slicer.testing.runUnitTest([{str(TESTS)!r}], {name!r})"
    screenshots = os.environ.get("MEDSEGDIFF_SCREENSHOTS", str(tmp_path))
    # On Linux, Slicer lowers the priority of its GUI and its children as that of its background threads.
    environment = dict(os.environ, MEDSEGDIFF_SCREENSHOTS=screenshots, SLICER_BACKGROUND_THREAD_PRIORITY="0")
    done = ended_in_time([*command, "--python-code", code], environment)
    for line in done.stdout.splitlines():
        if "MEASURED" in line:
            print(line)
    return done


def ended_in_time(command: list[str], environment: dict, seconds: float = 900) -> subprocess.CompletedProcess:
    """Runs a command; one that takes longer is killed with all that it started, with exit status 124."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    status = None
    try:
        printed = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        printed, status = process.communicate(), 124
    return subprocess.CompletedProcess(command, process.returncode if status is None else status, *printed)


def trouble(done: subprocess.CompletedProcess) -> str:
    """What a run printed last where not all went well, or no test was run; else empty."""
    output = done.stdout + done.stderr
    ran, fine = (re.search(words, output, re.MULTILINE) for words in (r"^Ran [1-9]\d* tests? in", r"^OK\b"))
    well = done.returncode == 0 and ran and fine
    return "" if well else f"exit status {done.returncode}\n{done.stdout[-6000:]}{done.stderr[-6000:]}"
