"""The alternatives browser: pages through what the opinions mean, and through each of them; one can be taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError
from medsegdiff.uncertainty.aggregation import bounding_box

from ..jobs.background import Background
from ..nodes.opinions import Opinions
from ..nodes.segment_writer import SegmentWriter
from ..nodes.segments import segment_ids
from ..nodes.temporary_outlines import OutlineNodes, hide_outlines, solids
from .contour_fan import segment_colors

_KIND = "alternative"
_OPACITY, _THICKNESS = 1.0, 3


@dataclass(frozen=True)
class Choice:
    """title: what it is, in words.  probability: how likely, in (0, 1].  labelmap(): (I, J, K) uint8."""

    title: str
    probability: float
    labelmap: Callable[[], np.ndarray]


class AlternativesBrowser:
    """Shows one alternative at a time as outlines, beside the segments.

    choices: see choices_of.  background: works the outlines out.  save_state: see SegmentWriter.
    `index` is the one shown, None where none is.
    """

    def __init__(
        self, choices: list[Choice], segmentation_node, volume, background: Background,
        save_state: Callable[[], None] | None = None,
    ):  # fmt: skip
        self._segmentation, self._volume, self._scene = segmentation_node, volume, segmentation_node.GetScene()
        self.writer = SegmentWriter(segmentation_node, volume, save_state)
        self.choices, self._background = choices, background
        self.index: int | None = None

    def show(self, index: int) -> Choice:
        """Shows a choice, counted round; RequestError where segmentation or volume were removed."""
        self.writer.check()
        self.index = index % len(self.choices)
        choice = self.choices[self.index]
        colors = segment_colors(self._segmentation)
        nodes = OutlineNodes(self._scene, _KIND, self._volume, _OPACITY, _THICKNESS)

        def draw(found: list) -> Iterator[None]:
            yield from nodes.surfaces(found)
            self._background.ask(_KIND, nodes.join, nodes.show)

        self._background.ask(_KIND, lambda: solids(choice.labelmap(), colors), draw)
        return choice

    def next(self) -> Choice:
        """The choice after the one shown, or the first."""
        return self.show(0 if self.index is None else self.index + 1)

    def previous(self) -> Choice:
        """The choice before the one shown, or the last."""
        return self.show(-1 if self.index is None else self.index - 1)

    def hide(self) -> None:
        """Removes the outlines."""
        self.index = None
        self._background.forget(_KIND)
        hide_outlines(self._scene, _KIND)

    def take(self) -> int:
        """Makes the segments what is shown, as one step to undo; returns how many voxels changed.

        Raises RequestError where nothing is shown or nodes were removed.
        """
        if self.index is None:
            raise RequestError(_("no alternative is shown; choose one first"))
        labels = self.choices[self.index].labelmap() + np.uint8(1)  # 0 is what lies beyond the volume
        block = self.writer.place(labels, (0, 0, 0))
        ids = segment_ids(self._segmentation)
        differ = np.zeros(block.values.shape, bool)
        for value, segment_id in ids.items():
            (now,) = self.writer.read(block, [segment_id]).values()
            differ |= now != (block.values == value + 1)
        differ &= block.where
        if ids and not differ.any():
            return 0
        part = block.cut(bounding_box(differ, 0))
        return self.writer.write({id: part.values == value + 1 for value, id in ids.items()}, part)


def choices_of(opinions: Opinions) -> list[Choice]:
    """The distinct alternatives where there are several, the likeliest first; then each single opinion."""
    found, meanings = [], opinions.alternatives()
    if len(meanings) > 1:
        for number, one in enumerate(meanings, 1):
            title = _("Alternative {number} of {count}").format(number=number, count=len(meanings))
            found.append(Choice(title, one.probability, lambda labelmap=one.labelmap: labelmap))
    for number in range(len(opinions)):
        title = _("Opinion {number} of {count}").format(number=number + 1, count=len(opinions))
        found.append(Choice(title, float(opinions.weights[number]), lambda number=number: opinions.labelmap(number)))
    return found
