"""What the table of a review tells those who do not review: which structures have verdicts."""

from __future__ import annotations

from .slicer_result import BELONGS_TO

REVIEW = "MedSegDiff.Review"  # attribute of the table: the row last looked at, from 0
LABEL, VERDICT = "Label", "Verdict"  # columns: value of the structure; "" where there is none


def judged_labels(segmentation_node) -> set[int]:
    """The values of the structures of which a place was judged."""
    scene, found = segmentation_node.GetScene(), set()
    tables = [node for node in scene.GetNodes() if node.GetAttribute(REVIEW) is not None] if scene is not None else []
    for table in tables:
        if table.GetNodeReference(BELONGS_TO) is segmentation_node:
            cells = table.GetTable()
            for row in range(table.GetNumberOfRows()):
                if cells.GetValueByName(row, VERDICT).ToString():
                    found.add(cells.GetValueByName(row, LABEL).ToInt())
    return found
