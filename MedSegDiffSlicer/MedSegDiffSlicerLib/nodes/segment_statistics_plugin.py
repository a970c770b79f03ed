"""The module Segment Statistics also tells what a run measured of its segments."""

from __future__ import annotations

import slicer
from SegmentStatisticsPlugins import SegmentStatisticsPluginBase
from slicer.i18n import tr as _

from .segment_numbers import NUMBERS, numbers_of, volume_of


class MedSegDiffSegmentStatisticsPlugin(SegmentStatisticsPluginBase):
    """Intervals, surface area, expected Dice and uncertainty of segments that MedSegDiff made and nobody edited since.

    keys: segment_numbers.NUMBERS.
    """

    def __init__(self):
        super().__init__()
        self.name = "MedSegDiff"
        self.title = "MedSegDiff"
        self.keys = list(NUMBERS)
        self.defaultKeys = list(NUMBERS)

    def computeStatistics(self, segmentID: str) -> dict[str, float]:
        """The numbers asked for, as far as they are known of this segment."""
        node = slicer.mrmlScene.GetNodeByID(self.getParameterNode().GetParameter("Segmentation"))
        found = numbers_of(node.GetSegmentation().GetSegment(segmentID), volume_of(node, segmentID))
        return {key: found[key] for key in self.getRequestedKeys() if key in found}

    def getMeasurementInfo(self, key: str) -> dict | None:
        """Name, title, description and units of a number; None for one that is not of this plugin."""
        texts = _texts().get(key)
        return None if texts is None else self.createMeasurementInfo(key, *texts)


def register() -> None:
    """Makes Segment Statistics use the plugin."""
    from SegmentStatistics import SegmentStatisticsLogic

    SegmentStatisticsLogic.registerPlugin(MedSegDiffSegmentStatisticsPlugin())


def _texts() -> dict[str, tuple[str, str, str]]:
    """Title, description and units of each number."""
    return {
        "VolumeLowMm3": (_("Volume, low"), _("Lower end of the 95 % interval of the volume"), "mm3"),
        "VolumeHighMm3": (_("Volume, high"), _("Upper end of the 95 % interval of the volume"), "mm3"),
        "SurfaceAreaMm2": (_("Surface area"), _("Area of the surface, by Crofton's formula"), "mm2"),
        "ExpectedDice": (
            _("Expected Dice"),
            _("The model's own estimate of its Dice, 0 - 1; none of images and results unlike those it learnt from"),
            "",
        ),
        "SampleAgreement": (_("Sample agreement"), _("Mean Dice of all pairs of opinions, 0 - 1"), ""),
        "MeanUncertainty": (_("Mean uncertainty"), _("Mean entropy over the segment"), "nats"),
        "WorstUncertainty": (_("Worst uncertainty"), _("Entropy where it is highest around the segment"), "nats"),
    }
