"""The review on the screen: the list of places and the verdicts, beside whatever module is open."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from functools import partial

import qt
import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from medsegdiff.errors import RequestError

from ..nodes.frame import told_of_frame
from ..nodes.slicer_result import volume_of_run
from ..view.message_color import style_of
from ..view.sentences import sentences
from ..view.shortcuts import Shortcuts
from ..view.timers import every, once
from ..view.translated import translated
from .review import ACCEPTED, ALTERNATIVE, REPAINT, ReviewController
from .table import Place

NAME = "MedSegDiffReview"  # of the dock widget
_MARKS = {ACCEPTED: "✓", ALTERNATIVE: "⇄", REPAINT: "✎"}
_LIST_SIZE = 260, 130  # pixels, at least
_LATE = 200  # ms between a change of the segments and the look whether it undid a verdict


class ReviewDock:
    """A dock widget of the main window, with its own keys, from `open` until `close`.

    onChanged(): called after each verdict and at the end.
    """

    def __init__(self, controller: ReviewController, onChanged: Callable[[], None]):
        self._controller, self._onChanged = controller, onChanged
        self._observations = VTKObservationMixin()
        self._widget, self._frame = None, ""  # what was told of the scan's frame
        actions = (
            (_("Previous"), "P", _("Back to the place before"), partial(self._do, controller.previous)),
            (_("Next"), "N", _("On to the next place"), partial(self._do, controller.next)),
            (_("Accept"), "K", _("It is right as it is (keep it); on to the next place without a verdict"),
             partial(self._do, controller.verdict, ACCEPTED)),
            (_("Other opinion"), "L", _("Write what the other opinions say here; once more: the next one"),
             partial(self._do, controller.verdict, ALTERNATIVE)),
            (_("Repaint"), "E", _("Open the Segment Editor here, with Paint"),
             partial(self._do, controller.verdict, REPAINT)),
            (_("Take back"), "U",
             _("Undo the last verdict and what it changed; of an earlier review the verdict on this place"),
             partial(self._do, controller.take_back)),
        )  # fmt: skip
        self._actions = actions
        self._shortcuts = Shortcuts({key: act for _text, key, _tip, act in actions})

    @property
    def is_open(self) -> bool:
        """Whether the review is on the screen."""
        return self._widget is not None

    @property
    def is_painting(self) -> bool:
        """Whether the place on the screen is being repainted."""
        return self.is_open and self._controller.painting

    def open(self) -> None:
        """Shows the list, puts the keys into effect and goes to the first place without a verdict."""
        self._build()
        self._place()
        self._follow.start()
        self._shortcuts.install()
        scene = slicer.mrmlScene
        for event in (scene.NodeRemovedEvent, scene.EndCloseEvent):
            self._observations.addObserver(scene, event, self._onNodesRemoved)
        kinds = slicer.vtkSegmentation  # an undo tells of one of these, depending on what was edited before
        for event in (kinds.SourceRepresentationModified, kinds.SegmentModified):
            self._observations.addObserver(
                self._controller.segmentation, event, lambda _caller, _event: self._late.start()
            )
        volume = volume_of_run(self._controller.segmentation)
        if volume is not None:  # which may show another frame
            self._observations.addObserver(
                volume, volume.ImageDataModifiedEvent, lambda _caller, _event: self._late.start()
            )
        self._do(lambda: None if self._controller.go_on() else self._controller.go(self._controller.current))

    def close(self) -> None:
        """Takes list, keys and outlines away; the verdicts stay in the scene."""
        if self._widget is None:
            return
        self._shortcuts.remove()
        self._follow.stop()
        self._late.stop()
        self._observations.removeObservers()
        self._controller.stop()
        slicer.util.mainWindow().removeDockWidget(self._widget)
        self._widget.setParent(None)
        self._widget.deleteLater()
        self._widget = None
        self._onChanged()

    def _build(self) -> None:
        self._widget = qt.QDockWidget(self._title())
        self._widget.objectName = NAME
        self._late = once(self._widget, _LATE, self._notice_undo)
        self._follow = every(self._widget, _LATE, self._followWindow)
        self._widget.setFeatures(qt.QDockWidget.DockWidgetMovable | qt.QDockWidget.DockWidgetFloatable)
        content, beside = qt.QWidget(), qt.QVBoxLayout()
        self._box = qt.QBoxLayout(qt.QBoxLayout.TopToBottom, content)
        self._list = qt.QTableWidget()
        self._list.objectName = "placeTable"
        header = [_("Place, RAS [mm]"), _("Dice"), ""]
        self._list.setColumnCount(len(header))
        self._list.setHorizontalHeaderLabels(header)
        self._list.horizontalHeaderItem(1).setToolTip(_("What correcting the place is expected to gain"))
        self._list.horizontalHeaderItem(2).setToolTip(_("The verdict"))
        self._list.verticalHeader().visible = False
        self._list.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header = self._list.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        self._list.setMinimumSize(*_LIST_SIZE)
        self._list.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        self._list.setSelectionMode(qt.QAbstractItemView.SingleSelection)
        self._list.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        self._list.setFocusPolicy(qt.Qt.NoFocus)  # a list with the focus would search for the letters typed
        self._list.connect("cellClicked(int,int)", self._onClicked)
        self._box.addWidget(self._list, 1)
        self._box.addLayout(beside)
        self._buttons = []
        for text, key, tip, act in self._actions:
            button = qt.QPushButton(f"{text} ({key})")
            button.objectName = f"key{key}"
            button.toolTip = tip
            button.setFocusPolicy(qt.Qt.NoFocus)
            button.connect("clicked()", act)
            self._buttons.append(button)
        self._grid = qt.QGridLayout()
        beside.addLayout(self._grid)
        self._message = qt.QLabel()
        self._message.objectName = "messageLabel"
        self._message.wordWrap = True
        beside.addWidget(self._message)
        leave = qt.QPushButton(_("Leave the review"))
        leave.objectName = "leaveButton"
        leave.connect("clicked()", self.close)
        beside.addWidget(leave)
        self._widget.setWidget(content)

    def _title(self) -> str:
        """With the name of the segmentation, where there are others that it might be of."""
        if slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") < 2:
            return _("Review of doubtful places")
        text = _("Review of doubtful places of '{segmentation}'")
        return text.format(segmentation=self._controller.segmentation.GetName())

    def _place(self) -> None:
        """To the right of the views, or, where the window would have to grow for it, flat below them."""
        window = slicer.util.mainWindow()
        self._width = window.width
        self._arrange(isFlat=False)
        self._arrange(isFlat=window.minimumSizeHint.width() + self._widget.minimumSizeHint.width() > self._width)
        window.addDockWidget(qt.Qt.BottomDockWidgetArea if self._isFlat else qt.Qt.RightDockWidgetArea, self._widget)

    def _followWindow(self) -> None:
        """Goes below the views once the window grew, as these or the module need more of it than they did."""
        window = slicer.util.mainWindow()
        if window.width > window.minimumSizeHint.width():  # the user's own choice
            self._width = window.width
        elif (
            window.width > self._width
            and not self._widget.floating
            and window.dockWidgetArea(self._widget) == qt.Qt.RightDockWidgetArea
        ):
            window.removeDockWidget(self._widget)
            self._arrange(isFlat=True)
            window.addDockWidget(qt.Qt.BottomDockWidgetArea, self._widget)
            self._widget.show()
            if not (window.isMaximized() or window.isFullScreen()):
                window.resize(self._width, window.height)
            self._show()

    def _arrange(self, isFlat: bool) -> None:
        """isFlat: the buttons beside the list, and not below it."""
        self._isFlat = isFlat
        self._box.setDirection(qt.QBoxLayout.LeftToRight if isFlat else qt.QBoxLayout.TopToBottom)
        columns = 3 if isFlat else 2
        for number, button in enumerate(self._buttons):
            self._grid.addWidget(button, number // columns, number % columns)

    def _onClicked(self, row: int, _column: int) -> None:
        self._do(self._controller.go, row)

    def _onNodesRemoved(self, _caller, _event) -> None:
        if not self._controller.is_alive:
            self.close()

    def _notice_undo(self) -> None:
        if self._widget is not None and self._controller.is_alive:
            with self._told():
                undone = self._controller.notice_undo()
                if undone:
                    self._do(lambda: undone)
                else:
                    self._show()  # a segment may have another name
                    if self._frame != told_of_frame(self._controller.segmentation):
                        self._do(lambda: None)

    def _do(self, action: Callable, *arguments) -> None:
        """Does something, says what came of it and brings the list up to date."""
        with self._told():
            text = action(*arguments) or _unseen()
            self._frame = told_of_frame(self._controller.segmentation) if self._controller.is_alive else ""
            self._tell("\n".join(filter(None, (text, self._frame))))
        if self._widget is not None and self._controller.is_alive:
            self._show()
            self._onChanged()

    @contextmanager
    def _told(self):
        try:
            yield
        except RequestError as error:
            self._tell(str(error), failed=True)

    def _tell(self, text: str, failed: bool = False) -> None:
        if self._widget is not None:
            self._message.text = sentences(text)
            self._message.styleSheet = style_of(self._message, isError=failed)

    def _show(self) -> None:
        self._widget.windowTitle = self._title()
        places = self._controller.places
        self._list.setRowCount(len(places))
        for row, place in enumerate(places):
            where = ", ".join(f"{mm:.0f}" for mm in self._controller.position(place))
            between = ": " if self._isFlat else "\n"
            texts = f"{self._controller.name(place)}{between}{where}", _gain(place), _MARKS.get(place.verdict, "")
            for column, text in enumerate(texts):
                self._list.setItem(row, column, qt.QTableWidgetItem(text))
            if place.withheld:
                told = _("No Dice can be expected here: {why}.").format(why=translated(place.withheld))
                self._list.item(row, 1).setToolTip(told)
        if places:
            self._list.selectRow(self._controller.current)


def _unseen() -> str:
    """What a user is told who sees no slice."""
    manager = slicer.app.layoutManager()
    if any(manager.sliceWidget(name).visible for name in manager.sliceViewNames()):
        return ""
    return _("No slice view is open; choose a layout with slices to see the places.")


def _gain(place: Place) -> str:
    """Of its structure's Dice; a question mark where that is not calibrated for the scan."""
    gain = f"{place.dice_gain:+.3f}" if place.dice_gain >= 0.0005 else "< 0.001"
    return f"{gain} ?" if place.withheld else gain
