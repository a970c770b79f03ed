"""Which frame of a sequence a volume shows, and which one a result is of."""

from __future__ import annotations

from slicer.i18n import tr as _

from .slicer_result import volume_of_run

FRAME = "MedSegDiff.Frame"  # attribute of a segmentation: the frame that its run was of, see frame_of


def name_of(sequence, value: str) -> str:
    """A frame as it is shown: "time 50 ms".  value: on the sequence's index."""
    unit = sequence.GetIndexUnit()
    return f"{sequence.GetIndexName()} {value}{f' {unit}' if unit else ''}"


def frame_of(volume) -> str | None:
    """The frame that a sequence browser shows in the volume; None where none does."""
    browsers = volume.GetScene().GetNodesByClass("vtkMRMLSequenceBrowserNode")
    browsers.UnRegister(None)
    for browser in browsers:
        sequence, chosen = browser.GetSequenceNode(volume), browser.GetSelectedItemNumber()
        if sequence is not None and chosen >= 0:
            value = browser.GetMasterSequenceNode().GetNthIndexValue(chosen)
            shown = sequence.GetItemNumberFromIndexValue(value, False)  # the one before, where that has no frame
            return name_of(sequence, sequence.GetNthIndexValue(shown)) if shown >= 0 else None
    return None


def keep_frame(segmentation_node, volume) -> None:
    """Writes into the segmentation which frame its run was of, if any."""
    frame = frame_of(volume)
    segmentation_node.RemoveAttribute(FRAME) if frame is None else segmentation_node.SetAttribute(FRAME, frame)


def told_of_frame(segmentation_node) -> str:
    """What a user is told where the scan of a result shows another frame than the run was of; empty elsewhere."""
    of, volume = segmentation_node.GetAttribute(FRAME), volume_of_run(segmentation_node)
    now = frame_of(volume) if of and volume is not None else None
    if now in (None, of):
        return ""
    text = _("The result is of {frame}; '{volume}' shows {now}.")
    return text.format(frame=of, volume=volume.GetName(), now=now)
