"""Commands whose stdout or stderr leads to nobody, and what else the shell can do to a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from medsegdiff.cli.outputs import Outputs

PACKAGE = Path(__file__).resolve().parents[2] / "MedSegDiffSlicer"
SCAN = Path(__file__).resolve().parents[2] / "Resources/SampleData/ICBM152_hippocampus_left.nii.gz"
COMMAND = f"{sys.executable} -m medsegdiff"
posix = pytest.mark.skipif(os.name != "posix", reason="shells of Linux and macOS")


def shell(line: str, folder: Path, **variables: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), **variables}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip


@posix
@pytest.mark.parametrize("reader", ["| head -0", "2>&1 | true", ">&-", "2>&-", ">&- 2>&-"])
def test_work_is_done_where_nobody_reads(tmp_path, reader):
    (tmp_path / "scans").mkdir()
    for name in ("a", "b"):
        (tmp_path / f"scans/{name}.nii.gz").symlink_to(SCAN)
    done = shell(f"{COMMAND} batch scans -m hippocampus-unet -o out --samples 1 --no-tta {reader}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert {"a.nii.gz", "b.nii.gz", "cases.csv"} <= {path.name for path in (tmp_path / "out").iterdir()}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_summary_without_room_is_told_when_the_work_is_done(tmp_path):
    done = shell(f"{COMMAND} segment {SCAN} -m hippocampus-unet -o out.nii.gz >/dev/full", tmp_path)
    assert done.returncode == 1 and "No space left" in done.stderr and (tmp_path / "out.nii.gz").is_file()


@posix
def test_two_runs_may_write_into_one_folder(tmp_path):
    with Outputs() as one, Outputs() as other:
        for outputs, name in ((one, "a"), (other, "b")):
            outputs.path(tmp_path / f"{name}.json").write_text(name)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.json": "a", "b.json": "b"}


@posix
def test_letters_that_an_encoding_lacks_cost_nothing(tmp_path):
    scan = tmp_path / "größe.nii.gz"
    scan.symlink_to(SCAN)
    line = f"{COMMAND} segment '{scan.name}' -m hippocampus-unet -o 'größe.nrrd'"
    done = shell(line, tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and "gr\\xf6\\xdfe.nrrd" in done.stdout


@posix
def test_name_that_is_no_text_is_told(tmp_path):
    name = os.fsdecode(b"B\344r.nii.gz")
    (tmp_path / name).symlink_to(SCAN)
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / name).symlink_to(SCAN)
    (tmp_path / "segmented").mkdir()
    (tmp_path / "segmented" / os.fsdecode(b"B\344r.seg.nrrd")).symlink_to(SCAN)
    for line in (
        "segment $'B\\344r.nii.gz' -m hippocampus-unet -o out.nii.gz",
        f"segment {SCAN} -m hippocampus-unet -o $'B\\344r.nrrd'",
        "batch scans -m hippocampus-unet -o out",
        f"evaluate --pred $'B\\344r.nii.gz' --ref {SCAN}",
        "evaluate --pred scans --ref scans",
        "evaluate --pred segmented --ref segmented",
    ):
        done = shell(f"{COMMAND} {line}", tmp_path)
        assert done.returncode == 2 and "rename" in done.stderr and done.stderr.count("\n") == 1, (line, done.stderr)


@posix
def test_empty_argument_is_not_the_folder_here(tmp_path):
    done = shell(f'{COMMAND} segment "$SCAN" -m hippocampus-unet -o out.nii.gz', tmp_path)
    assert done.returncode == 2 and "is a variable unset?" in done.stderr


@posix
def test_models_are_found_without_a_home(tmp_path):
    here = "import os; os.environ.pop('HOME', None); import pwd; pwd.getpwuid = lambda _: {}['nobody']"
    done = shell(f"{sys.executable} -c \"{here}; from medsegdiff.cli.main import main; main(['models', 'list'])\"",
                 tmp_path)  # fmt: skip
    assert done.returncode == 0 and "hippocampus-unet" in done.stdout, done.stderr


HANGS_UP = """
import os, signal
signal.signal(signal.SIGHUP, signal.{before})  # whatever these tests were started with
from medsegdiff.cli.interrupts import listen
from medsegdiff.cli.outputs import Outputs
listen()
with Outputs() as outputs:
    outputs.path("done.json").write_text("{{}}")
    os.kill(os.getpid(), signal.SIGHUP)
"""


@posix
@pytest.mark.parametrize(("before", "left"), [("SIG_DFL", []), ("SIG_IGN", ["done.json"])])
def test_closed_terminal_leaves_no_partial_file_unless_it_is_ignored(tmp_path, before, left):
    (tmp_path / "code").mkdir()
    (tmp_path / "code/hang_up.py").write_text(HANGS_UP.format(before=before))
    (tmp_path / "out").mkdir()
    done = shell(f"cd out; {sys.executable} ../code/hang_up.py", tmp_path)
    assert (done.returncode == 0) == bool(left)
    assert [path.name for path in (tmp_path / "out").iterdir()] == left
