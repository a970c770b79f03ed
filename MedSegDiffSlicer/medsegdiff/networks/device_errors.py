"""What PyTorch means by the errors that it raises."""

from __future__ import annotations

import re

import torch

# What torch says on GPUs, of the CPU on Linux and on Windows, and for C++; oneDNN ("could not create a primitive
# descriptor" is another matter); CUDA's libraries; MPS; ONNX's runtime.
_NO_MEMORY = re.compile(
    r"out of memory|can't allocate memory|not enough memory|bad_alloc"
    r"|could not create a (primitive$|memory object)"
    r"|cu\w+_alloc_failed|cublas_status_not_initialized"
    r"|invalid buffer size|failed to allocate memory",
    re.IGNORECASE | re.MULTILINE,
)


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out: Python's own error, or one of torch's (CUDA, MPS, and the CPU's, which has no type)."""
    return isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)) is not None


def lacks_operation(error: Exception, device: torch.device) -> bool:
    """Whether PyTorch has no such operation on this device, or none of that number type, which happens on MPS."""
    said = isinstance(error, NotImplementedError) or "supported on mps" in str(error).lower()
    return said and device.type == "mps"
