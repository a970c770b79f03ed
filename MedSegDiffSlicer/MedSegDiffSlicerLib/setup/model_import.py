"""Taking a model into the user's store: in a process of its own, as its network is built there to see whether it fits,
and torch is never imported in Slicer's."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from medsegdiff.errors import JobError, RequestError
from medsegdiff.models.ensembles import Ensemble, find_installed
from medsegdiff.models.package import ModelPackage
from medsegdiff.worker.client import PACKAGE_FOLDER, START

from .program import Program

_COMPLAINT = "medsegdiff: "  # what a line with an error begins with
_UNUSABLE = 2  # exit status


def import_model(
    python_executable: str, path: str | Path, process_events: Callable[[], None], options: Sequence[str] = ()
) -> ModelPackage | Ensemble:
    """The model, or the ensemble, as it is in the store then; the last one where it is several: the ensemble of them.

    process_events(): called all the time meanwhile.  options: as of 'medsegdiff models import'.  Raises RequestError
    for what is no model, or damaged, and JobError where it could not be written.
    """
    lines, ended = [], []
    program = [python_executable, "-c", START.format(folder=str(PACKAGE_FOLDER), module="medsegdiff")]
    command = [*program, "models", "import", "--json", *options, "--", str(path)]
    running = Program(command, lines.append, ended.append, dict(os.environ))
    while not ended:
        running.pump()
        process_events()
    if ended[0] != 0:
        said = [line.removeprefix(_COMPLAINT) for line in lines if line.startswith(_COMPLAINT)] or lines[-1:] or [""]
        raise (RequestError if ended[0] == _UNUSABLE else JobError)(said[0])
    told = _told(lines)
    return find_installed((told[-1] if isinstance(told, list) else told)["name"])


def _told(lines: Sequence[str]) -> list | dict:
    """The JSON among the lines, whatever torch printed before: that begins with a bracket, too."""
    from slicer.i18n import tr as _

    for number, line in enumerate(lines):
        if line.startswith(("{", "[")):
            with suppress(ValueError):
                return json.JSONDecoder().raw_decode("\n".join(lines[number:]))[0]
    said = "\n".join(lines)  # such as what --help tells
    raise JobError(_("the command told of no model; it said:\n{lines}").format(lines=said))
