"""The denoising step, as it is or recorded once and replayed: a GPU that replays does not wait for Python."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from ..networks.nested import each, for_samples, tensors_of

EAGER_CALLS = 8  # of one shape before it is recorded: a case of few steps would not win back what recording costs
KEPT_SHAPES = 16  # tiles of one cut come in two sizes along each axis, samples in full batches and a last one

Denoise = Callable[[Tensor, float], Any]
# record(call) -> (replay, out): `out` is where the call's answer lies after each replay().
Record = Callable[[Callable[[], Any]], tuple[Callable[[], None], Any]]


class EagerSteps:
    """Denoising steps that are called one by one.

    network: a diffusion network (see networks.registry).  warnings: what has to be said of how they run.
    """

    def __init__(self, network: nn.Module):
        self.network = network
        self.warnings: list[str] = []

    def of(self, condition: Any, samples: int) -> Denoise:
        """The network's `denoise` under one image's condition: of x_t (samples, M, ...) and one training step for
        all."""
        expanded = for_samples(condition, samples)
        return lambda x, t: self.network.denoise(x, torch.full((samples,), t, device=x.device), expanded)

    def clear(self) -> None:
        """Gives memory back."""


class RecordedSteps(EagerSteps):
    """Denoising steps that are recorded once for each shape and batch, and replayed for all further cases of these.

    record: see Record. What it cannot record runs one by one, and a warning says so. Answers are copies: threads may
    share the steps. Networks with `replayable = False`, such as draw at random within, are never recorded.
    """

    def __init__(self, network: nn.Module, record: Record):
        super().__init__(network)
        self._record, self._lock = record, Lock()
        self._calls: dict[tuple, int] = {}
        self._recordings: dict[tuple, _Recording | None] = {}

    def of(self, condition: Any, samples: int) -> Denoise:
        eager = super().of(condition, samples)
        if not getattr(self.network, "replayable", True):
            return eager
        shapes = tuple((x.shape, x.dtype) for x in tensors_of(condition))
        user = object()

        def denoise(x: Tensor, t: float):
            with self._lock:
                recording = self._recorded((x.shape, shapes), x, condition, samples)
                if recording is not None:
                    return recording(user, condition, x, t)
            return eager(x, t)

        return denoise

    def clear(self) -> None:
        with self._lock:
            self._calls.clear()
            self._recordings.clear()
            self.warnings.clear()

    def _recorded(self, key: tuple, x: Tensor, condition: Any, samples: int) -> _Recording | None:
        """The recording for a shape; None while it is too new, or where it cannot be made."""
        if key in self._recordings:
            return self._recordings[key]
        self._calls[key] = self._calls.get(key, 0) + 1
        if self._calls[key] <= EAGER_CALLS:
            return None
        while len(self._recordings) >= KEPT_SHAPES:
            del self._recordings[next(iter(self._recordings))]
        try:
            self._recordings[key] = _Recording(self.network, self._record, x, condition, samples)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._recordings[key] = None
            reason = str(error).partition("\n")[0]
            said = f"the denoising step cannot be replayed as a CUDA graph, so steps are called one by one ({reason})"
            self.warnings += [said] if said not in self.warnings else []
        return self._recordings[key]


class _Recording:
    """One recorded step and the memory that it reads and writes."""

    def __init__(self, network: nn.Module, record: Record, x: Tensor, condition: Any, samples: int):
        self._x, self._t = torch.empty_like(x), x.new_zeros(samples)
        self._condition = _copied(condition)
        self._user: object | None = None  # whose condition is in that memory
        expanded = for_samples(self._condition, samples)
        self._replay, self._out = record(lambda: network.denoise(self._x, self._t, expanded))

    def __call__(self, user: object, condition: Any, x: Tensor, t: float):
        if self._user is not user:
            for ours, theirs in zip(tensors_of(self._condition), tensors_of(condition)):
                ours.copy_(theirs)
            self._user = user
        self._x.copy_(x)
        self._t.fill_(t)
        self._replay()
        return _copied(self._out)


def _copied(value: Any) -> Any:
    return each(lambda x: x.clone(memory_format=torch.contiguous_format), value)


class CudaRecord:
    """Records calls as CUDA graphs of one device, which share memory: none reads there what another one wrote."""

    _one_at_a_time = Lock()  # PyTorch allows one recording in a process

    def __init__(self, device: torch.device):
        self._device = device
        self._pool = self._stream = None

    def __call__(self, call: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        with self._one_at_a_time, torch.cuda.device(self._device):
            if self._stream is None:
                self._pool, self._stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.stream(self._stream):  # which torch.cuda.graph does not leave where recording fails
                with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                    out = call()
            return graph.replay, out


def steps_on(device: torch.device, network: nn.Module) -> EagerSteps:
    """How denoising steps run on a device."""
    return RecordedSteps(network, CudaRecord(device)) if device.type == "cuda" else EagerSteps(network)
