"""The section 'Batch' of the panel: many scans one after the other, or all frames of a sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import qt
import slicer
from slicer.i18n import tr as _

from ..jobs.batch import CANCELLED, DONE, FAILED, RUNNING, WAITING, Batch
from ..jobs.batch_cases import possible_cases
from ..jobs.channels import first_of
from ..jobs.copy_as_python import batch_call, sequence_call
from ..nodes.scene_change import is_in_scene
from ..nodes.segment_numbers import in_ml
from ..view.sentences import sentences
from .inputs import show_in_views

SCANS, SEQUENCE = "scans", "sequence"
LINES = 4  # of the volumes of a case that are shown


class BatchSection:
    """Lists the cases, runs the ticked ones and tells how each goes.

    asked(): model, arguments of the logic's start functions, channels and input volumes as the panel shows them.
    ensure(then): calls then() once all packages are there.  on_call(text): a batch began, this is it as Python.
    on_changed(): it began or ended.
    """

    def __init__(self, ui, logic, asked: Callable, ensure: Callable, on_call: Callable, on_changed: Callable):
        self._ui, self._logic, self._asked, self._ensure = ui, logic, asked, ensure
        self._on_call, self._on_changed = on_call, on_changed
        self._cases: list[tuple[str, list]] = []
        self._listed: tuple = ()  # of what the rows are
        self._rows: list[int] = []  # of the batch's cases
        self.batch: Batch | None = None
        header = [_("Case"), _("State"), _("Volumes [ml]")]
        ui.batchTable.setColumnCount(len(header))
        ui.batchTable.setHorizontalHeaderLabels(header)
        ui.batchTable.horizontalHeader().setStretchLastSection(True)
        ui.batchTable.horizontalHeader().setSectionResizeMode(1, qt.QHeaderView.ResizeToContents)
        ui.batchKindComboBox.addItem(_("scans of the scene"), SCANS)
        ui.batchKindComboBox.addItem(_("frames of a sequence"), SEQUENCE)
        ui.batchProgressBar.visible = False
        ui.batchKindComboBox.connect("currentIndexChanged(int)", lambda _index: self.update())
        ui.browserSelector.connect("currentNodeChanged(vtkMRMLNode*)", lambda _node: self.update())
        ui.batchCollapsibleButton.connect("contentsCollapsed(bool)", lambda _collapsed: self.update())
        ui.batchTable.connect("itemChanged(QTableWidgetItem*)", lambda _item: self._update_buttons())
        ui.batchRunButton.connect("clicked(bool)", lambda: self._ensure(self._run))
        ui.batchCancelButton.connect("clicked(bool)", self.cancel)
        ui.batchTableButton.connect("clicked(bool)", self._on_show_table)

    @property
    def is_running(self) -> bool:
        """Whether a batch is under way."""
        return self.batch is not None and not self.batch.finished

    @property
    def kind(self) -> str:
        """SCANS or SEQUENCE."""
        return self._ui.batchKindComboBox.itemData(self._ui.batchKindComboBox.currentIndex)

    def cancel(self) -> None:
        """Stops the batch under way."""
        if self.is_running:
            self.batch.cancel()

    def update(self) -> None:
        """Lists what can be segmented, unless a batch is running; scans whose ticks were taken away stay without."""
        is_sequence = self.kind == SEQUENCE
        self._ui.browserSelector.visible = self._ui.SequenceTitleLabel.visible = is_sequence
        if not self.is_running and not self._ui.batchCollapsibleButton.collapsed:
            _model, _arguments, channels, _inputs = self._asked()
            cases = possible_cases(slicer.mrmlScene, channels) if channels and not is_sequence else []
            listed = self.kind, self._ui.browserSelector.currentNode() if is_sequence else cases
            if listed != self._listed:
                ticked = self._ticked()
                left_out = [case for row, case in enumerate(self._cases) if row not in ticked]
                self._listed, self._cases = listed, cases
                self._list([name for name, _volumes in cases], [case not in left_out for case in cases])
        self._update_buttons()

    def _run(self) -> None:
        model, arguments, _channels, inputs = self._asked()
        told = {"onChanged": self._show_states, "onFinished": self._on_finished}
        try:
            if self.kind == SEQUENCE:
                browser = self._ui.browserSelector.currentNode()
                options = {key: value for key, value in arguments.items() if key not in _NODES_ONLY}
                self.batch = self._logic.startSequenceBatch(browser, inputs, model=model, **told, **options)
                show_in_views(first_of(inputs))
                self._on_call(sequence_call(browser, inputs, model, options))
                self._rows = list(range(len(self.batch.cases)))
                self._list([case.name for case in self.batch.cases])
            else:
                self._rows = self._ticked()
                arguments.pop("segmentationNode", None)
                names, volumes = zip(*(self._cases[row] for row in self._rows))
                self._clear_states()
                self._on_call(batch_call(volumes, model, arguments, names))
                self.batch = self._logic.startBatch(volumes, model=model, names=names, **told, **arguments)
        except Exception as error:  # unusable requests and scenes are told, whatever they are
            slicer.util.errorDisplay(str(error))
            return
        self._show_states(self.batch)
        self._on_changed()

    def _on_finished(self, batch: Batch) -> None:
        self._show_states(batch)
        self._on_changed()

    def _on_show_table(self) -> None:
        layouts = slicer.app.layoutManager()
        layouts.setLayout(slicer.modules.tables.logic().GetLayoutWithTable(layouts.layout))  # whose view it goes to
        selection = slicer.app.applicationLogic().GetSelectionNode()
        selection.SetActiveTableID(self.batch.table.GetID())
        slicer.app.applicationLogic().PropagateTableSelection()

    def _show_states(self, batch: Batch) -> None:
        words = {
            WAITING: _("waiting"), RUNNING: _("running"), DONE: _("done"), FAILED: _("failed"),
            CANCELLED: _("cancelled"),
        }  # fmt: skip
        table = self._ui.batchTable
        for row, case in zip(self._rows, batch.cases):
            text = f"{words[case.state]} {100 * case.fraction:.0f} %" if case.state == RUNNING else words[case.state]
            report = {"segments": []} if case.result is None else case.result.report
            warned = sentences("\n".join(report.get("warnings", [])))
            _set_text(table, row, 1, _("{state} (!)").format(state=text) if warned else text, warned)
            _set_text(table, row, 2, str(case.error) if case.state == FAILED else _volumes_of(report), warned)
        table.resizeRowsToContents()
        self._ui.batchProgressBar.value = round(1000 * batch.fraction)
        self._update_buttons()

    def _clear_states(self) -> None:
        for row in range(self._ui.batchTable.rowCount):
            for column in (1, 2):
                _set_text(self._ui.batchTable, row, column, "")

    def _list(self, names: Sequence[str], ticks: Sequence[bool] = ()) -> None:
        """ticks: of the rows; none where all are segmented."""
        table = self._ui.batchTable
        blocked = table.blockSignals(True)
        table.setRowCount(len(names))
        for row, name in enumerate(names):
            item = qt.QTableWidgetItem(name)
            if ticks:
                item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable)
                item.setCheckState(qt.Qt.Checked if ticks[row] else qt.Qt.Unchecked)
            for column, each in enumerate((item, qt.QTableWidgetItem(""), qt.QTableWidgetItem(""))):
                table.setItem(row, column, each)
        table.resizeColumnToContents(0)
        table.blockSignals(blocked)

    def _ticked(self) -> list[int]:
        table = self._ui.batchTable
        return [row for row in range(table.rowCount) if table.item(row, 0).checkState() == qt.Qt.Checked]

    def _update_buttons(self) -> None:
        is_sequence = self.kind == SEQUENCE
        some = self._ui.browserSelector.currentNode() is not None if is_sequence else bool(self._ticked())
        self._ui.batchRunButton.enabled = some and not self.is_running
        self._ui.batchCancelButton.enabled = self._ui.batchProgressBar.visible = self.is_running
        self._ui.batchTableButton.enabled = self.batch is not None and is_in_scene(self.batch.table)


_NODES_ONLY = ("segmentationNode", "measures", "probabilityVolumes", "samplesSequence")  # not of sequences


def _volumes_of(report: dict) -> str:
    """The volumes of a case with their intervals, a line each; a question mark where they were not calibrated for it."""
    return "\n".join(
        "{name} {volume} ({low} - {high}{unsure})".format(
            name=entry["name"], volume=in_ml(entry["volume_mm3"]), low=in_ml(entry["volume_interval_mm3"][0]),
            high=in_ml(entry["volume_interval_mm3"][1]), unsure=" ?" if entry.get("expected_dice_withheld") else "",
        )
        for entry in report["segments"]
    )  # fmt: skip


def _set_text(table, row: int, column: int, text: str, more: str = "") -> None:
    """All of a long text is in the tool tip, and what more there is to say."""
    item, lines, tip = table.item(row, column), text.split("\n"), "\n\n".join(filter(None, (text, more)))
    if item is not None and item.toolTip() != tip:
        item.setText("\n".join([*lines[:LINES], *(["..."] if len(lines) > LINES else [])]))
        item.setToolTip(tip)
