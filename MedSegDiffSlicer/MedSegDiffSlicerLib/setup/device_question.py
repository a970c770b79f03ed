"""Is there a GPU, and if not, why? Asked of the worker's Python, as torch is never imported in Slicer's process."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile

from slicer.i18n import tr as _

from medsegdiff.worker.client import PACKAGE_FOLDER, START

GIGABYTE = 1e9


class DeviceQuestion:
    """Asks a Python in a process of its own: look at `answer` now and then.

    answer: None while it is not there; else what medsegdiff.inference.device_report tells.
    """

    def __init__(self, python_executable: str, environment: dict[str, str] | None = None):
        command = [python_executable, "-c", START.format(folder=str(PACKAGE_FOLDER), module="medsegdiff.worker.probe")]
        hidden = {"creationflags": subprocess.CREATE_NO_WINDOW} if os.name == "nt" else {}
        self._output = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT, **hidden
        )
        self._answer: dict | None = None

    @property
    def answer(self) -> dict | None:
        """The answer, as soon as it is there."""
        if self._answer is None and self._process.poll() is not None:
            self._output.seek(0)
            self._answer = _parse(self._output.read().decode("utf-8", "replace"))
            self._output.close()
        return self._answer

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()


def in_words(answer: dict) -> str:
    """What is used and, where it is no GPU, why and what can be done."""
    if answer["kind"] == "cuda":
        each = _("{name} ({memory:.0f} GB)")
        names = [each.format(name=n, memory=m / GIGABYTE) for n, m in zip(answer["names"], answer["memory"])]
        return _("GPU found: {names}. It is used.").format(names=", ".join(names))
    if answer["kind"] == "mps":
        return _("GPU found: that of this Mac. It is used.")
    reasons = {
        "cpu-build": _(
            "the installed PyTorch is a build for CPUs. If this computer has an NVIDIA GPU, uninstall PyTorch in the "
            "module 'PyTorch Utils', restart Slicer and let it be installed again."
        ),
        "no-driver": _("no NVIDIA driver was found. If this computer has an NVIDIA GPU, install its driver."),
        "old-driver": _("the driver of the NVIDIA GPU is too old for the installed PyTorch. Update the driver."),
        "no-torch": _("PyTorch cannot be loaded."),
    }
    reason = reasons.get(answer["reason"], _("PyTorch finds none."))
    text = _("No GPU is used, the processor does the work: {reason}").format(reason=reason)
    details = answer["details"].strip().splitlines()
    return f"{text} ({details[-1]})" if details else text


def _parse(output: str) -> dict:
    """The last line that is an answer; anything else means that Python or torch could not be started."""
    for line in reversed(output.splitlines()):
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if isinstance(answer, dict) and "kind" in answer:
            return answer
    return {"torch": None, "kind": "cpu", "names": [], "memory": [], "reason": "no-torch", "details": output}
