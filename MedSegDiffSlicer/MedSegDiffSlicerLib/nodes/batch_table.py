"""The table of volumes that a batch leaves: a row a structure of each case, which can follow what users edit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

import vtk
from slicer.i18n import tr as _

from .scene_change import is_in_scene
from .segment_numbers import numbers_of, volume_of
from .segments import segment_ids
from .slicer_result import BELONGS_TO, MODEL, is_copy, mark_as_original

# "Index" is the number of the case, or the value of its frame, "Label" the model's value of the structure.
COLUMNS = (
    "Case", "Segment", "Volume [ml]", "Volume low [ml]", "Volume high [ml]", "Expected Dice", "Changed", "Message",
    "Index", "Label",
)  # fmt: skip
_NUMBERS = ("Label", "Volume [ml]", "Volume low [ml]", "Volume high [ml]", "Expected Dice")
# Reference roles: to the segmentation of a case, by its number; to the sequence of the segmentations of all frames.
_CASE, _FRAMES = "MedSegDiff.Case{number}", "MedSegDiff.Frames"


def fill_table(node, rows: Iterable[dict]) -> None:
    """Gives the table node these rows, by COLUMNS, in place of those that it has; what a row lacks is empty."""
    columns = {title: vtk.vtkDoubleArray() if title in _NUMBERS else vtk.vtkStringArray() for title in COLUMNS}
    for row in rows:
        for title, column in columns.items():
            value = row.get(title, float("nan") if title in _NUMBERS else "")
            column.InsertNextValue(value if title in _NUMBERS else _as_saved(value))
    node.RemoveAllColumns()
    for (title, column), shown in zip(columns.items(), _shown_titles()):
        column.SetName(title)
        node.AddColumn(column)
        node.SetColumnTitle(title, shown)
    node.SetUseColumnTitleAsColumnHeader(True)


def _as_saved(text: str) -> str:
    """Without what Slicer's files of tables do not keep: several lines, tabs, quotation marks."""
    return " ".join(text.replace('"', "'").split())


def refer_to_cases(node, segmentations: dict[int, object]) -> None:
    """Tells the table whose volumes it has.  segmentations: nodes, by the number of their case."""
    for number, segmentation in segmentations.items():
        node.SetNodeReferenceID(_CASE.format(number=number), segmentation.GetID())
    mark_as_original(node)


def refer_to_frames(node, sequence, shown) -> None:
    """Likewise of frames.  sequence: of their segmentations.  shown: the node that their browser shows these in."""
    for role, other in ((_FRAMES, sequence), (BELONGS_TO, shown)):
        node.SetNodeReferenceID(role, other.GetID() if is_in_scene(other) else None)
    mark_as_original(node)


def find_table(scene, of_frames: bool):
    """The table of the last batch of that kind that is in the scene, or else of the last batch; None where there is
    none."""
    nodes = [node for node in scene.GetNodes() if node.IsA("vtkMRMLTableNode") and node.GetAttribute(MODEL)]
    tables = [node for node in nodes if node.GetColumnIndex("Changed") >= 0 and not is_copy(node)]
    fitting = [node for node in tables if (node.GetNodeReference(_FRAMES) is not None) == of_frames]
    return (fitting or tables or [None])[-1]


def state_of(node) -> dict[tuple[str, str], tuple]:
    """Of each segment, by index of its case and ID: another one as soon as it is edited."""
    table = node.GetTable()
    cases = {_value(table, row, "Index") for row in range(table.GetNumberOfRows())}
    found = ((index, _segmentation_of(node, index)[0]) for index in sorted(cases))
    return {
        (index, id): (segmentation.GetSegmentation().GetSegment(id).GetMTime(), _voxels_changed(segmentation, id))
        for index, segmentation in found if segmentation is not None
        for id in segmentation.GetSegmentation().GetSegmentIDs()
    }  # fmt: skip


def follow_segments(node, known: Mapping[tuple[str, str], tuple] = MappingProxyType({})) -> None:
    """Brings names and volumes in line with the segments as they are now; an edited one has neither interval nor
    expected Dice. Where the segmentation is no longer in the scene the numbers stay.

    known: the state_of when this was done before; the voxels of segments that are as they were are not counted again.
    """
    table, now = node.GetTable(), state_of(node)
    rows = [{title: _value(table, row, title) for title in COLUMNS} for row in range(table.GetNumberOfRows())]
    same = {key for key, state in now.items() if known.get(key) == state}
    fill_table(node, [{**row, **_now(node, row, same)} for row in rows])


def _voxels_changed(segmentation, segment_id: str) -> int:
    """When."""
    image = segmentation.GetBinaryLabelmapInternalRepresentation(segment_id)
    return image.GetMTime() if image is not None else 0


def _shown_titles() -> list[str]:
    """COLUMNS in the application's language."""
    return [
        _("Case"), _("Segment"), _("Volume [ml]"), _("Volume low [ml]"), _("Volume high [ml]"), _("Expected Dice"),
        _("Changed"), _("Message"), _("Index"), _("Label"),
    ]  # fmt: skip


def _value(table, row: int, title: str) -> str | float:
    value = table.GetValueByName(row, title)
    return value.ToDouble() if title in _NUMBERS else value.ToString()


def _now(node, row: dict, same: Collection[tuple[str, str]]) -> dict:
    """What has become of a row's volumes.  same: see state_of; the row tells of these already."""
    if row["Label"] != row["Label"]:  # NaN: the case has no result
        return {}
    segmentation, placed = _segmentation_of(node, row["Index"])
    if segmentation is None:
        return {"Changed": _("no longer in the scene")}
    segment_id = segment_ids(segmentation).get(round(row["Label"]))
    if segment_id is None:
        return {**_in_ml([float("nan")] * 3), "Expected Dice": float("nan"), "Changed": _("removed")}
    if (row["Index"], segment_id) in same:
        return {}
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    volume = volume_of(segmentation, segment_id, placed)
    numbers = numbers_of(segment, volume)
    interval = [numbers.get(name, float("nan")) for name in ("VolumeLowMm3", "VolumeHighMm3")]
    return {
        "Segment": segment.GetName(), **_in_ml([volume, *interval]),
        "Expected Dice": numbers.get("ExpectedDice", float("nan")), "Changed": "" if numbers else _("edited"),
    }  # fmt: skip


def _in_ml(volumes: Sequence[float]) -> dict:
    """volumes: the segment's and its interval's, mm^3."""
    titles = ("Volume [ml]", "Volume low [ml]", "Volume high [ml]")
    return {title: volume / 1000 for title, volume in zip(titles, volumes)}


def _segmentation_of(node, index: str) -> tuple:
    """The segmentation of a row's case, and the node whose transform moves it; (None, None) where it is gone."""
    sequence, shown = node.GetNodeReference(_FRAMES), node.GetNodeReference(BELONGS_TO)
    if sequence is not None:
        return sequence.GetDataNodeAtValue(index), shown
    segmentation = node.GetNodeReference(_CASE.format(number=index))
    return segmentation, segmentation
