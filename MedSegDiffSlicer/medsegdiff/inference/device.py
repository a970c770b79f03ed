"""Where and how precisely networks run."""

from __future__ import annotations

import ctypes
import sys

import torch

from ..errors import RequestError


def choose_device(name: str) -> torch.device:
    """The torch device for auto, cpu, cuda, cuda:<i> or mps. Raises RequestError where that one is not there."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if index and not index.isdigit():
            raise RequestError(f"device '{name}' is unknown; use cuda:<number>")
        if int(index or 0) >= count:
            why = "this PyTorch is a CPU build" if torch.version.cuda is None else f"{count} CUDA device(s) found"
            raise RequestError(f"device '{name}' is not available ({why}); use --device cpu or auto")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise RequestError("device 'mps' is not available here; use --device cpu or auto")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The number type of the network's arithmetic; auto is float32 on CPU and MPS, bfloat16 or float16 on CUDA."""
    if name == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if name == "fp16" and device.type == "cpu":
        raise RequestError("fp16 is slow and unsafe on a CPU; use --precision fp32 or bf16")
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out: Python's own error, or one of torch's (CUDA, MPS, and the CPU's, which has no type)."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def tune_allocator() -> None:
    """Lets glibc keep freed memory instead of giving it back after each layer (1.6 - 2 times faster on CPU)."""
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(-4, 0)  # M_MMAP_MAX
    mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
