"""Whether a package's weights are those of its network; found out before anything large is made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import zip_longest
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RequestError

if TYPE_CHECKING:
    from torch import nn

    from .package import ModelPackage

_HEADER = 100 << 20  # bytes; safetensors' own limit
_ROOM = 1 << 26  # values that a network may hold beside its weights
_GROWTH = 8  # and times its weights: some are made twice, and tables of positions beside them


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The tensors of a .safetensors file, name -> shape, without reading them. Raises RequestError where it is none, or
    is cut."""
    trouble = f"{path} is no intact .safetensors file"
    try:
        with open(path, "rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(_HEADER, path.stat().st_size):
                raise RequestError(f"{trouble}: its header is missing; install the model again")
            header = json.loads(stream.read(length))
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        shapes = {name: tuple(map(int, entry["shape"])) for name, entry in tensors.items()}
        end = max((int(entry["data_offsets"][1]) for entry in tensors.values()), default=0)
        whole = 8 + length + end == path.stat().st_size
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}; repair the access") from None
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        raise RequestError(f"{trouble}: its header cannot be read; install the model again") from None
    if not whole or not shapes:
        raise RequestError(f"{trouble}: it is cut, or empty; install the model again")
    return shapes


def check_readable(path: Path) -> None:
    """Raises RequestError where the values of a .safetensors file are of another kind than its header says, or no
    finite numbers."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            for name in file.keys():
                values = file.get_tensor(name)
                if values.is_floating_point() and not values.float().isfinite().all():
                    raise RequestError(f"{path}: {name} holds numbers that are not finite; export the model again")
    except SafetensorError as error:
        raise RequestError(f"{path} is no intact .safetensors file: {error}; install the model again") from None


def check_declared(package: ModelPackage) -> None:
    """Raises RequestError where a package's network says to have other channels or labels than the package."""
    arguments = package.network.get("arguments", {})
    outputs = len(package.network.get("regions") or package.labels)
    declared = {"in_channels": package.inputs, "out_channels": outputs}
    for name, count in declared.items():
        if arguments.get(name, count) != count:
            raise RequestError(
                f"model '{package.name}': its network has {name} {arguments[name]}, the package describes {count}; "
                "make them agree, or install the model again"
            )


def build_bounded(network: dict[str, Any], weights: int) -> nn.Module:
    """A package's `network` with random weights. weights: how many values it has. Raises RequestError where it would be
    much larger, before it is."""
    import torch
    from torch.overrides import TorchFunctionMode

    from ..networks.registry import build_network

    allowed = _ROOM + _GROWTH * weights

    class Bounded(TorchFunctionMode):
        """Refuses to make tensors beyond what is allowed; asked before their memory is."""

        made = 0

        def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
            size = args[0] if args and isinstance(args[0], (list, tuple)) else args
            if size and all(isinstance(count, int) for count in size):  # as all that make tensors are asked
                self.made += prod(size)
            elif len(shapes := [one.shape for one in args if isinstance(one, torch.Tensor)]) > 1:
                size = _broadcast(shapes)
                self.made += prod(size) if size not in shapes else 0  # as tables of all pairs are
            if self.made > allowed:
                raise ValueError("it would be much larger than its weights")
            return function(*args, **(kwargs or {}))

    with Bounded():
        return build_network(network["name"], network.get("arguments", {}))


def _broadcast(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape of what tensors give together, element by element; the first one's where they do not fit."""
    aligned = zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1)
    sizes = [set(axis) - {1} or {1} for axis in aligned]
    return tuple(axis.pop() for axis in reversed(sizes)) if all(len(axis) == 1 for axis in sizes) else shapes[0]


def build_fitting(package: ModelPackage) -> nn.Module:
    """The package's network with random weights, after a look at whether its weights file has the same tensors.

    Raises RequestError where it does not, where it does not fit channels and labels, or where it would be much larger
    than that file.
    """
    check_declared(package)
    shapes = read_shapes(package.weights_path)
    network = build_bounded(package.network, sum(map(prod, shapes.values())))
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    for name in [*sorted(set(wanted) ^ set(shapes)), *wanted]:
        if shapes.get(name) != wanted.get(name):
            has, needs = (side.get(name, "missing") for side in (shapes, wanted))
            raise RequestError(
                f"model '{package.name}': the weights do not fit the network ({ascii(name)[:100]}: {has} in the file, "
                f"{needs} in the network); install the model again"
            )
    return network
