"""The frames of a sequence in, a sequence of segmentations on the same index out."""

from __future__ import annotations

from collections.abc import Sequence

import slicer
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError
from medsegdiff.image.image import Image
from medsegdiff.inference.result import SegmentResult

from .frame import name_of
from .result_nodes import add_segmentation
from .scene_change import all_or_nothing, is_in_scene
from .scene_result import show_alone
from .segment_numbers import keep_numbers
from .segments import segment_ids
from .segments_of_run import write_segments
from .slicer_result import BELONGS_TO, describe, run_title
from .volume_to_image import check_volume, image_from_volumes


class SequenceFrames:
    """The frames that a browser shows in the volumes, and the sequence that their segmentations go to, on the grid of
    the first volume.

    volumes: the browser's proxy nodes, one a channel; a volume that is none of them is the same in all frames.
    segmentations, shown: the sequence and the segmentation node that the browser shows it in; None before the first.
    Raises RequestError where the browser or a volume is none, or none of the volumes is a proxy node of it.
    """

    def __init__(self, scene, browser, volumes: Sequence):
        if not hasattr(browser, "IsA") or not browser.IsA("vtkMRMLSequenceBrowserNode"):
            raise RequestError(_("a sequence browser node is expected, got {node!r}").format(node=browser))
        for volume in volumes:
            check_volume(volume)
        self._scene, self._browser, self._volumes = scene, browser, list(volumes)
        self._sequences = [browser.GetSequenceNode(volume) for volume in volumes]
        self._moving = next((one for one in self._sequences if one is not None), None)
        if self._moving is None:
            raise RequestError(
                _(
                    "none of the input volumes belongs to the sequence browser '{browser}'; choose as input "
                    "the volume that it shows"
                ).format(browser=browser.GetName())
            )
        self._values = [self._moving.GetNthIndexValue(n) for n in range(self._moving.GetNumberOfDataNodes())]
        self._title = run_title(scene, self._first)
        self.segmentations = self.shown = None

    def __len__(self) -> int:
        return len(self._values)

    @property
    def _first(self):
        return self._volumes[self._sequences.index(self._moving)]

    def name(self, frame: int) -> str:
        """A frame as it is shown."""
        return f"{self._first.GetName()}, {name_of(self._moving, self.index(frame))}"

    def index(self, frame: int) -> str:
        """The frame's value on the sequence's index, as it was at the beginning."""
        return self._values[frame]

    def image(self, frame: int) -> Image:
        """The channels of a frame in world coordinates. Raises RequestError as image_from_volumes does, and as add."""
        self._check()
        return image_from_volumes(self._nodes(frame), self._volumes)

    def add(self, frame: int, result: SegmentResult) -> None:
        """Puts a frame's segments into the sequence of segmentations, which the browser shows from the first one on.

        Raises RequestError where something that belongs to the sequence is no longer in the scene.
        """
        self._check()
        if self._is_drawn(frame):
            raise RequestError(_("the frame was segmented by hand meanwhile; its segments stay"))
        workshop = slicer.vtkMRMLScene()  # where a node can have what it needs without the application noticing
        node = workshop.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{self._title} segmentation")
        write_segments(node, result.labelmap, result.labels, self._nodes(frame)[0])
        keep_numbers(node, result, segment_ids(node))
        describe(node, result.report, self._title)
        if self.segmentations is not None:
            self.segmentations.SetDataNodeAtValue(node, self.index(frame))
            return
        with all_or_nothing(self._scene):
            shown, segmentations = self._begin(result)
            segmentations.SetDataNodeAtValue(node, self.index(frame))
            self._browser.AddProxyNode(shown, segmentations, False)
            self._browser.SetMissingItemMode(segmentations, self._browser.MissingItemCreateFromDefault)
            self._browser.SetSaveChanges(segmentations, True)  # else an edit is lost where the frame changes
        self.shown, self.segmentations = shown, segmentations
        show_alone(self._scene, shown)

    def _check(self) -> None:
        if not all(map(is_in_scene, (*self._volumes, self._moving, self._browser))):
            raise RequestError(
                _("the sequence, its browser or an input volume is no longer in the scene; choose others")
            )
        if self.shown is not None and not all(map(is_in_scene, (self.shown, self.segmentations))):
            raise RequestError(_("the segmentation of the frames was removed meanwhile; run the batch again"))

    def _is_drawn(self, frame: int) -> bool:
        """Whether somebody has drawn in a frame without a result."""
        drawn = self.segmentations.GetDataNodeAtValue(self.index(frame), True) if self.segmentations else None
        return drawn is not None and drawn.GetSegmentation().GetNumberOfSegments() > 0

    def _nodes(self, frame: int) -> list:
        value = self.index(frame)
        if self._moving.GetDataNodeAtValue(value, True) is None:
            raise RequestError(_("the frame was removed from the sequence meanwhile; leave it out"))
        return [
            volume if sequence is None else sequence.GetDataNodeAtValue(value, False)
            for volume, sequence in zip(self._volumes, self._sequences)
        ]

    def _begin(self, result: SegmentResult) -> tuple:
        """Adds the segmentation in which the browser shows the sequence, and the sequence."""
        shown = add_segmentation(self._scene, f"{self._title} segmentation")
        write_segments(shown, result.labelmap, result.labels, self._volumes[0])
        keep_numbers(shown, result, segment_ids(shown))
        node = self._scene.AddNewNodeByClass("vtkMRMLSequenceNode", f"{self._title} segmentations")
        node.SetIndexName(self._moving.GetIndexName())
        node.SetIndexUnit(self._moving.GetIndexUnit())
        node.SetIndexType(self._moving.GetIndexType())
        node.SetNumericIndexValueTolerance(self._moving.GetNumericIndexValueTolerance())
        node.SetNodeReferenceID(BELONGS_TO, shown.GetID())
        for each in (shown, node):
            describe(each, result.report, self._title)
        return shown, node
