"""Which frame of a sequence a volume shows, and which one a result is of."""

from __future__ import annotations

from slicer.i18n import tr as _

from .slicer_result import volume_of_run

FRAME = "MedSegDiff.Frame"  # attribute of a segmentation: the frame that its run was of, see frame_of


def name_of(sequence, value: str) -> str:
    """A frame as it is shown: "time 50 ms".  value: on the sequence's index."""
    unit = sequence.GetIndexUnit()
    return f"{sequence.GetIndexName()} {value}{f' {unit}' if unit else ''}"


def browser_of(node) -> tuple | None:
    """The sequence browser that shows frames in the node, and their sequence; None where none does."""
    if node.GetScene() is None:
        return None
    browsers = node.GetScene().GetNodesByClass("vtkMRMLSequenceBrowserNode")
    browsers.UnRegister(None)
    sequences = ((browser, browser.GetSequenceNode(node)) for browser in browsers)
    return next((pair for pair in sequences if pair[1] is not None), None)


def frame_of(volume) -> str | None:
    """The frame that a sequence browser shows in the volume; None where none does."""
    browser, sequence = browser_of(volume) or (None, None)
    if browser is None or browser.GetSelectedItemNumber() < 0:
        return None
    value = browser.GetMasterSequenceNode().GetNthIndexValue(browser.GetSelectedItemNumber())
    shown = sequence.GetItemNumberFromIndexValue(value, False)  # the one before, where that has no frame
    return name_of(sequence, sequence.GetNthIndexValue(shown)) if shown >= 0 else None


def keep_frame(segmentation_node, frame: str | None) -> None:
    """Writes into the segmentation which frame its run was of, if any."""
    segmentation_node.RemoveAttribute(FRAME) if frame is None else segmentation_node.SetAttribute(FRAME, frame)


def told_of_frame(segmentation_node) -> str:
    """What a user is told where the scan of a result shows another frame than the run was of; empty elsewhere."""
    of, volume = segmentation_node.GetAttribute(FRAME), volume_of_run(segmentation_node)
    now = frame_of(volume) if of and volume is not None else None
    if now in (None, of):
        return ""
    text = _("The result is of {frame}; '{volume}' shows {now}.")
    return text.format(frame=of, volume=volume.GetName(), now=now)
