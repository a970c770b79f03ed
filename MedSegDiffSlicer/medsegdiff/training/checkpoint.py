"""The state of a training on disk, which an interrupted one goes on from."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import NamedTuple

import torch
from torch import nn

from ..errors import RequestError

_DAMAGED = (RuntimeError, KeyError, ValueError, EOFError, UnpicklingError)


class State(NamedTuple):
    """What is kept. origin: hash of the weights that training started from, if of a model."""

    network: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    origin: str


def checkpoint_in(output: Path) -> Path:
    """Where the checkpoint of a model's folder lies."""
    return output / "training" / "checkpoint.pt"


def save(path: Path, state: State, step: int) -> None:
    """Writes the state after so many steps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    kept = {name: getattr(state, name).state_dict() for name in ("network", "average", "optimiser")}
    torch.save({**kept, "step": step, "origin": state.origin}, part)
    part.replace(path)


def resume(path: Path, state: State) -> int:
    """The step to go on from: 0, or that of the checkpoint, which is loaded. Raises RequestError where it does not
    fit."""
    if not path.is_file():
        return 0
    try:
        kept = torch.load(path, weights_only=True, map_location="cpu")
        for name in ("network", "average", "optimiser"):
            getattr(state, name).load_state_dict(kept[name])
    except _DAMAGED as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise RequestError(f"{path} does not fit this configuration; delete it to start again ({line})") from None
    if kept.get("origin") != state.origin:
        raise RequestError(
            f"{path} was begun from other weights; start from the same model, or delete it to start again"
        )
    return int(kept["step"])


def saved_step(output: Path) -> int:
    """After how many steps the checkpoint in a model's folder was written; 0 where there is none."""
    with suppress(OSError, *_DAMAGED):
        return int(torch.load(checkpoint_in(output), weights_only=True, map_location="cpu")["step"])
    return 0


def holds_others(output: Path) -> bool:
    """Whether anything lies where a model has its files but what a training that was killed at its beginning leaves."""
    path = checkpoint_in(output)
    left = {path.parent, path, path.with_suffix(".part")}
    folders = [output / name for name in (path.parent.name, "configs", "models", "docs") if (output / name).exists()]
    return any(one not in left for folder in folders for one in (folder, *folder.rglob("*")))


def remove(path: Path) -> None:
    """Takes the checkpoint of a training that came to its end away, with its folder where nothing else is in it."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
        path.with_suffix(".part").unlink(missing_ok=True)
        path.parent.rmdir()


def remove_empty(output: Path) -> None:
    """Takes the folders away that a training made which kept nothing."""
    with suppress(OSError):
        checkpoint_in(output).parent.rmdir()
        output.rmdir()
