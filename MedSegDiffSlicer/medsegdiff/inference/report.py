"""The report of a run, as plain data."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from .. import __version__
from .request import SegmentRequest


def make_report(request: SegmentRequest, model, plan, opinions, seconds: dict, warnings: list[str]) -> dict:
    """The entries of CONTRACT's report but for `inputs` (the caller knows them) and `segments` (the result knows them)."""
    return {
        "model": model.package.name,
        "model_sha256": model.package.weights_sha256,
        "version": __version__,
        "seed": plan.seed,
        "sampler": plan.sampler if model.diffusion else None,
        "steps": plan.steps if model.diffusion else None,
        "eta": plan.eta if model.diffusion else None,
        "truncation": plan.truncation if model.diffusion else None,
        "guess": request.guess,
        "samples": plan.samples,
        "fusion": request.fusion,
        "threshold": request.threshold,
        "tta": len(plan.variants) > 1,
        "network_evaluations": opinions.network_evaluations,
        "device": ", ".join(_device_name(device) for device in model.devices),
        "precision": str(model.precision).removeprefix("torch."),
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "peak_memory_bytes": peak_memory(model.devices),
        "inputs": [],
        "warnings": warnings,
    }


def _device_name(device: torch.device) -> str:
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def reset_peak_memory(devices: tuple[torch.device, ...]) -> None:
    """Begins a new peak on GPUs (that of a process cannot be reset)."""
    for device in devices:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)


def peak_memory(devices: tuple[torch.device, ...]) -> int | None:
    """Peak bytes: of the fullest GPU during the run where it ran there, else of this process since its start, resident;
    None where it cannot be told."""
    if devices[0].type == "cuda":
        return max(int(torch.cuda.max_memory_allocated(device)) for device in devices)
    if sys.platform == "win32":
        return None
    if sys.platform == "linux":  # whose getrusage begins at the peak of the process that started this one
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), None)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
