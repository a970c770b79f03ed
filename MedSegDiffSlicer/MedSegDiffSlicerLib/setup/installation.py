"""Installs the missing packages by programs that run beside Slicer: it lives meanwhile, and can resume what was broken
off."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from slicer.i18n import tr as _

from medsegdiff.errors import Cancelled, JobError

from . import dependencies

UNFINISHED = "MedSegDiff/UnfinishedInstallation"  # setting: names of the packages, while an installation is under way
KEPT_LINES = 8  # of a program's output, for the error message
# How lines of pip begin that say what it does; the others are Slicer's, warnings and advice.
DOING = ("Collecting", "Downloading", "Using cached", "Processing", "Building", "Installing", "Successfully")
# What pip says where it does not reach the package index.
OFFLINE = (
    "connection", "temporary failure", "no matching distribution", "network is unreachable", "timed out", "retrying",
)  # fmt: skip
# A script, as some Slicers take no code of several lines.
TORCH_SCRIPT = """\
import os, slicer, traceback
os.environ["PIP_CONSTRAINT"] = {constraints!r}
status = 1
try:
    import PyTorchUtils
    logic = PyTorchUtils.PyTorchUtilsLogic()
    if logic.installTorch(askConfirmation=False, torchVersionRequirement={requirement!r}) is not None:
        status = 0
except BaseException:
    traceback.print_exc()
slicer.util.exit(status)
"""
# launch(command, onLine(text), onDone(exit status)) starts a program and returns a process that can be killed.
Launch = Callable[[list[str], Callable[[str], None], Callable[[int], None]], object]


class Installation:
    """One installation under way.

    names: what dependencies.missing() found.  python: the worker's.  slicer_program: starts another Slicer, in which
    the PyTorch extension installs PyTorch.  settings: QSettings, or what has its value, setValue and remove.
    wheels: a folder with wheels, used instead of the package index.
    onProgress(message); onFinished(error): once; None when all is there.
    """

    def __init__(
        self, names: Sequence[str], launch: Launch, settings, python: str, slicer_program: str, wheels: str = "",
        onProgress: Callable[[str], None] | None = None, onFinished: Callable[[Exception | None], None] | None = None,
    ):  # fmt: skip
        self._names, self._launch, self._settings, self._python = list(names), launch, settings, python
        self._slicer, self._wheels = slicer_program, wheels
        self._onProgress, self._onFinished = onProgress or (lambda text: None), onFinished or (lambda error: None)
        self._folder = tempfile.TemporaryDirectory()
        self._process = None
        self._lines: list[str] = []
        self.finished = False

    def begin(self) -> Installation:
        """Starts the first program. Raises JobError as check_means does."""
        check_means(self._names, self._wheels)
        self._settings.setValue(UNFINISHED, ",".join(self._names))
        self._steps = self._make_steps()
        self._next()
        return self

    def cancel(self) -> None:
        """Ends it; what is installed stays, and the rest is remembered for the next time."""
        if not self.finished:
            if self._process is not None:
                self._process.kill()
            self._end(Cancelled(_("Stopped. What is missing will be installed when you press Run again.")))

    def _make_steps(self) -> list[tuple[str, Callable[[], list[str]]]]:
        """Title and command of each program; a command is made when its turn comes."""
        others = [name for name in self._names if name != "torch" or self._wheels]
        steps: list = [("PyTorch", self._torch_command)] if len(others) < len(self._names) else []
        return [*steps, (", ".join(others), lambda: self._pip_command(others))] if others else steps

    def _torch_command(self) -> list[str]:
        script, requirement = Path(self._folder.name) / "install_torch.py", f">={dependencies.REQUIRED['torch']}"
        constraints = Path(self._constraints(["torch"])).as_uri()  # pip splits the variable at spaces
        script.write_text(TORCH_SCRIPT.format(requirement=requirement, constraints=constraints), encoding="utf-8")
        return [self._slicer, "--no-splash", "--no-main-window", "--ignore-slicerrc", "--python-script", str(script)]

    def _constraints(self, names: list[str]) -> str:
        """A file that holds back what is there already.  names: of what is installed."""
        path = Path(self._folder.name) / "constraints.txt"
        path.write_text("\n".join(dependencies.pins(names)) + "\n", encoding="utf-8")
        return str(path)

    def _pip_command(self, names: list[str]) -> list[str]:
        source = ["--no-index", "--find-links", self._wheels] if self._wheels else []
        command = [self._python, "-P", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *source]
        return [*command, "-c", self._constraints(names), *(f"{name}>={dependencies.REQUIRED[name]}" for name in names)]

    def _next(self) -> None:
        if not self._steps:
            still = dependencies.missing()
            text = _("{packages} could not be installed; restart Slicer and try again").format(
                packages=", ".join(still)
            )
            self._end(JobError(text) if still else None)
            return
        title, make_command = self._steps.pop(0)
        self._lines = []
        self._onProgress(_("Installing {packages}...").format(packages=title))
        try:
            self._process = self._launch(make_command(), self._on_line, lambda status: self._on_done(title, status))
        except OSError as error:
            text = _("{packages} could not be installed: {reason}").format(packages=title, reason=error)
            self._end(JobError(text))

    def _on_line(self, line: str) -> None:
        line = line.strip()
        if line and not self.finished:
            self._lines = [*self._lines, line][-KEPT_LINES:]
            if line.startswith(DOING):
                self._onProgress(line)

    def _on_done(self, title: str, status: int) -> None:
        self._process = None
        if self.finished:
            return
        if status != 0:
            self._end(JobError(self._failure(title)))
        else:
            self._next()

    def _failure(self, title: str) -> str:
        said = "\n".join(self._lines)
        text = _("{packages} could not be installed.").format(packages=title)
        if any(words in said.lower() for words in OFFLINE):
            text += " " + dependencies.offline_advice()
        return f"{text}\n{said}"

    def _end(self, error: Exception | None) -> None:
        self.finished = True
        self._folder.cleanup()
        if error is None:
            self._settings.remove(UNFINISHED)
        self._onFinished(error)


def check_means(names: Sequence[str], wheels: str) -> None:
    """Raises JobError, saying what to do, where the PyTorch extension is needed and missing; see Installation."""
    if "torch" in names and not wheels:
        dependencies.require_pytorch_extension()


def unfinished(settings) -> list[str]:
    """What an installation that was agreed to, and broken off, still lacks."""
    begun = str(settings.value(UNFINISHED) or "").split(",")
    return [name for name in dependencies.missing() if name in begun]
