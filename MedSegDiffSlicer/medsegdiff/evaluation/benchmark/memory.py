"""Peak memory of a segmentation, in a process of its own so that nothing else counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import JobError

_PACKAGE_FOLDER = Path(__file__).resolve().parents[3]


def peak_memory_of(scan: Path, model: str, options: Mapping[str, Any], device: str, folder: Path) -> int | None:
    """Bytes at the peak of `medsegdiff segment` on a scan: of the process, resident, or of the GPU on CUDA.

    model: name or folder.  options: of the SegmentRequest.  folder: for the files it writes.
    None where the system does not tell. Raises JobError where it fails.
    """
    report = folder / "report.json"
    command = [sys.executable, "-m", "medsegdiff", "segment", str(scan), "-m", model, "-o", str(folder / "out.nii.gz"),
               "--report", str(report), "--quiet", "--device", device, *arguments(options)]  # fmt: skip
    path = os.pathsep.join(filter(None, (str(_PACKAGE_FOLDER), os.environ.get("PYTHONPATH", ""))))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise JobError(f"measuring memory failed: {last}; run this again")
    return json.loads(report.read_text(encoding="utf-8"))["peak_memory_bytes"]


def arguments(options: Mapping[str, Any]) -> list[str]:
    """The options of a SegmentRequest as those of the command line."""
    result = []
    for name, value in options.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            result.append(f"--{option}" if value else f"--no-{option}")
        else:
            result += [f"--{option}", str(value)]
    return result
