"""What is known of a result: from the backend's, or, where it came with a scene, from the nodes that it left."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import slicer
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError
from medsegdiff.uncertainty.likeliest import LikeliestLabels, keeps_all
from medsegdiff.uncertainty.likeliest_accumulator import LikeliestAccumulator
from medsegdiff.uncertainty.regions import Region, find_regions
from medsegdiff.uncertainty.statistics import find_doubt

from .opinions import Opinions
from .result_nodes import WITHHELD
from .scene_change import is_in_scene
from .segment_grid import grid_of_volume
from .segments import LABEL_TAG, read_segment, segment_ids
from .slicer_result import SlicerResult
from .volume_to_image import affine_of


def statistics_of(added: SlicerResult) -> list[dict]:
    """name, label, volume_mm3, volume_interval_mm3 and expected_dice_withheld of each structure; of a loaded result as
    its table tells them."""
    if added.result is not None:
        return added.result.statistics
    if not is_in_scene(added.statisticsTableNode):
        raise RequestError(_("the table of this result was removed; run the model again"))
    table = added.statisticsTableNode.GetTable()

    def value(row: int, column: str) -> float:
        return table.GetValueByName(row, column).ToDouble()

    return [
        {
            "name": table.GetValueByName(row, "Segment").ToString(), "label": round(value(row, "Label")),
            "volume_mm3": value(row, "Volume [mm3]"),
            "volume_interval_mm3": [value(row, "Volume low [mm3]"), value(row, "Volume high [mm3]")],
            "expected_dice_withheld": table.GetValueByName(row, WITHHELD).ToString() or None,
        }
        for row in range(table.GetNumberOfRows())
    ]  # fmt: skip


def without_dice(added: SlicerResult) -> dict[int, str]:
    """Why no Dice can be expected, by label value of the structures of which that is known still."""
    if added.result is None and not is_in_scene(added.statisticsTableNode):
        return {}
    rows = ((row["label"], row["expected_dice_withheld"]) for row in statistics_of(added))
    return {label: why for label, why in rows if why}


def sample_volumes(added: SlicerResult) -> np.ndarray:
    """(S, L) mm^3, of each structure of `statistics_of` in each sample; S is 0 where the samples were removed."""
    if added.result is not None:
        return added.result.sample_volumes
    opinions, labels = Opinions.of(None, added.samplesSequenceNode), [row["label"] for row in statistics_of(added)]
    samples = [opinions.labelmap(number) for number in range(len(opinions))] if opinions else []
    voxels = [[np.count_nonzero(sample == label) for label in labels] for sample in samples]
    size = abs(np.linalg.det(affine_of(added.volumeNode)[:3, :3]))
    return np.array(voxels, float).reshape(len(samples), len(labels)) * size


def regions_of(added: SlicerResult, most: int = 20) -> list[Region]:
    """The places to look at (SegmentResult.regions); of a loaded result by its segments as they are now, and its
    probability maps, or its samples where these were not kept.

    Raises RequestError where both are missing.
    """
    return regions_source(added, most)()


def regions_source(added: SlicerResult, most: int = 20) -> Callable[[], list[Region]]:
    """`regions_of` in two parts: what is called later may be called in a thread."""
    segmentation, volume = added.segmentationNode, added.volumeNode
    ids = segment_ids(segmentation)
    if not ids:
        raise RequestError(_("the segments of this result were removed; run the model again"))
    if added.result is not None:
        return partial(_of_segments, added.result, frozenset(ids), most)
    grid, shape = grid_of_volume(volume, segmentation), volume.GetImageData().GetDimensions()
    masks = {value: read_segment(segmentation, id, grid, shape=shape) for value, id in ids.items()}
    names = {
        value: segmentation.GetSegmentation().GetSegment(segment_id).GetName() for value, segment_id in ids.items()
    }
    maps = {node.GetAttribute(LABEL_TAG): node for node in added.probabilityVolumeNodes if is_in_scene(node)}
    if all(str(value) in maps for value in names):
        known = {value: slicer.util.arrayFromVolume(maps[str(value)]).T for value in names}
        probabilities: Callable[[], dict[int, np.ndarray]] = lambda: known  # noqa: E731
    elif (read := Opinions.source(None, added.samplesSequenceNode)) is not None:
        probabilities = partial(_shares, read, names)
    else:
        raise RequestError(_("neither probabilities nor opinions of this result were saved; run the model again"))
    return partial(_regions, masks, probabilities, affine_of(volume), names, most)


def _of_segments(result, labels: frozenset[int], most: int) -> list[Region]:
    """Those of structures whose segment is still there."""
    return [region for region in result.regions(most * len(result.labels)) if region.label in labels][:most]


def _regions(
    masks: dict, probabilities: Callable, affine: np.ndarray, names: dict[int, str], most: int
) -> list[Region]:
    shape = next(iter(masks.values())).shape
    labelmap, known = np.zeros(shape, np.uint8), probabilities()
    for value, mask in masks.items():
        labelmap[mask] = value
    if not isinstance(known, LikeliestLabels):
        out = np.zeros((max(names) + 1, *shape), np.float32)
        for value, probability in known.items():
            out[value] = probability
        out[0] = np.clip(1 - out[1:].sum(0), 0, 1)
        known = out
    return find_regions(labelmap, find_doubt(known), affine, names, most)


def _shares(read: Callable[[], Opinions], names: dict[int, str]) -> dict[int, np.ndarray] | LikeliestLabels:
    """The weighted share of the samples that have each label: (I, J, K) float32; of large images the likeliest ones."""
    opinions = read()
    if not keeps_all(max(names) + 1, int(np.prod(opinions.shape))):
        return _likeliest_shares(opinions, max(names) + 1)
    out = {value: np.zeros(opinions.shape, np.float32) for value in names}
    for number, weight in enumerate(opinions.weights):
        sample = opinions.labelmap(number)
        for value in names:
            out[value] += np.float32(weight) * (sample == value)
    return out


def _likeliest_shares(opinions: Opinions, labels: int) -> LikeliestLabels:
    gathered = LikeliestAccumulator(labels, opinions.shape)
    for number, weight in enumerate(opinions.weights):
        sample = opinions.labelmap(number)
        sample[sample >= labels] = 0  # segments that were removed meanwhile
        boxes = [(slice(row, row + 1), slice(None), slice(None)) for row in range(len(sample))]
        values = np.arange(labels)[:, None, None, None]
        gathered.add_parts(((box, (sample[box] == values).astype(np.float32), sample[box]) for box in boxes), weight)
    return gathered.finish().mean
