"""2D networks in volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .nested import each

CHUNK = {"cpu": 2**17}  # pixels of the slices that go through the network at once; more gains nothing on a CPU
CHUNK_ELSEWHERE = 2**20


_between: ContextVar[Callable[[], None]] = ContextVar("between", default=lambda: None)


@contextmanager
def between_chunks(call: Callable[[], None]) -> Iterator[None]:
    """Has `call` made before each chunk of slices: many slices take long, and what it raises ends them."""
    token = _between.set(call)
    try:
        yield
    finally:
        _between.reset(token)


class SliceCondition(NamedTuple):
    """What a 2D network knows of the slices of an image. slices: its own condition, with tensors (B, K, ...)."""

    slices: Any

    @property
    def anchor(self) -> Tensor | None:
        """(B, L, I, J, K) logits of the first opinion, None where the network has none."""
        anchor = getattr(self.slices, "anchor", None)
        return None if anchor is None else anchor.movedim(1, -1)


class Slicewise(nn.Module):
    """A 2D network with the face of a 3D one: it runs on the slices along the last axis, each by itself.

    The same calls as of any network (see registry), with image (B, C, I, J, K), x_t (B, L or M, I, J, K) and answers of
    that shape; the condition is a SliceCondition. Slices go through the network some at a time, so that its own memory
    does not grow with their number; one at a time where it draws at random within.
    """

    spatial_dims = 2

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.diffusion = network.diffusion
        self.prediction = network.prediction if network.diffusion else None
        self.latent = getattr(network, "latent", 0)
        self.replayable = getattr(network, "replayable", True)
        self._draws_within = not self.replayable  # not so dropout, whose masks are those of all slices

    def forward(self, image: Tensor) -> Tensor:
        return self.of_slices(self.network, image)

    def of_slices(self, call: Callable[[Tensor], Any], image: Tensor):
        """What call says of slices (b, C, I, J), tensors (b, ...), for all those of an image: tensors (B, ..., K)."""
        return self._run(lambda slices, _, __: call(slices), image)

    def encode(self, image: Tensor) -> SliceCondition:
        seen = self._run(lambda slices, _, __: self.network.encode(slices), image)
        return SliceCondition(each(lambda x: x.movedim(-1, 1), seen))

    def denoise(self, x_t: Tensor, t: Tensor, condition: SliceCondition):
        def call(slices: Tensor, batch: slice, places: slice):
            of_slices = each(lambda x: x[batch, places].flatten(0, 1), condition.slices)
            return self.network.denoise(slices, t[batch].repeat_interleave(places.stop - places.start), of_slices)

        return self._run(call, x_t)

    def draw(self, condition: SliceCondition, z: Tensor) -> Tensor:
        def call(_: Tensor, batch: slice, places: slice):
            of_slices = each(lambda x: x[batch, places].flatten(0, 1), condition.slices)
            return self.network.draw(of_slices, z[batch].repeat_interleave(places.stop - places.start, 0))

        return self._run(call, condition.slices.features.movedim(1, -1))

    def _run(self, call: Callable[[Tensor, slice, slice], Any], x: Tensor):
        """call(slices (b * k, C, I, J), which of the batch, which along the last axis) for all parts of x (B, C, I, J,
        K), put together: each tensor of its answers, (b * k, ...), becomes (B, ..., K)."""
        fitting = (
            max(1, CHUNK.get(x.device.type, CHUNK_ELSEWHERE) // (x.shape[2] * x.shape[3]))
            if not self._draws_within
            else 1
        )
        depth = min(fitting, x.shape[4])
        together = fitting // depth
        rows = []
        for batch in _parts(x.shape[0], together):
            row = []
            for places in _parts(x.shape[4], depth):
                _between.get()()
                slices = x[batch, ..., places].movedim(-1, 1)
                count = slices.shape[:2]
                answer = call(slices.flatten(0, 1), batch, places)
                row.append(each(lambda y: y.unflatten(0, count).movedim(1, -1), answer))
            rows.append(each(lambda *y: torch.cat(y, -1), *row))
        return each(lambda *y: torch.cat(y, 0), *rows)


def _parts(total: int, size: int) -> list[slice]:
    return [slice(at, min(at + size, total)) for at in range(0, total, size)]

