"""What is known of a result: from the backend's, or, where it came with a scene, from the nodes that it left."""

from __future__ import annotations

import numpy as np
import slicer
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError
from medsegdiff.uncertainty.regions import Region, find_regions
from medsegdiff.uncertainty.statistics import find_doubt

from .opinions import Opinions
from .scene_change import is_in_scene
from .segments import LABEL_TAG, read_segment, segment_ids
from .slicer_result import SlicerResult
from .volume_to_image import affine_of


def statistics_of(added: SlicerResult) -> list[dict]:
    """name, label, volume_mm3 and volume_interval_mm3 of each structure; of a loaded result as its table tells them."""
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
        }
        for row in range(table.GetNumberOfRows())
    ]  # fmt: skip


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
    if added.result is not None:
        return added.result.regions(most)
    segmentation, volume = added.segmentationNode, added.volumeNode
    labelmap = np.zeros(volume.GetImageData().GetDimensions(), np.uint8)
    names = {}
    for value, segment_id in segment_ids(segmentation).items():
        names[value] = segmentation.GetSegmentation().GetSegment(segment_id).GetName()
        labelmap[read_segment(segmentation, segment_id, volume)] = value
    if not names:
        raise RequestError(_("the segments of this result were removed; run the model again"))
    doubt = find_doubt(_probability(added, names, labelmap.shape))
    return find_regions(labelmap, doubt, affine_of(volume), names, most)


def _probability(added: SlicerResult, names: dict[int, str], shape: tuple[int, ...]) -> np.ndarray:
    """(L, I, J, K) float32, background first."""
    out = np.zeros((max(names) + 1, *shape), np.float32)
    maps = {node.GetAttribute(LABEL_TAG): node for node in added.probabilityVolumeNodes if is_in_scene(node)}
    opinions = Opinions.of(None, added.samplesSequenceNode)
    if all(str(value) in maps for value in names):
        for value in names:
            out[value] = slicer.util.arrayFromVolume(maps[str(value)]).T
    elif opinions is not None:
        for number, weight in enumerate(opinions.weights):
            sample = opinions.labelmap(number)
            for value in names:
                out[value] += weight * (sample == value)
    else:
        raise RequestError(_("neither probabilities nor samples of this result were saved; run the model again"))
    out[0] = np.clip(1 - out[1:].sum(0), 0, 1)
    return out
