"""Output files of one run: written under temporary names beside their targets, then renamed all at once."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
import uuid
from pathlib import Path

from ..errors import JobError
from ..image.names import ending
from .interrupts import SIGNALS

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Outputs:
    """A context in which files are written; they appear when it ends well, and leave no trace when it does not.

    with Outputs() as outputs:
        write(outputs.path("out.nii.gz"))
    Raises JobError, naming the target, where one of the files cannot be written.
    """

    def __init__(self) -> None:
        self._temporary: dict[Path, Path] = {}
        self._folders: list[Path] = []

    def folder(self, path: Path) -> Path:
        """Makes a folder, if need be; it is removed again where the files do not come to be."""
        if not path.is_dir():
            path.mkdir()
            self._folders.append(path)
        return path

    def path(self, target: str | Path) -> Path:
        """The name to write to instead of `target`: same folder, same extension, in lower case."""
        target = Path(target)
        self._temporary[target] = target.with_name(f".partial-{uuid.uuid4().hex[:12]}{ending(target)}")
        return self._temporary[target]

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, _traceback: object) -> None:
        try:
            if kind is None:
                self._publish()
        finally:
            self._tidy()
        if isinstance(error, JobError):
            raise JobError(self._with_targets(str(error))) from error
        if isinstance(error, OSError) and (target := self._target_of(error)) is not None:
            raise JobError(f"could not write {target} ({error.strerror}); make room there and try again") from error

    def _target_of(self, error: OSError) -> Path | None:
        """The file that an error is about, if it is one of these: writing to an open file on a full disk names none,
        which is then the last one."""
        if error.filename is None and error.errno in _FULL:
            return next(reversed(self._temporary), None)
        return next(
            (target for target, temporary in self._temporary.items() if str(error.filename) == str(temporary)), None
        )

    def _with_targets(self, message: str) -> str:
        """The message with the names that the user gave instead of the temporary ones."""
        for target, temporary in self._temporary.items():
            message = message.replace(temporary.name, target.name)
        return message

    def _tidy(self) -> None:
        for temporary in self._temporary.values():
            temporary.unlink(missing_ok=True)
        for folder in reversed(self._folders):
            if not any(folder.iterdir()):
                folder.rmdir()

    def _publish(self) -> None:
        held = _Uninterrupted()
        new: list[Path] = []
        earlier: dict[Path, Path] = {}
        try:
            for target, temporary in self._temporary.items():
                if target.exists() and len(self._temporary) > 1:  # which may have to come back
                    earlier[target] = _second_name(target)
                os.replace(temporary, target)
                new.append(target)
        except OSError as error:
            told = f"could not write {target} ({error.strerror}); close what uses it, or choose another name"
            for path in new:
                os.replace(earlier[path], path) if path in earlier else path.unlink(missing_ok=True)
            raise JobError(told) from error
        finally:
            for aside in earlier.values():
                aside.unlink(missing_ok=True)
            held.release()


def _second_name(path: Path) -> Path:
    """Another name for a file beside it, under which it stays when the first one is given to another."""
    aside = path.with_name(f".earlier-{uuid.uuid4().hex[:12]}")
    try:
        os.link(path, aside)
    except OSError:  # the file system has no such names
        shutil.copy2(path, aside)
    return aside


class _Uninterrupted:
    """Holds Ctrl-C back while files are renamed (signals can only be held from the main thread)."""

    def __init__(self) -> None:
        self._handlers = {}
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._handlers[number] = signal.signal(number, signal.SIG_IGN)

    def release(self) -> None:
        """Lets signals through again."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
