"""A result on a part of a volume, as one on the whole of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from medsegdiff.inference.result import SegmentResult
from medsegdiff.models.package import Label
from medsegdiff.uncertainty.map_range import Span
from medsegdiff.uncertainty.packing import pack_labelmap, unpack_labelmap
from medsegdiff.uncertainty.regions import Region

from .region_of_interest import Box


@dataclass(frozen=True)
class PlacedResult:
    """What nodes, view and review need of a SegmentResult, on the grid of the whole volume.

    result: on the box of the volume's voxels; outside nothing is known, which counts as background without doubt.
    shape: (I, J, K) of the volume.  values: of the structures that are told of.
    """

    result: SegmentResult
    box: Box
    shape: tuple[int, int, int]
    values: frozenset[int]

    @property
    def report(self) -> dict:
        return self.result.report

    @property
    def weights(self) -> np.ndarray:
        return self.result.weights

    @property
    def labels(self) -> tuple[Label, ...]:
        return tuple(label for label in self.result.labels if label.value in self.values)

    @property
    def statistics(self) -> list[dict]:
        return [row for row in self.result.statistics if row["label"] in self.values]

    @property
    def voxel_volume(self) -> float:
        return self.result.voxel_volume

    @property
    def sample_volumes(self) -> np.ndarray:
        columns = [index for index, label in enumerate(self.result.labels) if label.value in self.values]
        return self.result.sample_volumes[:, columns]

    @property
    def affine(self) -> np.ndarray:
        affine = self.result.affine.copy()
        affine[:3, 3] -= affine[:3, :3] @ self.box.start
        return affine

    @cached_property
    def labelmap(self) -> np.ndarray:
        return self._placed(self.result.labelmap)

    @cached_property
    def packed_samples(self) -> np.ndarray:
        count = len(self.result.labels) + 1
        samples = (unpack_labelmap(bits, self.box.shape) for bits in self.result.packed_samples)
        return np.stack([pack_labelmap(self._placed(sample), count) for sample in samples])

    def uncertainty(self, measure: str = "entropy") -> np.ndarray:
        """See SegmentResult.uncertainty."""
        return self._placed(self.result.uncertainty(measure))

    def span(self, measure: str, values: np.ndarray) -> Span:
        """See SegmentResult.span: all structures of the model count, told of or not."""
        return self.result.span(measure, values)

    def regions(self, most: int = 20) -> list[Region]:
        """See SegmentResult.regions."""
        return [self._region(region) for region in self.result.regions(most) if region.label in self.values]

    def _placed(self, array: np.ndarray) -> np.ndarray:
        out = np.zeros(self.shape, array.dtype)
        out[self.box.slices] = array
        return out

    def _region(self, region: Region) -> Region:
        index = tuple(low + here for low, here in zip(self.box.start, region.index))
        at = np.stack(np.unravel_index(region.at, self.box.shape), 1) + self.box.start
        return replace(region, index=index, slice=index[2], at=np.ravel_multi_index(at.T, self.shape))
