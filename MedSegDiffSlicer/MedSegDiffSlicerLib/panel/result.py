"""What the last run left: overlay, table with intervals, plot, and the buttons for all of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import ctk
import qt
import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from medsegdiff.errors import RequestError

from ..nodes.frame import told_of_frame
from ..nodes.overlay import OPACITY, cover_view, has_own_foreground, slice_views
from ..nodes.result_nodes import kept_segments, remove_run
from ..nodes.scene_change import is_in_scene
from ..nodes.scene_result import find_result, results_in, runs_in, show_alone
from ..nodes.slicer_result import RUN, SlicerResult, volume_of_run
from ..nodes.verdicts import judgements
from ..nodes.volume_chart import charts_of, mend_chart
from ..review.widget import ReviewWidget
from ..view.message_color import style_of
from ..view.segment_editor import save_state
from ..view.sentences import sentences
from ..view.slice_views import is_in_a_view, show_in_views
from ..view.timers import once
from ..view.view_controls import ViewControls
from ..view.volume_plot import hide_chart, is_shown, name_places
from .result_table import prepare_table, show_table
from .run_box import RunBox

LATE = 200  # ms between a change of the segments and its being told


class ResultSection(VTKObservationMixin):
    """The section 'Result' of the panel: of the run whose segmentation the parameter node names.

    on_removed(text): the user removed the result; what stayed, in words, none where nothing is told.
    on_chosen(segmentation, told): another one is shown; what is still to be told of the one before.  busy(): whether
    nodes of a run are being added, so that what is there may be but a part.
    told: what the last one made of earlier ones, in words, a line each.
    """

    def __init__(
        self,
        ui,
        logic,
        on_removed: Callable[[str], None],
        on_chosen: Callable[..., None],
        busy: Callable[[], bool],
    ):
        VTKObservationMixin.__init__(self)
        self._ui, self._logic, self._on_removed, self._on_chosen, self._busy = ui, logic, on_removed, on_chosen, busy
        self._late = once(ui.resultTable, LATE, self.update)  # segments change in many small steps
        self._parameters = None
        self._shown: SlicerResult | None = None
        self._chart = None  # of its volumes, where the user asked for it
        self._left = ""  # what was told of the one before, which was removed
        self.told: list[str] = []
        prepare_table(ui.resultTable)
        self.view = ViewControls()
        self.review, self._runs = ReviewWidget(self._on_painting), RunBox(self._choose)
        self._frame = qt.QLabel()
        self._frame.objectName = "frameLabel"
        self._frame.wordWrap = True
        self._frame.styleSheet = style_of(self._frame, isError=True)
        for widget in (self._frame, self._runs.box):
            ui.resultLayout.insertWidget(0, widget)
        folded = ctk.ctkCollapsibleButton()
        folded.objectName, folded.text, folded.collapsed = "viewCollapsibleButton", _("View"), True
        qt.QVBoxLayout(folded).addWidget(self.view)
        ui.resultLayout.addWidget(self.review)
        ui.resultLayout.addWidget(folded)
        ui.overlayButton.connect("clicked(bool)", self._on_overlay)
        ui.plotButton.checkable = True
        ui.plotButton.connect("clicked(bool)", self._on_plot)
        if slicer.app.layoutManager() is not None:  # else the application has no window
            slicer.app.layoutManager().connect("layoutChanged(int)", self._on_layout)
        ui.removeButton.connect("clicked(bool)", self._on_remove)

    def show(self, parameters) -> SlicerResult | None:
        """Shows the result that the parameter node names; returns it where it came with a scene and is shown first."""
        self._parameters, found = parameters, None
        segmentation = parameters.resultSegmentation if parameters else None
        if self._shown is None or self._shown.segmentationNode is not segmentation:
            found = find_result(slicer.mrmlScene, segmentation) if segmentation else None
            self._look_at(found)
            if found is not None and self.view.hasMap and not has_own_foreground(slicer.mrmlScene):
                self.view.setMapVisible(parameters.showUncertainty)  # it may have been aside when it was saved
        self.update()
        return found

    def stages(self, added: SlicerResult) -> list[Callable[[], None]]:
        """The short steps that show a new result; the map is laid over one view after the other. None where the scene
        was closed meanwhile."""
        if self._parameters is None or not is_in_scene(added.segmentationNode):
            return []
        scene, maps = slicer.mrmlScene, added.uncertaintyVolumeNodes
        covered = slice_views(scene) if maps and self._parameters.showUncertainty else []
        opacity = self.view.view.opacity if self.view.view is not None else OPACITY
        return [
            *[partial(cover_view, scene, view, maps[0], opacity) for view in covered],
            partial(self._look_at, added),
            partial(self._tell_earlier, added),
            lambda: setattr(self._parameters, "resultSegmentation", added.segmentationNode),
            lambda: self.view.setMapVisible(self._parameters.showUncertainty),
        ]

    def begin_review(self, added: SlicerResult) -> None:
        """Shows a result that is in the scene already, and begins its review."""
        self._look_on(added)
        self._parameters.resultSegmentation = added.segmentationNode
        self.update()
        self.review.start()

    def is_reviewing(self, segmentation) -> bool:
        """Whether the review of that segmentation is open."""
        return self.review.isActive and self._shown is not None and self._shown.segmentationNode is segmentation

    def take_up(self) -> None:
        """Looks at a result where none is looked at, or where others took its place in the views: they came from the
        console, a batch or a file, or the user chose them in the module Data. The newest one of the scan in the slice
        views, or else the newest of all, with its scan; none instead of one that is being reviewed, and none at all
        where a batch's segmentation of frames took the place, which is no such result."""
        if self._parameters is None or self._busy():
            return
        anew = self._run_anew()
        if anew is not None:
            self._choose(anew.segmentationNode)
            return
        every, left, self._left = results_in(slicer.mrmlScene), self._left, ""
        seen = list(filter(_is_visible, runs_in(slicer.mrmlScene)))
        if seen and not set(seen) & set(every) and not self.review.isActive:
            if self._shown is not None:
                self.forget()
                self._on_removed("")
            return
        if self._shown is not None:
            every = list(filter(_is_visible, every))
            if self.review.isActive or _is_visible(self._shown.segmentationNode):
                return
        looked_at = [segmentation for segmentation in every if is_in_a_view(volume_of_run(segmentation))]
        if every:
            segmentation = (looked_at or every)[-1]
            self._show_alone(find_result(slicer.mrmlScene, segmentation))
            if left and self.view.hasMap:  # the map of the one before went with it
                self.view.setMapVisible(self._parameters.showUncertainty)
            self.update()
            self._on_chosen(segmentation, left)

    def _run_anew(self) -> SlicerResult | None:
        """What a later run, of the console or a batch, left in the segmentation that is looked at."""
        shown = self._shown
        if shown is None or not is_in_scene(shown.segmentationNode) or is_in_scene(shown.statisticsTableNode):
            return None
        found = find_result(slicer.mrmlScene, shown.segmentationNode)
        return found if found is not None and found.statisticsTableNode is not None else None

    def set_map_aside(self, aside: bool, reason: str) -> None:
        """See ViewControls.setMapAside."""
        self.view.setMapAside(aside, reason)
        self._ui.overlayButton.checked = self.view.isMapVisible

    def forget(self) -> None:
        """Shows no result any more; it stays in the scene."""
        self._look_at(None)
        if self._parameters is not None:
            self._parameters.resultSegmentation = None
        self.update()

    def update(self) -> None:
        """Brings buttons and table in line with what is still there."""
        shown = self._shown
        if shown is not None and not (is_in_scene(shown.segmentationNode) and is_in_scene(shown.volumeNode)):
            self._left, shown = _left_of(shown), None
            self._look_at(None)
            self._on_removed(self._left)
        there = results_in(slicer.mrmlScene) if self._parameters is not None else []  # else the scene is being closed
        runs = self._runs.list(there, shown.segmentationNode if shown is not None else None)
        section = self._ui.resultCollapsibleButton
        section.enabled = section.visible = shown is not None or runs > 0
        self._frame.text = sentences(told_of_frame(shown.segmentationNode)) if shown is not None else ""
        self._frame.visible = bool(self._frame.text)
        self._ui.overlayButton.enabled, self._ui.overlayButton.checked = self.view.hasMap, self.view.isMapVisible
        known = shown is not None and (shown.result is not None or is_in_scene(shown.statisticsTableNode))
        self._ui.plotButton.enabled = known
        self._on_layout()
        self._ui.removeButton.enabled = shown is not None
        table = shown.statisticsTableNode if shown is not None else None
        show_table(self._ui.resultTable, table if is_in_scene(table) else None, shown and shown.segmentationNode)

    def close(self) -> None:
        """Before the panel is given up."""
        self._late.stop()
        if slicer.app.layoutManager() is not None:
            slicer.app.layoutManager().disconnect("layoutChanged(int)", self._on_layout)
        self.removeObservers()
        self.view.cleanup()
        self.review.cleanup()

    def _look_at(self, added: SlicerResult | None) -> None:
        if added is not None and added is self._shown:
            return
        self.removeObservers()
        self._put_chart_away()
        self._shown = added
        if added is not None:
            kinds = slicer.vtkSegmentation
            for name in ("SourceRepresentationModified", "SegmentModified", "SegmentAdded", "SegmentRemoved"):
                event = getattr(kinds, name)
                self.addObserver(added.segmentationNode, event, lambda _caller, _event: self._late.start())
            drawn = slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent
            self.addObserver(added.volumeNode, drawn, lambda _caller, _event: self._late.start())
        self.view.setResult(added)
        self.review.setResult(added)

    def _look_on(self, added: SlicerResult) -> None:
        """With the map of this one where that of another one was to be seen."""
        wanted = self.view.wantsMap
        self._look_at(added)
        if wanted:
            self.view.setMapVisible(True)

    def _show_alone(self, found: SlicerResult) -> None:
        """Over its scan, without the segments of others."""
        self._look_on(found)
        self._parameters.resultSegmentation = found.segmentationNode
        show_in_views(found.volumeNode)
        show_alone(slicer.mrmlScene, found.segmentationNode)

    def _choose(self, segmentation) -> None:
        """Shows the result of another run, above all others."""
        found = find_result(slicer.mrmlScene, segmentation)
        if found is None:
            return self.update()
        self._show_alone(found)
        self.view.setMapVisible(self._parameters.showUncertainty)
        self.update()
        self._on_chosen(segmentation)

    def _tell_earlier(self, added: SlicerResult) -> None:
        hidden = _(
            "Hidden now, so as not to lie over it: {names} (chosen as result, or in the module Data, it is shown "
            "again)."
        )
        told = (
            (added.hidden, hidden),
            (added.kept, _("Kept beside the new segments: {names} (made, applied, edited or reviewed by you).")),
        )
        self.told = [text.format(names=", ".join(names)) for names, text in told if names]

    def _on_overlay(self, wanted: bool) -> None:
        self._parameters.showUncertainty = wanted
        self.view.setMapVisible(wanted)
        self._ui.overlayButton.checked = self.view.isMapVisible

    def _on_painting(self, painting: bool) -> None:
        self.set_map_aside(painting, "painting")

    def _on_plot(self, wanted: bool) -> None:
        if wanted:
            try:
                self._chart = self._logic.plotVolumes(self._shown)
            except RequestError as error:
                slicer.util.errorDisplay(sentences(error))
        else:
            hide_chart(self._chart, asked=True)
        self._on_layout()

    def _on_layout(self, _layout: int = 0) -> None:
        if self._chart is None and self._shown is not None:  # it may have come with a scene, in the views
            seen = filter(is_shown, charts_of(slicer.mrmlScene, self._shown.segmentationNode))
            if (chart := next(seen, None)) is not None:
                self._chart = chart
                mend_chart(slicer.mrmlScene, chart, self._shown.segmentationNode)
                name_places(chart)
        self._ui.plotButton.checked = self._chart is not None and is_shown(self._chart)

    def _put_chart_away(self) -> None:
        if self._chart is not None:
            chart, self._chart = self._chart, None
            hide_chart(chart)

    def _on_remove(self) -> None:
        segmentation, volume = self._shown.segmentationNode, self._shown.volumeNode
        judged = len(judgements(segmentation))
        text = _("The review of '{name}' goes with its result: {count} verdict(s) are lost.")
        question = text.format(name=segmentation.GetName(), count=judged)
        if judged and not slicer.util.confirmOkCancelDisplay(question, _("Remove")):
            return
        self._look_at(None)
        some_go = 0 < len(kept_segments(segmentation)) < segmentation.GetSegmentation().GetNumberOfSegments()
        if some_go and is_in_scene(volume):
            save_state(segmentation, volume)
        kept = remove_run(slicer.mrmlScene, segmentation)
        self._parameters.resultSegmentation = None
        self._on_removed("")
        left = [node for node in results_in(slicer.mrmlScene) if volume_of_run(node) is volume]
        if left:  # of other scans none, which is not looked at now
            self._choose(left[-1])
        self.update()
        if kept:
            text = _("Kept in '{segmentation}': {names} (made, applied, edited or reviewed by you).")
            self._on_removed(text.format(segmentation=segmentation.GetName(), names=", ".join(kept)))


def _is_visible(segmentation) -> bool:
    display = segmentation.GetDisplayNode()
    return display is not None and bool(display.GetVisibility())


def _left_of(shown: SlicerResult) -> str:
    """What a user is told who removed a segmentation without what belongs to it, or the scan."""
    if is_in_scene(shown.segmentationNode):
        text = _(
            "The scan of '{segmentation}' was removed; segments, maps and tables are still there: in the module Data."
        )
        return text.format(segmentation=shown.segmentationNode.GetName())
    left = [node for node in shown.nodes() if node is not shown.segmentationNode and is_in_scene(node)]
    text = _(
        "Maps, samples and tables of the result are still there: in the folder '{title} results' of the module Data."
    )
    return text.format(title=shown.segmentationNode.GetAttribute(RUN)) if left else ""
