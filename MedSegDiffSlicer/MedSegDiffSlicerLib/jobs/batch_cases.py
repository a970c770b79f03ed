"""What a batch is made of, and the table of volumes that it leaves."""

from __future__ import annotations

from collections.abc import Sequence

import slicer
import vtk
from slicer.i18n import tr as _

from ..nodes.slicer_result import MODEL
from .batch import Batch
from .channels import chosen_inputs, first_of, missing_channels, suggest

COLUMNS = ("Case", "Segment", "Volume [ml]", "Volume low [ml]", "Volume high [ml]", "Expected Dice", "Message")


def scans(scene) -> list:
    """The volumes of the scene that can be segmented: no label maps, no maps of ours, none that is hidden."""
    nodes = scene.GetNodesByClass("vtkMRMLScalarVolumeNode")
    nodes.UnRegister(None)
    return [
        node for node in (nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems()))
        if not node.IsA("vtkMRMLLabelMapVolumeNode") and node.GetAttribute(MODEL) is None
        and not node.GetHideFromEditors() and node.GetImageData() is not None
    ]  # fmt: skip


def possible_cases(scene, channels: Sequence[dict]) -> list[tuple[str, list]]:
    """Name and volumes of each case that a model with these channels could be given.

    One channel: each scan. Several: each folder (study) of the subject hierarchy in which all channels are found.
    """
    volumes = scans(scene)
    if len(channels) == 1:
        return [(volume.GetName(), [volume]) for volume in volumes]
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    folders: dict[int, list] = {}
    for volume in volumes:
        folders.setdefault(hierarchy.GetItemParent(hierarchy.GetItemByDataNode(volume)), []).append(volume)
    cases = []
    for folder, inside in folders.items():
        inputs = suggest(channels, inside)
        if not missing_channels(channels, inputs):
            given = chosen_inputs(channels, inputs)
            top = folder in (0, hierarchy.GetSceneItemID())
            cases.append((first_of(given).GetName() if top else hierarchy.GetItemName(folder), given))
    return cases


def add_table(scene, name: str, batch: Batch):
    """Adds a table with one row for each structure of each case, and one for each case without a result."""
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(name))
    texts = ("Case", "Segment", "Message")
    columns = {title: vtk.vtkStringArray() if title in texts else vtk.vtkDoubleArray() for title in COLUMNS}
    for case in batch.cases:
        for row in _rows(case):
            for title, column in columns.items():
                column.InsertNextValue(row.get(title, "" if title in texts else float("nan")))
    for title, column in columns.items():
        column.SetName(title)
        table.AddColumn(column)
    return table


def _rows(case) -> list[dict]:
    if case.result is None:
        return [{"Case": case.name, "Message": str(case.error)}]
    rows = []
    for entry in case.result.report["segments"]:
        volume, low, high = (mm3 / 1000 for mm3 in (entry["volume_mm3"], *entry["volume_interval_mm3"]))
        dice, why = entry["expected_dice"], entry.get("expected_dice_withheld")
        withheld = [_("no expected Dice: {reason}").format(reason=why)] if why else []
        said = "; ".join([*withheld, *case.result.report.get("warnings", [])])
        rows.append({
            "Case": case.name, "Segment": entry["name"], "Volume [ml]": volume, "Volume low [ml]": low,
            "Volume high [ml]": high, "Expected Dice": float("nan") if dice is None else dice, "Message": said,
        })  # fmt: skip
    return rows
