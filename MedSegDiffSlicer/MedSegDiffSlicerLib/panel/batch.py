"""The section 'Batch' of the panel: many scans one after the other, or all frames of a sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import qt
import slicer
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError
from medsegdiff.image.volume_text import in_ml

from ..jobs.batch import CANCELLED, DONE, FAILED, RUNNING, WAITING, Batch, Case
from ..jobs.batch_cases import possible_cases
from ..jobs.channels import first_of
from ..jobs.copy_as_python import batch_call, sequence_call
from ..jobs.run_log import outcomes_of
from ..nodes.batch_table import find_table, follow_segments, state_of
from ..nodes.sequence_frames import SequenceFrames
from ..view.sentences import sentences
from ..view.slice_views import show_in_views
from ..view.timers import every
from ..view.volume_table import hide_table, is_table_shown, show_table
from .fitting_label import set_text

SCANS, SEQUENCE = "scans", "sequence"
LINES = 4  # of the volumes of a case that are shown
LOOK = 1000  # ms between two looks whether the segments of a table on the screen were edited


class BatchSection:
    """Lists the cases, runs the ticked ones and tells how each goes.

    asked(): model, arguments of the logic's start functions, channels and input volumes as the panel shows them.
    ensure(then): calls then() once all packages are there.  on_call(text): a batch began, this is it as Python.
    on_outcome(text): what came of its cases so far, for the log.  on_changed(): it began or ended.  copy(text): into
    the clipboard.
    """

    def __init__(
        self, ui, logic, asked: Callable, ensure: Callable, on_call: Callable, on_outcome: Callable,
        on_changed: Callable, copy: Callable,
    ):  # fmt: skip
        self._ui, self._logic, self._asked, self._ensure = ui, logic, asked, ensure
        self._on_call, self._on_outcome, self._on_changed = on_call, on_outcome, on_changed
        self._cases: list[tuple] = []  # of the rows: name, and the input volumes, or the frame's number
        self._listed: tuple = ()  # of what the rows are
        self._begun: tuple = ()  # of what the batch is: browser, and cases as listed
        self._rows: list[int | None] = []  # of the batch's cases; None for one that is not listed any more
        self._call = ""  # that runs the batch in the console
        self._followed: dict = {}  # state of the segments that the table on the screen tells of
        self._seen: dict = {}  # and at the last look
        self._look = every(ui.batchTable, LOOK, self._follow)
        self.batch: Batch | None = None
        header = [_("Case"), _("State"), _("Volumes as segmented [ml]")]
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
        ui.batchResumeButton.connect("clicked(bool)", lambda: self._ensure(self._resume))
        ui.batchCopyButton.connect("clicked(bool)", lambda: copy(self._call))
        ui.batchTableButton.checkable = True
        ui.batchTableButton.connect("clicked(bool)", self._on_table)
        if slicer.app.layoutManager() is not None:  # else the application has no window
            slicer.app.layoutManager().connect("layoutChanged(int)", self._on_layout)

    @property
    def is_running(self) -> bool:
        """Whether a batch is under way."""
        return self.batch is not None and not self.batch.finished

    @property
    def kind(self) -> str:
        """SCANS or SEQUENCE."""
        return self._ui.batchKindComboBox.itemData(self._ui.batchKindComboBox.currentIndex)

    def forget(self) -> None:
        """The scene is closed: nothing that the last batch was about is there any more, and would be kept by it."""
        self.cancel()
        self.batch = None
        self._call, self._begun, self._rows, self._cases, self._listed = "", (), [], [], ()
        self._ui.batchTable.setRowCount(0)

    def cancel(self) -> None:
        """Stops the batch under way."""
        if self.is_running:
            self.batch.cancel()

    def close(self) -> None:
        """Before the panel is given up."""
        self.cancel()
        self._look.stop()
        if slicer.app.layoutManager() is not None:
            slicer.app.layoutManager().disconnect("layoutChanged(int)", self._on_layout)

    def update(self) -> None:
        """Lists what can be segmented, unless a batch is running; cases whose ticks were taken away stay without."""
        is_sequence = self.kind == SEQUENCE
        browser = self._ui.browserSelector.currentNode() if is_sequence else None
        self._ui.browserSelector.visible = self._ui.SequenceTitleLabel.visible = is_sequence
        if not self.is_running and not self._ui.batchCollapsibleButton.collapsed:
            _model, _arguments, channels, inputs = self._asked()
            if is_sequence:
                cases, why = _frames(browser, inputs)
            else:
                cases = possible_cases(slicer.mrmlScene, channels) if channels else []
                why = _("no scan of the scene can be segmented with the model") if not cases else ""
            listed = browser, cases, why
            if listed != self._listed:
                ticked = self._ticked()
                left_out = [_identity(case) for row, case in enumerate(self._cases) if row not in ticked]
                self._listed, self._cases = listed, cases
                self._list([_identity(case) not in left_out for case in cases], why)
                self._find_rows(browser)
        self._update_buttons()

    def _find_rows(self, browser) -> None:
        """Shows the states of the batch's cases in the rows of a new list."""
        if self.batch is not None and self._begun:
            of, cases = self._begun
            known = list(map(_identity, self._cases)) if of is browser else []
            self._rows = [known.index(one) if one in known else None for one in map(_identity, cases)]
            self._show_states(self.batch)

    def _run(self) -> None:
        model, arguments, _channels, inputs = self._asked()
        told = {"onChanged": self._show_states, "onFinished": self._on_finished}
        self._rows = self._ticked()
        chosen = [self._cases[row] for row in self._rows]
        self._begun = self._listed[0], chosen
        try:
            if self.kind == SEQUENCE:
                browser = self._ui.browserSelector.currentNode()
                options = {key: value for key, value in arguments.items() if key not in _NODES_ONLY}
                if len(chosen) < len(self._cases):
                    options["frames"] = [frame for _name, frame in chosen]
                self._keep_call(sequence_call(browser, inputs, model, options))
                self.batch = self._logic.startSequenceBatch(browser, inputs, model=model, **told, **options)
                show_in_views(first_of(inputs))
            else:
                arguments.pop("segmentationNode", None)
                names, volumes = zip(*chosen)
                self._keep_call(batch_call(volumes, model, arguments, names))
                self.batch = self._logic.startBatch(volumes, model=model, names=names, **told, **arguments)
        except Exception as error:  # unusable requests and scenes are told, whatever they are
            self._begun, self._rows = (), []
            self._on_outcome(f"refused: {error}")
            slicer.util.errorDisplay(sentences(error))
            return
        self._on_outcome(outcomes_of(self.batch.cases))
        self._clear_states()
        self._show_states(self.batch)
        self._on_changed()

    def _keep_call(self, text: str) -> None:
        self._call = text
        self._on_call(text)

    def _resume(self) -> None:
        self.batch.resume(self._unfinished())
        self._on_call(self._call)
        self._on_outcome(outcomes_of(self.batch.cases))
        self._show_states(self.batch)
        self._on_changed()

    def _on_finished(self, batch: Batch) -> None:
        if batch is not self.batch:  # of a scene that was closed
            return
        self._on_outcome(outcomes_of(batch.cases))
        self._show_states(batch)
        self._on_changed()

    def _on_table(self, wanted: bool) -> None:
        table = self._table()
        if wanted:
            follow_segments(table)
            self._followed = state_of(table)
            show_table(table)
        else:
            hide_table(table)
        self._on_layout()

    def _follow(self) -> None:
        """Once nothing is edited any more."""
        table, before = self._table(), self._seen
        self._seen = state_of(table) if is_table_shown(table) else {}
        if self._seen == before != self._followed:
            follow_segments(table, self._followed)
            self._followed = before

    def _table(self):
        """Of the last batch of the kind that is chosen, or else of the last one."""
        return find_table(slicer.mrmlScene, self.kind == SEQUENCE)

    def _on_layout(self, _layout: int = 0) -> None:
        self._ui.batchTableButton.checked = shown = is_table_shown(self._table())
        if shown != self._look.active:
            (self._look.start if shown else self._look.stop)()

    def _show_states(self, batch: Batch) -> None:
        if batch is not self.batch:  # of a scene that was closed
            return
        words = {
            WAITING: _("waiting"), RUNNING: _("running"), DONE: _("done"), FAILED: _("failed"),
            CANCELLED: _("cancelled"),
        }  # fmt: skip
        table = self._ui.batchTable
        for row, case in zip(self._rows, batch.cases):
            if row is None:
                continue
            waits = case.state == RUNNING and case.fraction == 0  # for another run, or its worker
            state = WAITING if waits else case.state
            text = f"{words[state]} {100 * case.fraction:.0f} %" if state == RUNNING else words[state]
            report = {"segments": []} if case.result is None else case.result.report
            warned = sentences("\n".join(report.get("warnings", [])))
            _set_text(table, row, 1, _("{state} (!)").format(state=text) if warned else text, warned)
            _set_text(table, row, 2, sentences(case.error) if case.state == FAILED else _volumes_of(report), warned)
        table.resizeRowsToContents()
        self._ui.batchProgressBar.value = round(1000 * batch.fraction)
        self._update_buttons()

    def _clear_states(self) -> None:
        for row in range(self._ui.batchTable.rowCount):
            for column in (1, 2):
                _set_text(self._ui.batchTable, row, column, "")

    def _list(self, ticks: Sequence[bool], why: str) -> None:
        """ticks: of the cases.  why: there are none."""
        table = self._ui.batchTable
        blocked = table.blockSignals(True)
        table.setRowCount(len(self._cases))
        for row, ((name, inputs), tick) in enumerate(zip(self._cases, ticks)):
            item = qt.QTableWidgetItem(name)
            item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable)
            item.setCheckState(qt.Qt.Checked if tick else qt.Qt.Unchecked)
            if isinstance(inputs, list) and len(inputs) > 1:
                item.setToolTip("\n".join(volume.GetName() for volume in inputs if volume is not None))
            for column, each in enumerate((item, qt.QTableWidgetItem(""), qt.QTableWidgetItem(""))):
                table.setItem(row, column, each)
        table.resizeColumnToContents(0)
        table.blockSignals(blocked)
        set_text(self._ui.batchWhyLabel, sentences(why))
        self._ui.batchWhyLabel.visible = bool(why)

    def _ticked(self) -> list[int]:
        table = self._ui.batchTable
        return [row for row in range(table.rowCount) if table.item(row, 0).checkState() == qt.Qt.Checked]

    def _unfinished(self) -> list[Case]:
        """The ticked cases of the batch that were cancelled or failed."""
        ticked, cases = self._ticked(), zip(self._rows, self.batch.cases)
        return [case for row, case in cases if row in ticked and case.state in (FAILED, CANCELLED)]

    def _update_buttons(self) -> None:
        self._ui.batchRunButton.enabled = bool(self._ticked()) and not self.is_running
        self._ui.batchCancelButton.enabled = self._ui.batchProgressBar.visible = self.is_running
        self._ui.batchResumeButton.enabled = self.batch is not None and self.batch.resumable and bool(
            self._unfinished()
        )
        self._ui.batchCopyButton.enabled = self._call != ""
        self._ui.batchTableButton.enabled = self._table() is not None
        self._on_layout()


def _identity(case: tuple):
    """What stays of a case when volumes are renamed, or when frames change their numbers."""
    name, inputs = case
    return name if isinstance(inputs, int) else inputs


_NODES_ONLY = ("segmentationNode", "measures", "probabilityVolumes", "samplesSequence")  # not of sequences


def _frames(browser, volumes: Sequence) -> tuple[list[tuple[str, int]], str]:
    """Name and number of each frame, and why there are none."""
    given = [volume for volume in volumes if volume is not None]
    if browser is None or not given:
        return [], _("choose an input volume above and the sequence browser that shows it")
    try:
        frames = SequenceFrames(slicer.mrmlScene, browser, given)
    except RequestError as error:
        return [], str(error)
    return [(frames.name(frame), frame) for frame in range(len(frames))], ""


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
