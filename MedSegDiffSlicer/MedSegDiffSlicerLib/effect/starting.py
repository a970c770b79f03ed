"""What Run sets off: the worker's job, and imports that later answers need."""

from __future__ import annotations

import threading

import slicer


def start_opinions(image, request, onProgress, onPreview, onFinished, volumes):
    """See the module logic's startOpinions."""
    threading.Thread(target=_import_what_answers_need, daemon=True).start()
    logic = slicer.util.getModuleLogic("MedSegDiffSlicer")
    return logic.startOpinions(image, request, onProgress, onPreview, onFinished, volumes)


def _import_what_answers_need() -> None:
    """Imports what the first click would otherwise have to wait for."""
    import scipy.ndimage
    import scipy.special
    import SimpleITK  # noqa: F401
