"""Real shortage of memory: a process that may have no more address space."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from tiny_models import write_tiny_model

pytest.importorskip("resource", reason="Windows sets no such limits")

# Its first run loads all libraries; the second one has little memory.
RUN = """
import resource, sys
from medsegdiff.cli.main import main
model, folder, room = sys.argv[1:]
def run(image, name):
    image, output = f"{folder}/{image}.nii.gz", f"{folder}/{name}.nii.gz"
    return main(["segment", image, "-m", model, "-o", output, "--device", "cpu", "--quiet"])
assert run("small", "first") == 0
with open("/proc/self/statm") as status:
    used = int(status.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(room) * 2**20,) * 2)
sys.exit(run("large", "second"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="which tells its address space in /proc")
@pytest.mark.parametrize("room", [64, 128])
def test_shortage_ends_with_a_result_or_one_line(tmp_path, room):
    model = write_tiny_model(tmp_path / "tiny", "unet").folder
    for name, edge in (("small", 16), ("large", 144)):
        array = np.random.default_rng(0).normal(0, 1, (edge,) * 3).astype(np.float32)
        sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"{name}.nii.gz"))
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(model), str(tmp_path), str(room)], capture_output=True, text=True, timeout=120
    )
    assert (tmp_path / "first.nii.gz").is_file() and done.returncode in (0, 1), done.stderr
    assert (tmp_path / "second.nii.gz").is_file() == (done.returncode == 0)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
        assert len(lines) == 1 and lines[0].startswith("medsegdiff: memory ran out"), done.stderr
