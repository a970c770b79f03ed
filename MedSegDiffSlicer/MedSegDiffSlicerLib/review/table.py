"""The list of doubtful places as a table in the scene: what is saved with it is where the review goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError
from medsegdiff.uncertainty.aggregation import bounding_box
from medsegdiff.uncertainty.regions import Region

from ..nodes.overlay import give_voxels, place_beside
from ..nodes.result_nodes import WITHHELD, add_to_run
from ..nodes.saved_result import regions_source, without_dice
from ..nodes.scene_change import all_or_nothing, is_in_scene
from ..nodes.segments import segment_ids
from ..nodes.slicer_result import BELONGS_TO, RUN, VOLUME, SlicerResult
from ..nodes.verdicts import LABEL, REVIEW, VERDICT, review_tables

SAMPLES, PLACES = "MedSegDiff.SamplesSequence", "MedSegDiff.Places"  # reference roles
_LABELS = "MedSegDiff.Labels"  # attribute of a review: of the segments that there were when it was begun
FRAME = 2.5  # times a place's largest side is what a view shows
SMALLEST_FRAME = 30.0  # mm
_TEXTS = ("Structure", WITHHELD, VERDICT)
_COLUMNS = ("Structure", LABEL, "R", "A", "S", "I", "J", "K", "Slice", "Volume [mm3]", "Expected change [mm3]",
            "Expected Dice gain", WITHHELD, "Frame [mm]", VERDICT)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A row: structure, its label value, RAS mm, voxel (i, j, k), mm to show around; withheld: why no Dice of the
    structure can be expected, so that its gain is doubtful, too; verdict: "" where there is none."""

    structure: str
    label: int
    position: tuple[float, float, float]
    voxel: tuple[int, int, int]
    volume_mm3: float
    change_mm3: float
    dice_gain: float
    withheld: str
    frame: float
    verdict: str


class Findings(NamedTuple):
    """rows: of the table, but their verdicts.  numbers: (I, J, K) uint8 in Fortran order, of which row a voxel is, from
    1."""

    rows: list[tuple]
    numbers: np.ndarray


def start(scene, added: SlicerResult, most: int = 20):
    """The review of a result: its table node, that of before where the review was begun already.

    most: places.  Raises RequestError where nodes were removed that are needed; the scene is then as it was.
    """
    table = begun(scene, added)
    return add(scene, added, findings(added, most)()) if table is None else table


def begun(scene, added: SlicerResult):
    """The table of a review that was begun before, or None, also where segments are back that were not there then.
    Raises RequestError where nodes were removed."""
    if not is_in_scene(added.segmentationNode) or not is_in_scene(added.volumeNode):
        raise RequestError(_("the segmentation or its volume was removed; run the model again"))
    table = find_review(scene, added.segmentationNode)
    known = table.GetAttribute(_LABELS) if table is not None else None  # not in scenes of earlier versions
    return table if known is None or set(known.split()) >= _labels(added.segmentationNode) else None


def findings(added: SlicerResult, most: int = 20) -> Callable[[], Findings]:
    """What works the places out; it may be called in a thread. Raises RequestError where nodes are missing."""
    find, volume = regions_source(added, most), added.volumeNode
    size = volume.GetImageData().GetDimensions(), np.array(volume.GetSpacing())
    return partial(_found, find, *size, without_dice(added))


def add(scene, added: SlicerResult, found: Findings):
    """Adds the table and the map of the places, in place of those of a review of fewer segments, whose verdicts stay;
    the scene is as it was where that fails."""
    before = find_review(scene, added.segmentationNode)
    with all_or_nothing(scene):
        table = _add(scene, added, found, [] if before is None else places(before))
    for node in (before and before.GetNodeReference(PLACES), before):
        if is_in_scene(node):
            scene.RemoveNode(node)
    return table


def reviews(scene) -> list:
    """The tables of all reviews in the scene whose segmentation is still there, the latest first."""
    return [node for node in reversed(review_tables(scene)) if is_in_scene(node.GetNodeReference(BELONGS_TO))]


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
            value(row, "Structure").ToString(), value(row, LABEL).ToInt(), numbers(row, "RAS"),
            tuple(int(index) for index in numbers(row, "IJK")), value(row, "Volume [mm3]").ToDouble(),
            value(row, "Expected change [mm3]").ToDouble(), value(row, "Expected Dice gain").ToDouble(),
            value(row, WITHHELD).ToString(), value(row, "Frame [mm]").ToDouble(), value(row, VERDICT).ToString(),
        )
        for row in range(table.GetNumberOfRows())
    ]  # fmt: skip


def verdicts_of(scene, segmentation_node) -> list[str]:
    """Of the segmentation's review, a place each; none where none was begun."""
    table = find_review(scene, segmentation_node)
    return [] if table is None else [place.verdict for place in places(table)]


def set_verdict(table, row: int, verdict: str) -> None:
    """Writes a verdict into its row."""
    table.SetCellText(row, table.GetColumnIndex(VERDICT), verdict)
    table.Modified()


def voxels_of(table, row: int) -> tuple[tuple[int, int, int], np.ndarray]:
    """The voxels of a place: first voxel of a box, and (I, J, K) bool in it.

    Raises RequestError where the map of the places was removed.
    """
    node = table.GetNodeReference(PLACES)
    if not is_in_scene(node):
        raise RequestError(_("the map of the doubtful places was removed; start the review anew"))
    around = box_of(table, places(table)[row])
    mask = slicer.util.arrayFromVolume(node).T[around] == row + 1
    box = bounding_box(mask, 0)
    return tuple(low.start + side.start for low, side in zip(around, box)), mask[box]


def box_of(table, place: Place) -> tuple[slice, slice, slice]:
    """A box of voxels that holds the place, without looking at the whole map of places: it reaches no farther from the
    place's own voxel than its largest side, which the frame tells."""
    node = table.GetNodeReference(PLACES)
    reach = np.ceil(place.frame / FRAME / np.array(node.GetSpacing())).astype(int)
    shape = node.GetImageData().GetDimensions()
    return tuple(slice(max(0, at - r), min(n, at + r + 1)) for at, r, n in zip(place.voxel, reach.tolist(), shape))


def _found(
    find: Callable[[], Sequence[Region]], shape: tuple[int, int, int], spacing: np.ndarray, withheld: Mapping[int, str]
) -> Findings:
    regions, numbers = find(), np.zeros(shape, np.uint8, order="F")
    for number, region in enumerate(regions, 1):
        numbers[np.unravel_index(region.at, shape)] = number
    rows = [_row(region, withheld.get(region.label, ""), _frame(region, shape, spacing)) for region in regions]
    return Findings(rows, numbers)


def _labels(segmentation_node) -> set[str]:
    return set(map(str, segment_ids(segmentation_node)))


def _add(scene, added: SlicerResult, found: Findings, before: Sequence[Place]):
    title = added.segmentationNode.GetAttribute(RUN) or added.volumeNode.GetName()
    places = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", f"{title} doubtful places")
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", f"{title} review")
    place_beside(places, added.volumeNode)
    give_voxels(places, found.numbers)
    judged = {(place.label, place.voxel): place.verdict for place in before}
    verdicts = [judged.get((row[1], tuple(row[5:8])), "") for row in found.rows]
    if len(added.verdicts) == len(found.rows):
        verdicts = added.verdicts
    rows = [(*row, verdict) for row, verdict in zip(found.rows, verdicts)]
    for index, name in enumerate(_COLUMNS):
        column = vtk.vtkStringArray() if name in _TEXTS else vtk.vtkDoubleArray()
        column.SetName(name)
        for row in rows:
            column.InsertNextValue(row[index])
        table.AddColumn(column)
    table.SetLocked(True)
    table.SetAttribute(REVIEW, "0")
    table.SetAttribute(_LABELS, " ".join(_labels(added.segmentationNode)))
    for role, node in {VOLUME: added.volumeNode, SAMPLES: added.samplesSequenceNode, PLACES: places}.items():
        table.SetNodeReferenceID(role, node.GetID() if node else None)
    add_to_run(scene, added, [places, table])
    return table


def _row(region: Region, withheld: str, frame: float) -> tuple:
    return (region.structure, region.label, *region.position, *region.index, region.slice, region.volume_mm3,
            region.volume_change_mm3, region.dice_change, withheld, frame)  # fmt: skip


def _frame(region: Region, shape: tuple[int, ...], spacing: np.ndarray) -> float:
    at = np.stack(np.unravel_index(region.at, shape), 1)
    return max(SMALLEST_FRAME, FRAME * float(((np.ptp(at, axis=0) + 1) * spacing).max()))
