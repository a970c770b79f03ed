"""How arrays cross between two processes: .npy files in a private folder, in shared memory where the system has it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from ..errors import JobError

SHARED_MEMORY = Path("/dev/shm")
HEADROOM = 2  # shared memory is only used where this many times the expected size is free


def create_folder(expected_bytes: int) -> Path:
    """Makes a folder that only this user can read: in shared memory if there is room, else in the temporary folder.

    The caller owns it and removes it with remove_folder.
    """
    in_memory = (
        os.access(SHARED_MEMORY, os.W_OK) and shutil.disk_usage(SHARED_MEMORY).free > HEADROOM * expected_bytes
    )
    return Path(tempfile.mkdtemp(prefix="medsegdiff-", dir=SHARED_MEMORY if in_memory else None))


def remove_folder(folder: Path) -> None:
    """Removes the folder and all in it; arrays still mapped from it stay valid where the system allows that."""
    shutil.rmtree(folder, ignore_errors=True)


def save_array(folder: Path, name: str, array: np.ndarray) -> None:
    """Writes one array. Raises JobError where there is no room."""
    try:
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    except OSError as error:
        why = error.strerror or "it is full"  # NumPy tells how many bytes were written
        raise JobError(f"the temporary folder {folder.parent} cannot be written ({why}); make room there, then run "
                       "again") from error  # fmt: skip


def take_array(folder: Path, name: str) -> np.ndarray:
    """load_array, for an array that nobody else needs: its file goes."""
    array = load_array(folder, name)
    (folder / f"{name}.npy").unlink()
    return array


def load_array(folder: Path, name: str) -> np.ndarray:
    """The array of that name: mapped, changes stay private. Copied on Windows, where mapped files cannot be removed."""
    return np.load(folder / f"{name}.npy", mmap_mode=None if os.name == "nt" else "c", allow_pickle=False)
