"""Where and how precisely networks run."""

from __future__ import annotations

from pathlib import Path

import torch

from ..errors import RequestError


def choose_devices(name: str) -> list[torch.device]:
    """Torch devices for auto, cpu, cuda, cuda:<i> or mps: one, but for auto all CUDA devices of the first one's kind.

    Raises RequestError where that one is not there.
    """
    if name != "auto":
        return [_named(name)]
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
        return [torch.device("cuda", n) for n, name in enumerate(names) if name == names[0]]
    return [torch.device("mps" if _has_mps() else "cpu")]


def _named(name: str) -> torch.device:
    kind, _, index = name.partition(":")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if index and not index.isdigit():
            raise RequestError(f"device '{name}' is unknown; use cuda:<number>")
        if int(index or 0) >= count:
            why = "this PyTorch is a CPU build" if torch.version.cuda is None else f"{count} CUDA device(s) found"
            raise RequestError(f"device '{name}' is not available ({why}); use --device cpu or auto")
        return torch.device("cuda", int(index or 0))
    if kind == "mps" and not _has_mps():
        raise RequestError("device 'mps' is not available (it takes a Mac and PyTorch 2.5); use --device cpu or auto")
    return torch.device(name)


def _has_mps() -> bool:
    """Whether networks run on MPS, autocast included, which came with PyTorch 2.5."""
    return torch.backends.mps.is_available() and torch.amp.is_autocast_available("mps")


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The number type of the network's arithmetic; auto is float32 on CPU and MPS, bfloat16 or float16 on CUDA."""
    if name == "auto":
        if device.type != "cuda":
            return torch.float32
        with torch.cuda.device(device):
            return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if name == "fp16" and device.type == "cpu":
        raise RequestError("fp16 is slow and unsafe on a CPU; use --precision fp32 or bf16")
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def forbid_tf32() -> None:
    """Makes cuDNN compute float32 as float32: by default it rounds to 10 bits of mantissa in convolutions."""
    torch.backends.cudnn.allow_tf32 = False


def tune_threads(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> None:
    """No more threads than a container's share of CPU time lets run at once, which PyTorch does not see.

    quota: the control group's file, "<microseconds or max> <period>" (cgroup v2).
    """
    try:
        allowed, period = quota.read_text(encoding="ascii").split()
    except (OSError, ValueError):  # no Linux, or no such limits
        return
    if allowed != "max":
        torch.set_num_threads(max(1, min(torch.get_num_threads(), round(int(allowed) / int(period)))))
