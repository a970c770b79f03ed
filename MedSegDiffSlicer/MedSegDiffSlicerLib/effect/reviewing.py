"""The review of what the effect wrote: its nodes come when it is asked for, and go when the writing is undone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

import qt
import slicer
from slicer.i18n import tr as _

from ..nodes.frame import browser_of
from ..nodes.nodes_from_result import ResultAdding
from ..nodes.result_nodes import remove_nodes
from ..nodes.scene_change import is_in_scene
from ..nodes.segment_numbers import keep_numbers, was_painted
from ..nodes.slicer_result import RUN, SlicerResult, nodes_of_run
from ..review.table import Findings, add, find_review, findings, verdicts_of
from ..view.gui_background import GuiBackground
from .applied import Applied

_TOPIC = "result to review"
INTERVAL = 200  # ms between two looks whether it was undone
KEPT = 4  # reviews that undo brings back


class EffectReview:
    """Hands what was written over to the module's panel, whose review it then is.

    panel(): that panel, another one once the module was reloaded.  say(text): there is nothing to go through.
    failed(error): it could not be handed over.

    It goes on when the effect is left. Undo takes it away, and brings one that had verdicts back.
    """

    def __init__(
        self, panel: Callable, background: GuiBackground, say: Callable[[str], None],
        failed: Callable[[Exception], None],
    ):  # fmt: skip
        self._panel, self._background, self._say, self._failed = panel, background, say, failed
        self._begun: Applied | None = None  # and its places are not known yet
        self._handed: dict[object, tuple[Applied, SlicerResult]] = {}  # by segmentation
        self._undone: deque[Applied] = deque(maxlen=KEPT)  # whose verdicts wait for being brought back
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL)
        self._timer.connect("timeout()", self._look)

    def verdicts(self, segmentation) -> int:
        """How many places of the segmentation's review have one; it ends where the segments are written anew."""
        there = self._is_own(segmentation) and self._handed[segmentation][0].holds
        return sum(map(bool, verdicts_of(slicer.mrmlScene, segmentation))) if there else 0

    def is_open(self, segmentation) -> bool:
        """Whether the user is at that of the segmentation."""
        return self._is_own(segmentation) and self._panel().is_reviewing(segmentation)

    def begin(self, applied: Applied) -> None:
        """Adds samples, map of uncertainty and table to the scene, and begins the review; or goes on with it."""
        self._look()
        known, added = self._handed.get(applied.segmentation, (None, None))
        if known is applied and all(map(is_in_scene, added.nodes())):
            self._hand_over(applied)
        elif browser_of(applied.segmentation):
            text = _("Segmentations of a sequence's frames cannot be reviewed; apply to another segmentation.")
            self._say(text)
        elif self._is_own(applied.segmentation) or self._may_replace(applied.segmentation):
            self._background.forget(_TOPIC, _topic_of(applied))  # what was asked by the click before, or an undo
            self._ask(_TOPIC, applied, self._open_review)

    def close(self) -> None:
        """Before it is given up; what is in the scene stays."""
        self._timer.stop()
        self._timer.disconnect("timeout()", self._look)

    def _ask(self, topic: str, applied: Applied, then: Callable[[Applied, SlicerResult], None]) -> None:
        """Has the nodes added, then calls then(applied, what was added); nothing happens where it is undone by then."""
        work_out = partial(applied.result, frozenset(applied.labels))
        self._background.ask(topic, work_out, lambda result: self._add(applied, result, then), self._failed)

    def _add(self, applied: Applied, result, then: Callable[[Applied, SlicerResult], None]) -> Iterator[None]:
        """Yields after each short step."""
        adding = ResultAdding(
            slicer.mrmlScene,
            result,
            applied.volume,
            applied.segmentation,
            probabilities=False,
            ahead=True,
            written=True,
        )
        adding.added.frame = applied.frame  # by now the volume may show another one
        done = False
        try:
            while applied.holds and not (done := adding.step()):
                yield
        finally:
            if not done:
                adding.undo()
        if done:
            adding.added.verdicts = applied.verdicts
            self._handed[applied.segmentation] = applied, adding.added
            self._timer.start()
            then(applied, adding.added)
        else:
            self._wait_for_redo(applied)

    def _open_review(self, applied: Applied, added: SlicerResult) -> None:
        applied.stand_for_labels()
        node = applied.segmentation
        left = {label: segment_id for label, segment_id in applied.labels.items() if not was_painted(node, segment_id)}
        keep_numbers(node, added.result, left)  # of the rule that was applied
        self._hand_over(applied)

    def _hand_over(self, applied: Applied) -> None:
        self._begun = applied
        self._panel().review(self._handed[applied.segmentation][1])

    def _look(self) -> None:
        self._look_for_places()
        for applied in [applied for applied, _added in self._handed.values() if not applied.holds]:
            self._take_back(applied)
        for applied in [applied for applied in self._undone if applied.holds]:
            self._undone.remove(applied)
            if not nodes_of_run(slicer.mrmlScene, applied.segmentation):
                self._ask(_topic_of(applied), applied, self._bring_back)
        self._undone = deque((one for one in self._undone if is_in_scene(one.segmentation)), KEPT)
        if not (self._handed or self._undone):
            self._timer.stop()

    def _take_back(self, applied: Applied) -> None:
        segmentation = applied.segmentation
        if self._is_own(segmentation):
            applied.verdicts = verdicts_of(slicer.mrmlScene, segmentation)
            self._wait_for_redo(applied)
            self._panel().forget(segmentation)
            if is_in_scene(segmentation):
                remove_nodes(slicer.mrmlScene, nodes_of_run(slicer.mrmlScene, segmentation))
                segmentation.RemoveAttribute(RUN)
        del self._handed[segmentation]

    def _bring_back(self, applied: Applied, added: SlicerResult) -> None:
        """Also the verdicts, to be saved with the scene; the review itself begins when it is asked for. The segments
        have their marks again already, and writing them would end what can be redone."""

        def put(found: Findings) -> None:
            if applied.holds and find_review(slicer.mrmlScene, applied.segmentation) is None:
                add(slicer.mrmlScene, added, found)

        self._background.ask(_topic_of(applied), findings(added), put, self._failed)

    def _wait_for_redo(self, applied: Applied) -> None:
        if any(applied.verdicts) and applied not in self._undone:
            self._undone.append(applied)
            self._timer.start()

    def _look_for_places(self) -> None:
        """Says so where there are none, as the panel may be out of sight."""
        begun = self._begun
        if begun is None or not begun.holds:
            self._begun = None
        elif (table := find_review(slicer.mrmlScene, begun.segmentation)) is not None:
            self._begun = None
            if not table.GetNumberOfRows():
                self._say(_("No place is doubtful."))

    def _is_own(self, segmentation) -> bool:
        """Whether what the segmentation has of a run is of an earlier review of the effect; a run of panel or console
        replaces that."""
        _applied, added = self._handed.get(segmentation, (None, None))
        return added is not None and any(node is not segmentation and is_in_scene(node) for node in added.nodes())

    def _may_replace(self, segmentation) -> bool:
        """Whether what a run of the panel or console left with that segmentation may go: a segmentation has one."""
        if not nodes_of_run(slicer.mrmlScene, segmentation):
            return True
        text = _(
            "'{name}' holds the result of another run: its maps, samples, table and review make room for those of what "
            "was applied. To keep both, apply to another segmentation."
        )
        return slicer.util.confirmOkCancelDisplay(text.format(name=segmentation.GetName()), _("Review"))


def _topic_of(applied: Applied) -> str:
    """Of what an undo brings back: several segmentations may be waiting for that."""
    return f"{_TOPIC} of {applied.segmentation.GetID()}"
