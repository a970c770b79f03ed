"""Networks as programs: TorchScript and ONNX, kept as bytes beside the weights of others."""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import JobError
from .device_errors import is_out_of_memory, lacks_operation

ROW = 1 << 16  # bytes; programs are kept in rows of as many


class BlackBox(nn.Module, ABC):
    """A program that turns images into logits; nothing is known of its inside, and it is not trained.

    rows, unused: its bytes are (rows, ROW) uint8, the last `unused` of which are none of it. They are the only
      "weight".
    image: (B, in_channels, *spatial) -> logits (B, out_channels, *spatial). Of a program with one output, the logit of
    the only structure (for a sigmoid), there are two: 0 for the background comes first.
    Raises JobError where the program cannot be run, or answers otherwise; RuntimeError or MemoryError where memory ran
    out, or the device lacks an operation.
    """

    diffusion = False

    def __init__(self, rows: int, unused: int, in_channels: int, out_channels: int, spatial_dims: int = 3):
        super().__init__()
        if not 0 <= unused < ROW or rows < 1 or spatial_dims not in (2, 3):
            raise ValueError(f"{rows} rows, {unused} bytes unused, {spatial_dims} dimensions cannot be")
        self.spatial_dims, self.in_channels, self.out_channels, self._unused = (
            spatial_dims,
            in_channels,
            out_channels,
            unused,
        )
        self.register_buffer("program", torch.zeros((rows, ROW), dtype=torch.uint8))
        self._run = _Started()

    def forward(self, image: Tensor) -> Tensor:
        try:
            if self._run.call is None:
                program = self.program.cpu().numpy().tobytes()
                self._run.call = self._start(program[: len(program) - self._unused], image.device)
            logits = self._run.call(image)
        except Exception as error:  # runtimes raise whatever they like
            if is_out_of_memory(error) or lacks_operation(error, image.device):
                raise error if isinstance(error, RuntimeError) else MemoryError(str(error)) from None
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise JobError(f"the program cannot be run: {said[-1]}") from None
        logits = logits[0] if isinstance(logits, (list, tuple)) else logits
        if isinstance(logits, Tensor) and logits.shape[1:2] == (1,) and self.out_channels == 2:
            logits = torch.cat([torch.zeros_like(logits), logits], 1)
        wanted = (len(image), self.out_channels, *image.shape[2:])
        if not isinstance(logits, Tensor) or tuple(logits.shape) != wanted:
            raise JobError(f"the program answers {tuple(getattr(logits, 'shape', ()))}, not {wanted}")
        return logits

    @abstractmethod
    def _start(self, program: bytes, device: torch.device) -> Callable[[Tensor], Tensor]:
        """The program, ready to be called with images on that device."""


class TorchScriptNetwork(BlackBox):
    """See BlackBox. TorchScript can write files: such models are for those who trust whoever made them."""

    def _start(self, program: bytes, device: torch.device) -> Callable[[Tensor], Tensor]:
        return torch.jit.load(io.BytesIO(program), map_location=device).eval()


class OnnxNetwork(BlackBox):
    """See BlackBox. Runs by onnxruntime, on the CPU. ONNX can loop and make arrays as it likes, and nothing but the end
    of the process ends that: such models, too, are for those who trust whoever made them."""

    def _start(self, program: bytes, device: torch.device) -> Callable[[Tensor], Tensor]:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else it writes files at home, and calls its maker
        try:
            import onnxruntime
        except ImportError:
            raise JobError("onnxruntime is missing; install it with 'pip install onnxruntime'") from None
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what is wrong is raised, too
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(program, options, providers=["CPUExecutionProvider"])
        first = session.get_inputs()[0].name

        def run(image: Tensor) -> Tensor:
            feed: Mapping[str, np.ndarray] = {first: np.ascontiguousarray(image.float().cpu().numpy())}
            return torch.from_numpy(session.run(None, feed)[0]).to(image.device)

        return run


class _Started:
    """A program in memory; a copy starts it anew."""

    def __init__(self) -> None:
        self.call: Callable[[Tensor], Tensor] | None = None

    def __deepcopy__(self, memo: dict) -> _Started:
        return _Started()


def as_rows(program: bytes) -> tuple[Tensor, int]:
    """(rows, ROW) uint8 of a program's bytes, and how many at the end are none of it."""
    rows = max(1, -(-len(program) // ROW))
    array = np.zeros(rows * ROW, np.uint8)
    array[: len(program)] = np.frombuffer(program, np.uint8)
    return torch.from_numpy(array.reshape(rows, ROW)), rows * ROW - len(program)
