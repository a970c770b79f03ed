"""Apply: the label map of the moment into segments, and where to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from slicer.i18n import tr as _

from ..jobs.opinions_session import OpinionsSession
from ..nodes.frame import browser_of, frame_of, keep_frame
from ..nodes.modifier_labelmap import write
from ..nodes.scene_result import show_alone
from ..nodes.segment_numbers import keep_numbers
from ..nodes.slicer_result import CALL, RUN, WARNINGS, describe, volume_of_run
from ..nodes.target_segments import Target, one_each
from ..nodes.undone_attributes import attributes_of, follow_undo
from .applied import Applied
from .editor import EffectEditor
from .option_frame import EACH, SELECTED
from .options import EffectOptions


def apply(effect, session: OpinionsSession, options: EffectOptions, refuse: Callable[[str], None]) -> Applied | None:
    """Writes as one step to undo; returns what was written, None where the user does not want to, or has to choose a
    segment first: refuse(text) tells.

    effect: the scripted effect (C++ side).  Raises RequestError, before anything is changed, where it cannot be
      written.
    """
    session.check_current()
    targets = _targets(effect, session, options, refuse)
    if not targets:
        return None
    node = effect.parameterSetNode().GetSegmentationNode()
    before = attributes_of(node) if node is not None else {}  # which `write` refuses
    ids = write(EffectEditor(effect), session.labelmap, session.box, session.volume, targets)
    applied = Applied(session, node, targets, ids)
    if ids:
        describe(node, session.result.report)
        node.RemoveAttribute(CALL)
        node.SetAttribute(WARNINGS, "\n".join(session.result.report.get("warnings", [])))
        if volume_of_run(node) is session.volume and not browser_of(node):  # which may show another frame than before
            keep_frame(node, frame_of(session.volume))
        keep_numbers(node, session.result, applied.labels)
        follow_undo(node, applied.mark, ids, before)
    if options.target() == EACH:  # else the user was asked whether to see it
        _show(node, ids)
    display = node.GetDisplayNode()
    if ids and display is not None and not display.GetVisibility():
        if node.GetAttribute(RUN):  # a later result has hidden it
            show_alone(node.GetScene(), node)
        display.SetVisibility(True)
    return applied


def destination(effect, ui: EffectOptions) -> tuple:
    """What Apply writes to, and what holds it back.  effect: the scripted effect (C++ side)."""
    node = effect.parameterSetNode()
    if node is None:
        return ()
    segment = None if ui.target() == EACH else node.GetSelectedSegmentID()
    intensities = node.GetSourceVolumeIntensityMaskRange() if node.GetSourceVolumeIntensityMask() else None
    masking = node.GetMaskMode(), node.GetMaskSegmentID(), node.GetOverwriteMode(), intensities
    return node.GetSegmentationNode(), ui.target(), segment, *masking, _visible(node.GetSegmentationNode())


def _show(segmentation_node, ids: Sequence[str]) -> None:
    display = segmentation_node.GetDisplayNode()
    hidden = [segment_id for segment_id in ids if display is not None and not display.GetSegmentVisibility(segment_id)]
    for segment_id in hidden:
        display.SetSegmentVisibility(segment_id, True)


def _visible(segmentation_node) -> tuple[str, ...]:
    """The IDs of the segments that are visible, which the masking may be about."""
    display = segmentation_node.GetDisplayNode() if segmentation_node is not None else None
    return tuple(display.GetVisibleSegmentIDs()) if display is not None else ()


def _targets(effect, session: OpinionsSession, options: EffectOptions, refuse: Callable[[str], None]) -> list[Target]:
    node, chosen, labels = effect.parameterSetNode(), options.target(), session.result.labels
    if chosen == EACH:
        return one_each(node.GetSegmentationNode(), labels) if node.GetSegmentationNode() else []
    if effect.confirmCurrentSegmentVisible() == effect.NotConfirmed:
        return []
    values = [label.value for label in labels if chosen in (SELECTED, label.name)]
    if not node.GetSelectedSegmentID():
        refuse(_("No segment is selected; select one, or apply to one segment each."))
        return []
    return [Target(tuple(values), node.GetSelectedSegmentID())]
