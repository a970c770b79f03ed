"""The machine and the versions that figures were measured with."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ... import __version__


def describe_machine() -> dict[str, Any]:
    """`cpu` (its name), `cores` (that this process may use), `threads` (of torch), `gpus` (names), `system` and
    `versions`."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return {
        "cpu": _cpu_name(),
        "cores": _usable_cores(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(gpus)],
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {
            "medsegdiff": __version__, "torch": torch.__version__, "monai": metadata.version("monai"),
            "python": platform.python_version(),
        },
    }  # fmt: skip


def _usable_cores() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _cpu_name() -> str:
    name = ""
    if sys.platform.startswith("linux"):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2] for line in lines if line.startswith("model name")), "")
    elif sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        name = subprocess.run(command, capture_output=True, text=True).stdout
    return name.strip() or platform.processor() or platform.machine()
