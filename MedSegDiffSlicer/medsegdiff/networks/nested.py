"""Conditions and answers of networks: tensors, NamedTuples of them, and None where a part is absent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor


def each(change: Callable[..., Any], *values: Any) -> Any:
    """The change made to each tensor of a value, or to the tensors in the same place of several of one kind; None
    stays."""
    first = values[0]
    if first is None:
        return None
    if isinstance(first, Tensor):
        return change(*values)
    return type(first)(*(each(change, *parts) for parts in zip(*values)))


def tensors_of(value: Any) -> list[Tensor]:
    """The tensors in a value, in order."""
    found: list[Tensor] = []
    each(found.append, value)
    return found


def for_samples(condition: Any, samples: int) -> Any:
    """The condition of one image, tensors (1, ...), for a batch of samples (samples, ...), without copying."""
    return each(lambda x: x.expand(samples, *x.shape[1:]), condition)
