"""The panel's choices, as a parameter node: saved with the scene."""

from typing import Annotated

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from ..jobs.run_options import AUTO


@parameterNodeWrapper
class MedSegDiffSlicerParameterNode:
    """What the panel shows. For sampler ... otherModels see run_options.options_from.

    inputVolume, furtherInputs: the model's channels, the first one and the others.
    segmentation: where the segments go; None makes a new one.
    measures: the maps to add, joined by "+".  probabilityVolumes, samplesSequence: whether to add these too.
    showUncertainty: whether the map of a new result is laid over the scan.
    resultSegmentation: what the last run left.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    furtherInputs: list[vtkMRMLScalarVolumeNode]
    model: str = ""
    samples: Annotated[int, WithinRange(1, 1000)] = 8
    steps: Annotated[int, WithinRange(1, 1000)] = 4
    seed: Annotated[int, WithinRange(0, 2147483647)] = 0
    sampler: str = AUTO
    fusion: str = "mean"
    threshold: Annotated[float, WithinRange(0.0, 0.99)] = 0.0
    variants: str = AUTO
    settle: Annotated[float, WithinRange(0.0, 0.1)] = 0.0
    device: str = AUTO
    precision: str = AUTO
    tile: Annotated[int, WithinRange(0, 1024)] = 0
    otherModels: str = ""
    measures: str = "entropy"
    probabilityVolumes: bool = True
    samplesSequence: bool = True
    segmentation: vtkMRMLSegmentationNode
    showUncertainty: bool = True
    resultSegmentation: vtkMRMLSegmentationNode

    def inputs(self, count: int) -> list:
        """The volumes chosen for that many channels, None where none is."""
        further = list(self.furtherInputs)
        return [self.inputVolume, *further, *[None] * count][:count]
