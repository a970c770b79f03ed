"""Sees to it that all packages are there before something runs: explains, asks once, shows progress, resumes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from medsegdiff.errors import Cancelled, MedSegDiffError

from . import dependencies
from .installation import Installation, check_means, unfinished
from .program import Program
from .python_executable import find_python

LOOKING = 100  # ms between two looks at what the installing program says
WHEELS = "MedSegDiff/PackagesFolder"  # setting: where packages are installed from without a connection


class PackagesGate:
    """Lets through who needs the packages.

    tell(text, isError): shows a message.  on_changed(): an installation began or ended.
    """

    _under_way: Installation | None = None  # of any gate: two at once would write the same files

    def __init__(self, tell: Callable[..., None], on_changed: Callable[[], None]):
        self._tell, self._on_changed = tell, on_changed
        self._installation: Installation | None = None
        self._program: Program | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(LOOKING)

    @property
    def is_installing(self) -> bool:
        """Whether an installation is under way."""
        return self._installation is not None and not self._installation.finished

    def remind(self) -> None:
        """Says so where an installation was broken off."""
        names = unfinished(slicer.app.userSettings())
        if names:
            text = _("The installation of {packages} was interrupted; press Run to go on with it.")
            self._tell(text.format(packages=", ".join(names)))

    def ensure(self, then: Callable[[], None]) -> None:
        """Calls then() at once where nothing is missing; else after an installation to which the user agrees; not at
        all while one is under way."""
        if PackagesGate._under_way is not None and not PackagesGate._under_way.finished:
            self._tell(_("Packages are being installed; wait until that has ended."), isError=True)
            return
        names = dependencies.missing()
        if not names:
            then()
            return
        try:
            check_means(names, _wheels())
            if self._agreed(names):
                self._begin(names, then)
            else:
                self._tell(_("Nothing was installed; a segmentation needs these packages."), isError=True)
        except MedSegDiffError as error:
            self._tell(str(error), isError=True)

    def cancel(self) -> None:
        """Stops the installation under way."""
        if self.is_installing:
            self._installation.cancel()

    def _agreed(self, names: list[str]) -> bool:
        """Whether the user agrees to an installation, now or when one was begun that was broken off."""
        if set(names) <= set(unfinished(slicer.app.userSettings())):
            return True
        return slicer.util.confirmOkCancelDisplay(dependencies.explanation(names), _("Install Python packages"))

    def _begin(self, names: list[str], then: Callable[[], None]) -> None:
        installation = Installation(
            names, self._launch, slicer.app.userSettings(), find_python(), _slicer_program(), _wheels(), self._tell,
            lambda error: self._end(error, then),
        )  # fmt: skip
        self._installation = PackagesGate._under_way = installation.begin()
        self._on_changed()

    def _launch(self, command, on_line, on_done) -> Program:
        self._program = Program(command, on_line, on_done, slicer.util.startupEnvironment())
        if not self._timer.active:
            self._timer.connect("timeout()", self._look)  # which keeps this object until the program has ended
            self._timer.start()
        return self._program

    def _look(self) -> None:
        self._program.pump()
        if self._program.ended:
            self._timer.stop()
            self._timer.disconnect("timeout()", self._look)

    def _end(self, error: Exception | None, then: Callable[[], None]) -> None:
        self._on_changed()
        if error is None:
            self._tell("")
            then()
        else:
            self._tell(str(error), isError=not isinstance(error, Cancelled))


def _slicer_program() -> str:
    """What starts another Slicer: its launcher, which macOS has none of."""
    launcher = slicer.app.launcherExecutableFilePath
    return launcher if Path(launcher).is_file() else slicer.app.applicationFilePath()


def _wheels() -> str:
    return slicer.app.userSettings().value(WHEELS) or ""
