"""What Run sets off: the worker's job, and imports that later answers need."""

from __future__ import annotations

import threading
from collections.abc import Callable


def start_opinions(logic: Callable, image, request, onProgress, onPreview, onFinished, volumes):
    """See startOpinions of the module logic, which logic() gives."""
    threading.Thread(target=_import_what_answers_need, daemon=True).start()
    return logic().startOpinions(image, request, onProgress, onPreview, onFinished, volumes)


def _import_what_answers_need() -> None:
    """Imports what the first click would otherwise have to wait for."""
    import scipy.ndimage
    import scipy.special
    import SimpleITK  # noqa: F401
