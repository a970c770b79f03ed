"""What a checkpoint's pickles call, gone through with stand-ins before PyTorch calls anything.

PyTorch's own list keeps code out, but not calls that make gigabytes of a number, or of one argument handed over again
and again.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_ZIP = b"PK\x03\x04"  # what PyTorch knows its newer files by
_OLD = 5  # pickles that an older file begins with: two numbers, the machine, the contents, the storages' order


class _Record(dict):
    """Stands for an OrderedDict, which may have attributes."""

    def __setstate__(self, attributes: dict) -> None:
        if not isinstance(attributes, dict):
            raise TypeError("attributes without names")


class _NumberKind:
    """Stands for a dtype of NumPy."""

    def __init__(self, *_given: Any):
        pass

    def __setstate__(self, details: tuple) -> None:
        if details[2:] != (None, None, None, -1, -1, 0):
            raise TypeError("more than a kind of number")


def _other(*_given: Any) -> object:
    return object()


# kinds of storages, numbers and tensors, which are handed over, but never called; PyTorch knows which there are
_KINDS = re.compile(r"torch\.((cuda|storage)\.)?\w+|torch\.nn\.parameter\.Parameter")
_SCALAR = (_other, _NumberKind, bytes)
_LATIN = ["latin1", "latin-1"]
# what stands for the result, and a type, or the values, of each argument
_CALLED: dict[str, tuple] = {
    "collections.OrderedDict": (_Record,),
    "collections.Counter": (_other, dict),
    "__builtin__.set": (_other, list),
    "__builtin__.complex": (_other, float, float),
    "__builtin__.bytearray": (_other, bytes),
    "_codecs.encode": (lambda text, _latin: text.encode("latin1"), str, _LATIN),
    "numpy.dtype": (_NumberKind, str, [False], [True]),
    "numpy.core.multiarray.scalar": _SCALAR,
    "numpy._core.multiarray.scalar": _SCALAR,
    "torch.Size": (tuple, tuple),
    "torch.device": (_other, str, int),
    "torch.serialization._get_layout": (_other, str),
    "torch._utils._rebuild_tensor": (_other, object, int, tuple, tuple),
    "torch._utils._rebuild_tensor_v2": (_other, object, int, tuple, tuple, bool, _Record, object),
    "torch._utils._rebuild_tensor_v3": (_other, object, int, tuple, tuple, bool, _Record, object, object),
    "torch._utils._rebuild_parameter": (_other, object, bool, _Record),
    "torch._utils._rebuild_parameter_with_state": (_other, object, bool, _Record, dict),
    "torch._tensor._rebuild_from_type_v2": (lambda made, _kind, given, _more: made(*given), Callable, object, tuple,
                                            dict),
}  # fmt: skip


def check_calls(path: Path) -> None:
    """Raises pickle.UnpicklingError where a checkpoint calls something with what no checkpoint hands to it, or names
    what is none of PyTorch's or NumPy's; and what pickle raises of damaged files."""
    import torch

    with open(path, "rb") as file:
        is_zip = file.read(len(_ZIP)) == _ZIP
        file.seek(0)
        if is_zip:
            file, pickles = io.BytesIO(torch._C.PyTorchFileReader(file).get_record("data.pkl")), 1
        else:
            pickles = _OLD
        for _ in range(pickles):
            _Rehearsal(file).load()


class _Rehearsal(pickle._Unpickler):
    """Loads a pickle with stand-ins; of the operations of protocol 2, PyTorch's, alone."""

    def __init__(self, file: Any):
        super().__init__(file, encoding="utf-8")
        self._tell, self._handed = file.tell, 0

    def find_class(self, module: str, name: str) -> Callable:
        called = f"{module}.{name}"
        if called not in _CALLED and not _KINDS.fullmatch(called):
            raise pickle.UnpicklingError(f"GLOBAL {called} is unknown")

        def call(*given: Any) -> Any:
            make, *wanted = _CALLED.get(called, (None,))
            if make is None or len(given) > len(wanted) or not all(map(_is, given, wanted)):
                raise pickle.UnpicklingError(f"GLOBAL {called} is called with what it does not take")
            for one in given:
                self._count(one)
                if isinstance(one, list):
                    self._check_keys(one)
            return make(*given)

        return call

    def persistent_load(self, pid: Any) -> object:
        return object()  # a storage

    def load_build(self) -> None:
        self._count(self.stack[-1])
        super().load_build()

    def load_setitem(self) -> None:
        self._check_keys(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self) -> None:
        self._check_keys(self.stack[::2])  # of those since the mark
        super().load_setitems()

    dispatch = {
        **{ord(one.code): pickle._Unpickler.dispatch[ord(one.code)] for one in pickletools.opcodes if one.proto <= 2},
        pickle.BUILD[0]: load_build, pickle.SETITEM[0]: load_setitem, pickle.SETITEMS[0]: load_setitems,
    }  # fmt: skip

    def _count(self, handed: Any) -> None:
        """Raises UnpicklingError where more entries are handed over than twice the bytes of the pickle up to there: an
        argument is written where it is used, and serves once, or bytes twice: as the text that they are made of, and
        themselves."""
        if isinstance(handed, (str, bytes, tuple, list, dict)):
            self._handed += len(handed)
        if self._handed > 2 * self._tell():
            raise pickle.UnpicklingError("the same is handed over again and again")

    def _check_keys(self, keys: Sequence[Any]) -> None:
        """Tuples of tuples may hold one another so often that the first look at one never ends."""
        for key in keys:
            if isinstance(key, tuple):
                self._count(key)
                if any(isinstance(part, tuple) for part in key):
                    raise pickle.UnpicklingError("a key is made of tuples of tuples")


def _is(given: Any, wanted: Any) -> bool:
    return given in wanted if isinstance(wanted, list) else isinstance(given, wanted)
