"""The text that support asks for: what was run, where, and what came of it."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Sequence

from medsegdiff import __version__
from medsegdiff.errors import Cancelled

PACKAGES = ("torch", "monai", "safetensors", "numpy", "SimpleITK", "vtk")
REPORTED = (
    "model", "model_sha256", "device", "precision", "seconds", "peak_memory_bytes", "network_evaluations", "warnings",
)  # fmt: skip


def log_text(
    application: str, call: str, outcome: str, worker_lines: Sequence[str] = (), device: str = "", told: str = ""
) -> str:
    """The log of the last run.

    application: name, version and revision of Slicer.  call: the run as Python.  outcome: see outcome_of, outcomes_of.
    worker_lines: the last ones that the worker printed.  device: what the panel says of the GPU.  told: the last error
    that the panel showed.
    """
    sections = [
        ("versions", _versions(application)),
        ("device", device or "not asked"),
        ("run", call.strip()),
        ("outcome", outcome),
        ("last error shown", told or "none"),
        ("worker's last lines", "\n".join(worker_lines).strip() or "none"),
    ]
    return "\n\n".join(f"# {title}\n{text}" for title, text in sections) + "\n"


def outcome_of(job=None) -> str:
    """What came of a SegmentationJob, or that there is none."""
    if job is None:
        return "not started, or no run of the panel's own: a review of the effect, a saved scene"
    if isinstance(job.error, Cancelled):
        return "cancelled"
    if job.error is not None:
        return f"failed: {job.error}"
    if job.result is None:
        return "running"
    report = {key: job.result.report[key] for key in REPORTED if key in job.result.report}
    return f"done in {job.seconds:.1f} s\n{json.dumps(report, indent=1, default=str)}"


def outcomes_of(cases: Sequence) -> str:
    """What came of the cases of a batch, a line each."""
    return "\n".join(f"{case.name}: {case.state}{f' ({case.error})' if case.error else ''}" for case in cases)


def _versions(application: str) -> str:
    lines = [application, f"MedSegDiff {__version__}", f"Python {platform.python_version()}", platform.platform()]
    for name in PACKAGES:
        try:
            lines.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{name} is not installed")
    return "\n".join(lines)
