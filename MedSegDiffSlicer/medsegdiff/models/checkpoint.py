"""Reading checkpoints (.pt, .pth, .safetensors): tensors and plain values, never code."""

from __future__ import annotations

import errno
import pickle
import re
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RequestError
from .pickled_calls import check_calls

if TYPE_CHECKING:
    from torch import Tensor

SAFE_SINCE = (2, 6)  # of PyTorch: before, weights_only=True could be tricked
# under which trainers keep the weights
_WITHIN = ("state_dict", "model_state_dict", "network_weights", "model", "network")
_WRAPPERS = ("module.", "_orig_mod.", "network.", "net.")
_SPARE = 1 << 20  # bytes of a file's contents beyond the file itself


def read_checkpoint(path: Path, also: Sequence[Any] = (), hint: str = "give a file of weights alone") -> Any:
    """What a checkpoint holds, on the CPU.

    also: classes and functions beyond PyTorch's own list that it may name, none of which does anything.  hint: what to
    do about another file. Raises RequestError where the file is damaged, holds anything that is neither a tensor nor a
    plain value, or would need far more memory than its size.
    """
    import torch

    if path.suffix.lower() == ".safetensors":
        return _read_safetensors(path)
    version = tuple(int(number) for number in re.findall(r"\d+", torch.__version__)[:2])
    if version < SAFE_SINCE:
        raise RequestError(f"PyTorch {torch.__version__} cannot read checkpoints safely; install 2.6 or later")
    try:
        if zipfile.is_zipfile(path):
            _check_size(path)
        check_calls(path)
        with torch.serialization.safe_globals(list(also)):
            data = torch.load(path, map_location="cpu", weights_only=True)
        _check_tensors(data, path.stat().st_size)
    except OSError as error:
        if error.errno == errno.EINVAL:  # a place beyond the file, which is cut
            raise RequestError(f"{path} is damaged or incomplete; copy or download it again") from None
        raise RequestError(f"{path} cannot be read: {error.strerror or error}; check its name and access") from None
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError, LookupError, TypeError,
            AttributeError, AssertionError, MemoryError, struct.error) as error:  # fmt: skip
        named = re.search(r"GLOBAL (\S+)", str(error))
        what = f"asks for {ascii(named[1])[1:-1][:80]}" if named else "is damaged"
        raise RequestError(f"{path} {what}, or holds more than weights (could be code); {hint}") from None
    return data


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise RequestError(f"{path} cannot be read ({error}); copy or download it again") from None


def numpy_scalars() -> list[Any]:
    """What checkpoints with numbers of NumPy among their records name; all of it makes a number and nothing else."""
    import numpy as np

    scalar = np.float64(0).__reduce__()[0]
    names = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    kinds = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")
    return [np.dtype, *names, *(type(np.dtype(kind)) for kind in kinds)]


def state_of(data: Any) -> dict[str, Tensor] | None:
    """The weights of what a checkpoint holds, by name, less what all names begin with; None where it holds none, or
    more."""
    import torch

    for key in _WITHIN:
        if isinstance(data, dict) and isinstance(data.get(key), dict):
            data = data[key]
    if not isinstance(data, dict) or not data or not all(isinstance(value, torch.Tensor) for value in data.values()):
        return None
    state = {str(key): value for key, value in data.items()}
    while wrapper := next((w for w in _WRAPPERS if all(key.startswith(w) for key in state)), None):
        state = {key.removeprefix(wrapper): value for key, value in state.items()}
    return state


def _check_size(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > path.stat().st_size + _SPARE:
        raise ValueError("it is compressed")  # which PyTorch never does


def _check_tensors(data: Any, size: int) -> None:
    """Raises ValueError where a tensor says to be larger than what is stored of it, and all than a file of `size`
    bytes."""
    import torch

    waiting, seen, stored = [data], set(), {}
    while waiting:
        one = waiting.pop()
        if id(one) in seen:  # a list may hold itself
            continue
        seen.add(id(one))
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, (list, tuple, set)):
            waiting += one
        elif isinstance(one, torch.Tensor):
            if one.numel() * one.element_size() > one.untyped_storage().nbytes():
                raise ValueError("a tensor repeats itself")
            stored[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
    if sum(stored.values()) > size:
        raise ValueError("tensors have more values than the file")
