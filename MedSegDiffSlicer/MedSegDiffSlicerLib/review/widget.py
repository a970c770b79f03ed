"""The review in the panel: begins it, tells how far it is, ends it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import qt
import slicer
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError

from ..nodes.opinions import Opinions
from ..nodes.scene_change import is_in_scene
from ..nodes.scene_result import show_alone
from ..nodes.slicer_result import SlicerResult
from ..view.gui_background import GuiBackground
from ..view.segment_editor import open_for_painting, put_brush_away, save_state
from ..view.sentences import sentences
from ..view.slice_views import show_in_views
from .dock import ReviewDock
from .review import REPAINT, ReviewController
from .table import add, begun, findings, verdicts_of


_TOPIC = "review"  # question to the background


class ReviewWidget(qt.QWidget):
    """A button and a line of text. The places themselves are in a dock (ReviewDock) that stays when modules change.

    onPainting(painting): whether a place is being repainted; called each time that may have changed.
    setResult(added): whose places are reviewed, None for nothing; a review of another result ends.
    cleanup(): before the widget is given up.
    """

    def __init__(self, onPainting: Callable[[bool], None]):
        qt.QWidget.__init__(self)
        self._onPainting, self._wasPainting = onPainting, False
        self._added: SlicerResult | None = None
        self._dock: ReviewDock | None = None
        self._controller: ReviewController | None = None  # also after the review was left: it knows of undone verdicts
        self._background = GuiBackground(lambda _busy: self._update())
        row = qt.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self.startButton = qt.QPushButton(_("Review doubtful places"))
        self.startButton.objectName = "reviewButton"
        self.startButton.checkable = True
        self.startButton.toolTip = _("Shows the places where the segmentation may be wrong, one after the other")
        self.startButton.connect("clicked(bool)", self._onStart)
        self.progressLabel = qt.QLabel()
        self.progressLabel.objectName = "reviewLabel"
        self.progressLabel.wordWrap = True
        row.addWidget(self.startButton)
        row.addWidget(self.progressLabel, 1)
        self.setResult(None)

    @property
    def isActive(self) -> bool:
        """Whether a review is under way, with its keys in effect."""
        return self._dock is not None and self._dock.is_open

    def setResult(self, added: SlicerResult | None) -> None:
        """Of which result the places are; see MedSegDiffSlicerLib.nodes.scene_result for one that came with a scene."""
        if added is not self._added:
            self.stop()
            self._controller = None
        self._added = added
        self._update()

    def start(self) -> None:
        """Begins the review, or goes on with it."""
        self.stop()
        added = self._added
        try:
            table = begun(slicer.mrmlScene, added)
            find = findings(added) if table is None else lambda: None
        except RequestError as error:
            self._fail(error)
            return
        read = Opinions.source(added.result, added.samplesSequenceNode) or (lambda: None)
        self._background.ask(_TOPIC, lambda: (find(), read()), partial(self._begin, added, table), self._fail)
        self._update()

    def _begin(self, added: SlicerResult, table, answer: tuple) -> None:
        found, opinions = answer
        try:
            table = table or begun(slicer.mrmlScene, added) or add(slicer.mrmlScene, added, found)
        except RequestError as error:
            self._fail(error)
            return
        nodes = added.segmentationNode, added.volumeNode
        if self._controller is None or self._controller.table is not table:
            save = partial(save_state, *nodes)
            self._controller = ReviewController(table, added.result, save, open_for_painting, opinions)
        if not self._controller.places:
            self._update()
            self.progressLabel.text = _("No place is doubtful.")
            return
        self._dock = ReviewDock(self._controller, self._update)
        show_in_views(added.volumeNode)
        show_alone(slicer.mrmlScene, added.segmentationNode)
        self._dock.open()
        self._update()

    def _fail(self, error: Exception) -> None:
        self._update()
        self.progressLabel.text = sentences(error)

    def stop(self) -> None:
        """Leaves the review; it goes on where it was with the next start."""
        self._background.forget(_TOPIC)
        if self._dock is not None:
            self._dock.close()
            self._dock = None

    def cleanup(self) -> None:
        """Takes everything off the screen."""
        self.setResult(None)
        self._background.close()

    def _onStart(self, checked: bool) -> None:
        (self.start if checked else self.stop)()

    def _update(self) -> None:
        painting = self._dock is not None and self._dock.is_painting
        if self._wasPainting and not painting:
            put_brush_away()
        self._wasPainting = painting
        self._onPainting(painting)
        there = self._added is not None and is_in_scene(self._added.segmentationNode)
        self.startButton.enabled = there
        self.startButton.checked = self.isActive or self._background.busy
        verdicts = verdicts_of(slicer.mrmlScene, self._added.segmentationNode) if there else []
        left, painted = verdicts.count(""), verdicts.count(REPAINT)
        told = _("{judged} of {count} places judged") if verdicts else ""
        if painted:
            told = _("{judged} of {count} places judged, {painted} to repaint")
        if self._background.busy:
            told = _("Looking for doubtful places...")
        judged = len(verdicts) - left - painted
        self.progressLabel.text = told.format(judged=judged, count=len(verdicts), painted=painted)
