"""Which Python runs the worker: Slicer's own, as a program."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from medsegdiff.errors import JobError


def find_python() -> str:
    """The executable that shares Slicer's packages. Raises JobError where none is found."""
    import slicer
    from slicer.i18n import tr as _

    suffix = ".exe" if os.name == "nt" else ""
    candidates = (
        Path(slicer.app.slicerHome) / "bin" / f"PythonSlicer{suffix}",
        Path(sys.executable),
        Path(sys.prefix) / "bin" / "python3",
    )
    for path in candidates:
        if path.is_file() and "python" in path.name.lower():
            return str(path)
    raise JobError(
        _("no Python executable was found in {folder}; reinstall Slicer").format(folder=slicer.app.slicerHome)
    )
