"""The report of a run, as plain data."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from .. import __version__
from .asking import Answer
from .request import SegmentRequest
from .variants import Mirrored


def make_report(
    request: SegmentRequest, answers: list[Answer], shares: list[float], seconds: dict, warnings: list[str],
    ensemble: str | None,
) -> dict:  # fmt: skip
    """The entries of CONTRACT's report but for `inputs` (the caller knows them) and `segments` (the result knows them).

    What depends on the model is told of the first one; `models` tells it of each; `samples` and `network_evaluations`
    count all.  ensemble: the name under which they were asked; None for none.
    """
    first, devices = answers[0], tuple(dict.fromkeys(d for answer in answers for d in answer.model.devices))
    return {
        "model": first.model.package.name,
        "model_sha256": first.model.package.weights_sha256,
        "ensemble": ensemble,
        "models": [describe_answer(answer, share) for answer, share in zip(answers, shares)],
        "version": __version__,
        "seed": first.plan.seed,
        **_sampling(first),
        "guess": request.guess,
        "samples": sum(answer.samples for answer in answers),
        "fusion": request.fusion,
        "threshold": request.threshold,
        "tta": any(isinstance(x, Mirrored) for answer in answers for x in answer.plan.variants),
        "settle": request.settle,
        "missing": list(request.missing),
        "network_evaluations": sum(answer.opinions.network_evaluations for answer in answers),
        "device": ", ".join(_device_name(device) for device in first.opinions.devices),
        "precision": str(first.model.precision).removeprefix("torch."),
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "peak_memory_bytes": peak_memory(devices),
        "inputs": [],
        "warnings": warnings,
    }


def describe_answer(answer: Answer, share: float) -> dict:
    """A model's entry of the report's `models`.

    samples: opinions given.  samples_asked: at most.  weight: of all its opinions together; 1 over all models.
    tile: the one used, in voxels along each axis; None where the image was not cut.
    """
    return {
        "name": answer.model.package.name,
        "sha256": answer.model.package.weights_sha256,
        "samples": answer.samples,
        "samples_asked": answer.plan.samples,
        "settled": answer.settled,
        "weight": round(share, 6),
        "variants": [variant.name for variant in answer.plan.variants],
        "dropout": answer.plan.dropout,
        "tile": None if answer.tile is None else list(answer.tile),
        **_sampling(answer),
    }


def _sampling(answer: Answer) -> dict:
    plan, names = answer.plan, ("sampler", "steps", "eta", "truncation")
    told = {name: getattr(plan, name) if answer.model.diffusion else None for name in names}
    return told if plan.sampler == "ddim" else {**told, "eta": None}  # the only sampler that has it


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
    if gpus := [device for device in devices if device.type == "cuda"]:
        return max(int(torch.cuda.max_memory_allocated(device)) for device in gpus)
    if sys.platform == "win32":
        return None
    if sys.platform == "linux":  # whose getrusage begins at the peak of the process that started this one
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), None)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
