"""The list of doubtful places as a table in the scene: what is saved with it is where the review goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError
from medsegdiff.uncertainty.regions import Region

from ..nodes.overlay import place_beside
from ..nodes.result_nodes import add_to_run
from ..nodes.saved_result import regions_of
from ..nodes.scene_change import all_or_nothing, is_in_scene
from ..nodes.slicer_result import BELONGS_TO, RUN, SlicerResult
from ..nodes.temporary_outlines import bounding_box

REVIEW = "MedSegDiff.Review"  # attribute of the table: the row last looked at, from 0
VOLUME, SAMPLES, PLACES = "MedSegDiff.Volume", "MedSegDiff.SamplesSequence", "MedSegDiff.Places"  # reference roles
FRAME = 2.5  # times a place's largest side is what a view shows
SMALLEST_FRAME = 30.0  # mm
_TEXTS = ("Structure", "Verdict")
_COLUMNS = ("Structure", "Label", "R", "A", "S", "I", "J", "K", "Slice", "Volume [mm3]", "Expected change [mm3]",
            "Expected Dice gain", "Frame [mm]", "Verdict")  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A row: structure, its label value, RAS mm, voxel (i, j, k), mm to show around; verdict: "" where there is none."""

    structure: str
    label: int
    position: tuple[float, float, float]
    voxel: tuple[int, int, int]
    volume_mm3: float
    change_mm3: float
    dice_gain: float
    frame: float
    verdict: str


def start(scene, added: SlicerResult, most: int = 20):
    """The review of a result: its table node, that of before where the review was begun already.

    most: places.  Raises RequestError where nodes were removed that are needed; the scene is then as it was.
    """
    if not is_in_scene(added.segmentationNode) or not is_in_scene(added.volumeNode):
        raise RequestError(_("the segmentation or its volume was removed; run the model again"))
    table = find_review(scene, added.segmentationNode)
    if table is not None:
        return table
    regions = regions_of(added, most)
    with all_or_nothing(scene):
        return _add(scene, added, regions)


def reviews(scene) -> list:
    """The tables of all reviews in the scene whose segmentation is still there, the latest first."""
    nodes = [node for node in scene.GetNodes() if node.GetAttribute(REVIEW) is not None]
    return [node for node in reversed(nodes) if is_in_scene(node.GetNodeReference(BELONGS_TO))]


def find_review(scene, segmentation_node):
    """The table of the segmentation's review, None where none was begun."""
    found = (table for table in reviews(scene) if table.GetNodeReference(BELONGS_TO) is segmentation_node)
    return next(found, None)


def places(table) -> list[Place]:
    """The rows of the table."""

    def value(row: int, name: str):
        return table.GetTable().GetValueByName(row, name)

    def numbers(row: int, names: str):
        return tuple(value(row, name).ToDouble() for name in names)

    return [
        Place(
            value(row, "Structure").ToString(), value(row, "Label").ToInt(), numbers(row, "RAS"),
            tuple(int(index) for index in numbers(row, "IJK")), value(row, "Volume [mm3]").ToDouble(),
            value(row, "Expected change [mm3]").ToDouble(), value(row, "Expected Dice gain").ToDouble(),
            value(row, "Frame [mm]").ToDouble(), value(row, "Verdict").ToString(),
        )
        for row in range(table.GetNumberOfRows())
    ]  # fmt: skip


def set_verdict(table, row: int, verdict: str) -> None:
    """Writes a verdict into its row."""
    table.SetCellText(row, table.GetColumnIndex("Verdict"), verdict)
    table.Modified()


def voxels_of(table, row: int) -> tuple[tuple[int, int, int], np.ndarray]:
    """The voxels of a place: first voxel of a box, and (I, J, K) bool in it.

    Raises RequestError where the map of the places was removed.
    """
    node = table.GetNodeReference(PLACES)
    if not is_in_scene(node):
        raise RequestError(_("the map of the doubtful places was removed; start the review anew"))
    mask = slicer.util.arrayFromVolume(node).T == row + 1
    start, stop = bounding_box(mask)
    return start, mask[tuple(slice(low, high) for low, high in zip(start, stop))]


def _add(scene, added: SlicerResult, regions: Sequence[Region]):
    title = added.segmentationNode.GetAttribute(RUN) or added.volumeNode.GetName()
    places = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", f"{title} doubtful places")
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", f"{title} review")
    numbers = np.zeros(added.volumeNode.GetImageData().GetDimensions(), np.uint8)
    for number, region in enumerate(regions, 1):
        numbers.reshape(-1)[region.at] = number
    place_beside(places, added.volumeNode)
    slicer.util.updateVolumeFromArray(places, np.ascontiguousarray(numbers.T))
    spacing = np.array(added.volumeNode.GetSpacing())
    rows = [_row(region, _frame(region, numbers.shape, spacing)) for region in regions]
    for index, name in enumerate(_COLUMNS):
        column = vtk.vtkStringArray() if name in _TEXTS else vtk.vtkDoubleArray()
        column.SetName(name)
        for row in rows:
            column.InsertNextValue(row[index])
        table.AddColumn(column)
    table.SetLocked(True)
    table.SetAttribute(REVIEW, "0")
    for role, node in {VOLUME: added.volumeNode, SAMPLES: added.samplesSequenceNode, PLACES: places}.items():
        table.SetNodeReferenceID(role, node.GetID() if node else None)
    add_to_run(scene, added, [places, table])
    return table


def _row(region: Region, frame: float) -> tuple:
    return (region.structure, region.label, *region.position, *region.index, region.slice, region.volume_mm3,
            region.volume_change_mm3, region.dice_change, frame, "")  # fmt: skip


def _frame(region: Region, shape: tuple[int, ...], spacing: np.ndarray) -> float:
    at = np.stack(np.unravel_index(region.at, shape), 1)
    return max(SMALLEST_FRAME, FRAME * float(((np.ptp(at, axis=0) + 1) * spacing).max()))
