"""The model browser: what is installed, what it knows, how good it is; importing and removing."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import qt
import slicer
from slicer.i18n import tr as _

from medsegdiff.errors import MedSegDiffError
from medsegdiff.models.ensembles import read_installed

from ..view.message_color import style_of
from ..view.sentences import sentences
from .fitting_label import fit_height
from .model_browser import describe, is_removable, picture_of, remove

PICTURE_WIDTH = 300  # pixels


class ModelsSection:
    """The section 'Models' of the panel.

    ensure(then): calls then() once all packages are there.  on_changed(): a model was imported or removed.
    """

    def __init__(self, ui, logic, ensure: Callable, on_changed: Callable[[], None]):
        self._ui, self._logic, self._ensure, self._on_changed = ui, logic, ensure, on_changed
        self._packages: dict = {}
        self._broken: list[str] = []  # why others in the folders of models are not listed
        self._path = ""  # imported last
        ui.modelsMessageLabel.visible = False
        ui.modelsCollapsibleButton.connect("contentsCollapsed(bool)", lambda _on: fit_height(ui.modelDescriptionLabel))
        ui.modelsList.connect("currentTextChanged(QString)", self._show_model)
        ui.importFileButton.connect("clicked(bool)", self._on_import_file)
        ui.importFolderButton.connect("clicked(bool)", self._on_import_folder)
        ui.removeModelButton.connect("clicked(bool)", self._on_remove)

    def list_models(self, packages: dict) -> None:
        """Lists the packages, by name; the one looked at stays if it is still there."""
        looked_at = self._ui.modelsList.currentItem().text() if self._ui.modelsList.currentItem() else None
        self._packages, self._broken = packages, read_installed()[1]
        blocked = self._ui.modelsList.blockSignals(True)
        self._ui.modelsList.clear()
        self._ui.modelsList.addItems(list(packages))
        self._ui.modelsList.blockSignals(blocked)
        self.look_at(looked_at)

    def look_at(self, name: str | None) -> None:
        """Shows a model, the first one where there is none of that name."""
        names = list(self._packages)
        self._ui.modelsList.setCurrentRow(names.index(name) if name in names else 0)
        self._show_model(name if name in names else next(iter(names), ""))

    def import_model(self, path: str) -> None:
        """Imports a package or checkpoint and shows it, or says why not."""
        if not path:
            return
        self._path = path
        options = self._import_options()
        if options is not None:
            self._ensure(lambda: self._import(path, options))

    def _import(self, path: str, options: list[str]) -> None:
        buttons = self._ui.importFileButton, self._ui.importFolderButton
        for button in buttons:
            button.enabled = False
        self._tell(_("Checking whether the model fits..."))
        try:
            package = self._logic.importModel(path, options)
        except MedSegDiffError as error:
            self._tell(str(error), is_error=True)
            return
        finally:
            for button in buttons:
                button.enabled = True
        self._ui.importOptionsEdit.clear()
        before = self._packages.get(package.name)
        self._on_changed()
        self.look_at(package.name)
        self._tell(_("Imported to {folder}.").format(folder=package.folder) + _instead_of(before, package))

    def _on_import_file(self) -> None:
        kinds = _("Models") + " (*.zip *.pt *.pth *.ts *.onnx)"
        self.import_model(
            qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), _("Import a model"), self._path, kinds)
        )

    def _on_import_folder(self) -> None:
        self.import_model(
            qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Import a model"), self._path)
        )

    def _import_options(self) -> list[str] | None:
        """What the user typed; None where it cannot be read, or where code would run that the user does not trust."""
        try:
            options = shlex.split(self._ui.importOptionsEdit.text)
        except ValueError as error:
            self._tell(_("The options cannot be read: {error}.").format(error=error), is_error=True)
            return None
        if options and not options[0].startswith("--"):
            self._tell(
                _("Give options as --channels T1,T2; 'medsegdiff models import --help' lists them."), is_error=True
            )
            return None
        if "--trust" not in options or "--yes" in options:
            return options
        question = _("'{path}' may hold code, which will run with your rights. Do you trust whoever made it?")
        return [*options, "--yes"] if slicer.util.confirmYesNoDisplay(question.format(path=self._path)) else None

    def _on_remove(self) -> None:
        package = self._packages[self._ui.modelsList.currentItem().text()]
        question = _("Delete the model '{name}' in {folder}?").format(name=package.name, folder=package.folder)
        if not slicer.util.confirmOkCancelDisplay(question, _("Delete a model")):
            return
        try:
            remove(package)
        except MedSegDiffError as error:
            self._tell(str(error), is_error=True)
            return
        self._on_changed()
        self._tell(_("'{name}' was deleted.").format(name=package.name))

    def _show_model(self, name: str) -> None:
        package = self._packages.get(name)
        self._tell("\n".join(self._broken), is_error=bool(self._broken))
        self._show_description(describe(package) if package else _("No model is installed; import one."))
        picture = picture_of(package) if package else None
        self._ui.modelPictureLabel.visible = picture is not None
        if picture is not None:
            pixmap = qt.QPixmap(str(picture))
            self._ui.modelPictureLabel.setPixmap(pixmap.scaledToWidth(PICTURE_WIDTH, qt.Qt.SmoothTransformation))
        self._ui.removeModelButton.enabled = package is not None and is_removable(package)

    def _show_description(self, text: str) -> None:
        self._ui.modelDescriptionLabel.text = text
        fit_height(self._ui.modelDescriptionLabel)

    def _tell(self, text: str, is_error: bool = False) -> None:
        self._ui.modelsMessageLabel.text = sentences(text)
        self._ui.modelsMessageLabel.visible = text != ""
        fit_height(self._ui.modelsMessageLabel)
        self._ui.modelsMessageLabel.styleSheet = style_of(self._ui.modelsMessageLabel, is_error)


def _instead_of(before, package) -> str:
    """What became of the model that had the name of the imported one; empty where none had."""
    if before is None:
        return ""
    if before.folder == package.folder:
        return "\n" + _("It replaced the model '{name}' that was there.").format(name=package.name)
    text = _("The name '{name}' is also that of the model in {folder}: only one of the two can be chosen.")
    return "\n" + text.format(name=package.name, folder=before.folder)
