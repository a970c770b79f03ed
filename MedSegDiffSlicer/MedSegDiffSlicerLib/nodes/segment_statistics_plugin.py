"""The module Segment Statistics also tells what a run measured of its segments."""

from __future__ import annotations

import slicer
from SegmentStatisticsPlugins import SegmentStatisticsPluginBase
from slicer.i18n import tr as _

from .segment_numbers import NUMBERS, is_reliable, numbers_of, volume_of

_INTERVAL = "VolumeLowMm3", "VolumeHighMm3"


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
        """The numbers asked for, as far as they are known of this segment; no interval that was not calibrated for it,
        as a table of numbers has no question marks."""
        node = slicer.mrmlScene.GetNodeByID(self.getParameterNode().GetParameter("Segmentation"))
        segment = node.GetSegmentation().GetSegment(segmentID)
        found, left_out = numbers_of(segment, volume_of(node, segmentID)), () if is_reliable(segment) else _INTERVAL
        return {key: found[key] for key in self.getRequestedKeys() if key in found and key not in left_out}

    def getMeasurementInfo(self, key: str) -> dict | None:
        """Name, title, description and units of a number; None for one that is not of this plugin."""
        texts = _texts().get(key)
        return None if texts is None else self.createMeasurementInfo(*texts)


def register() -> None:
    """Makes Segment Statistics use the plugin."""
    from SegmentStatistics import SegmentStatisticsLogic

    SegmentStatisticsLogic.registerPlugin(MedSegDiffSegmentStatisticsPlugin())


def _texts() -> dict[str, tuple[str, str, str, str]]:
    """Name of the column, which no language changes, title, description and units of each number."""
    unlike = " " + _("(none of images and results unlike those that the model learnt from)")
    return {
        "VolumeLowMm3": (
            "Volume low mm3", _("Volume, low"), _("Lower end of the 95 % interval of the volume") + unlike, "mm3",
        ),
        "VolumeHighMm3": (
            "Volume high mm3", _("Volume, high"), _("Upper end of the 95 % interval of the volume") + unlike, "mm3",
        ),
        "SurfaceAreaMm2": (
            "Surface area mm2", _("Surface area"), _("Area of the surface, by Crofton's formula"), "mm2",
        ),
        "ExpectedDice": (
            "Expected Dice", _("Expected Dice"), _("The model's own estimate of its Dice, 0 - 1") + unlike, "",
        ),
        "SampleAgreement": (
            "Sample agreement", _("Sample agreement"), _("Mean Dice of all pairs of opinions, 0 - 1"), "",
        ),
        "MeanUncertainty": (
            "Mean uncertainty nats", _("Mean uncertainty"), _("Mean entropy over the segment"), "nats",
        ),
        "WorstUncertainty": (
            "Worst uncertainty nats", _("Worst uncertainty"), _("Entropy where it is highest around the segment"),
            "nats",
        ),
    }  # fmt: skip
