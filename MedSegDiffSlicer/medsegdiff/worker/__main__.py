"""python -m medsegdiff.worker: runs the engine for a parent process, keeping the models it has loaded."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from .server import Server

KEPT_MODELS = 2  # in memory at least, and those of a request; a further one takes the place of that used longest ago
NICENESS = 10  # added where the system knows it: on a laptop's few cores the GUI that waits for the result goes first


class LoadedModels:
    """The engine with a memory: a model is read once, until others take its place or its package or device changes."""

    def __init__(self):
        self._models = {}

    def __call__(self, request, image, progress, cancelled, hear=None):
        from ..inference.engine import segment_image
        from ..inference.ensemble import find_models

        packages = find_models(request)
        models = [self._load(package, request, progress, max(KEPT_MODELS, len(packages))) for package in packages]
        return segment_image(request, image, model=models, progress=progress, cancelled=cancelled, hear=hear)

    def _load(self, package, request, progress, kept: int):
        from ..inference.model import load_model
        from ..inference.progress import Progress

        key = (repr(package), request.device, request.precision)  # of all that its configuration says
        model = self._models.pop(key, None)
        if model is None:
            while len(self._models) >= kept:
                del self._models[next(iter(self._models))]
            progress(Progress(0.0, "loading the model"))
            model = load_model(package, request.device, request.precision)
        self._models[key] = model  # the last one of the dictionary
        return model


def _go_behind() -> None:
    """Lets the GUI's process go first (Windows has its priority from the parent).

    Linux shares the processors among sessions first, and the worker has a session of its own: niceness within it counts
    for nothing where sched_autogroup is on, so the session gets it as well (man 7 sched).
    """
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICENESS))


if __name__ == "__main__":
    _go_behind()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while they wait are slow on a busy machine
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # what a Mac's GPU lacks, PyTorch then does on the CPU
    Server(LoadedModels()).serve()
