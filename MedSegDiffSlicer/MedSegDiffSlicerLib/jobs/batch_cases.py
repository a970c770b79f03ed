"""What a batch is made of, and what its table of volumes tells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import slicer
from slicer.i18n import tr as _

from ..nodes.batch_table import fill_table
from ..nodes.slicer_result import MODEL
from .batch import Batch
from .channels import chosen_inputs, first_of, is_one_channel, missing_channels, suggest
from .patients import is_of_one_patient, name_different_patients, study_of


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

    One channel: each scan that has one. Several: each folder (study) of the subject hierarchy in which all channels are
    found, as often as they are found there, but never of volumes whose names tell of different patients.
    """
    volumes = scans(scene)
    if len(channels) == 1:
        return [(volume.GetName(), [volume]) for volume in filter(is_one_channel, volumes)]
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    folders: dict[int, list] = {}
    for volume in volumes:
        folders.setdefault(study_of(volume), []).append(volume)
    cases = []
    for folder, inside in folders.items():
        found = list(_found(channels, inside, is_of_one_patient(folder, inside, channels)))
        alone = len(found) == 1 and folder not in (0, hierarchy.GetSceneItemID())
        cases += [(hierarchy.GetItemName(folder) if alone else first_of(given).GetName(), given) for given in found]
    return cases


def _found(channels: Sequence[dict], volumes: list, of_one_patient: bool) -> Iterator[list]:
    """The volumes of each case among those of a folder, no volume twice."""
    left = list(volumes)
    while left:
        inputs = suggest(channels, left, active=left[0])
        given = chosen_inputs(channels, inputs)
        mixed = not of_one_patient and name_different_patients(given)
        if mixed or left[0] not in given or missing_channels(channels, inputs):
            given = left[:1]  # which makes no case
        else:
            yield given
        left = [volume for volume in left if volume not in given]


def fill(table, batch: Batch, indices: Sequence[str]) -> None:
    """Gives the table a row for each structure of each case, and one for each case without a result.

    indices: of the cases, see batch_table.COLUMNS."""
    fill_table(table, [row for case, index in zip(batch.cases, indices) for row in _rows(case, index)])


def _rows(case, index: str) -> list[dict]:
    if case.result is None:
        return [{"Case": case.name, "Index": index, "Message": str(case.error)}]
    rows = []
    for entry in case.result.report["segments"]:
        volume, low, high = (mm3 / 1000 for mm3 in (entry["volume_mm3"], *entry["volume_interval_mm3"]))
        dice, why = entry["expected_dice"], entry.get("expected_dice_withheld")
        warnings = case.result.report.get("warnings", [])
        told_already = not why or any(why in warning for warning in warnings)
        withheld = [] if told_already else [_("no expected Dice: {reason}").format(reason=why)]
        said = "; ".join([*withheld, *warnings])
        rows.append({
            "Case": case.name, "Index": index, "Segment": entry["name"], "Label": entry["label"],
            "Volume [ml]": volume, "Volume low [ml]": low, "Volume high [ml]": high,
            "Expected Dice": float("nan") if dice is None else dice, "Message": said,
        })  # fmt: skip
    return rows
