"""python -m medsegdiff.worker: runs the engine for a parent process, keeping the models it has loaded."""

from __future__ import annotations

from .server import Server


class LoadedModels:
    """The engine with a memory: a model is read once, and again only when its package, device or precision changes."""

    def __init__(self):
        self._models = {}

    def __call__(self, request, image, progress, cancelled):
        from ..inference.engine import segment_image
        from ..inference.model import load_model
        from ..inference.progress import Progress
        from ..models.store import find_model

        package = find_model(request.model)
        key = (package.folder, package.weights_sha256, request.device, request.precision)
        if key not in self._models:
            progress(Progress(0.0, "loading the model"))
            self._models[key] = load_model(package, request.device, request.precision)
        return segment_image(request, image, model=self._models[key], progress=progress, cancelled=cancelled)


if __name__ == "__main__":
    Server(LoadedModels()).serve()
