"""What the table of a review tells those who do not review: which structures have verdicts."""

from __future__ import annotations

from .slicer_result import BELONGS_TO, is_copy

REVIEW = "MedSegDiff.Review"  # attribute of the table: the row last looked at, from 0
LABEL, VERDICT = "Label", "Verdict"  # columns: value of the structure; "" where there is none


def review_tables(scene) -> list:
    """Those of the scene, but for copies that a user made."""
    return [node for node in scene.GetNodes() if node.GetAttribute(REVIEW) is not None and not is_copy(node)]


def judged_labels(segmentation_node) -> set[int]:
    """The values of the structures of which a place was judged."""
    return set(judgements(segmentation_node))


def judgements(segmentation_node) -> list[int]:
    """The value of its structure for each place that was judged; of None and a node in no scene none."""
    scene, found = segmentation_node.GetScene() if segmentation_node is not None else None, []
    for table in review_tables(scene) if scene is not None else []:
        if table.GetNodeReference(BELONGS_TO) is segmentation_node:
            cells = table.GetTable()
            for row in range(table.GetNumberOfRows()):
                if cells.GetValueByName(row, VERDICT).ToString():
                    found.append(cells.GetValueByName(row, LABEL).ToInt())
    return found
