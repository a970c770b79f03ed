"""What comes back from the engine."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..models.package import Label
from ..uncertainty.accumulator import Accumulator
from ..uncertainty.aggregation import aggregate
from ..uncertainty.all_labels import Probability, labels_of
from ..uncertainty.alternatives import Alternative, find_alternatives
from ..uncertainty.boundary_distance import excess
from ..uncertainty.click_weights import Opinions as Heard
from ..uncertainty.click_weights import under_clicks
from ..uncertainty.fusion import fused_labelmap
from ..uncertainty.less_doubt import less_doubtful
from ..uncertainty.likeliest import LikeliestLabels
from ..uncertainty.map_range import Span, span_of
from ..uncertainty.measures import binary_entropy, measured
from ..uncertainty.packing import overlaps, plane_of, unpack_labelmap
from ..uncertainty.regions import Region, find_regions
from ..uncertainty.rules import label_value
from ..uncertainty.statistics import Doubt, case_uncertainty, find_doubt, structure_statistics
from .clicks import Clicks, describe_clicks, voxel_clicks
from .comparable_options import fitting_rule
from .request import check_clicks
from .structure_ranges import judged

_ARRAYS = ("labelmap", "probability", "packed_samples", "weights", "expected_entropy", "variance", "affine",
           "label_expected_entropy", "label_variance", "mean_entropy", "label_mean_entropy")  # fmt: skip
_MOMENTS = ("expected_entropy", "variance", "label_expected_entropy", "label_variance", "mean_entropy",
            "label_mean_entropy")  # fmt: skip
NOTHING_FOUND = "no structure was found; is this the right model and image?"


@dataclass(frozen=True)
class SegmentResult:
    """A segmentation with its uncertainty, in the geometry of the first input.

    labelmap: (I, J, K) uint8.
    probability: (L, I, J, K) float32, background first, calibrated, summing to 1; of large images its likeliest labels
    (see uncertainty.likeliest).
    packed_samples: (S, planes, bytes) uint8, see uncertainty.packing.
    weights: (S,) float64, how much each sample counts, summing to 1.
    expected_entropy, variance: (I, J, K) float32, see uncertainty.measures.
    affine: (4, 4) voxel index to RAS mm.  labels: the foreground labels.
    calibration: the model's, and as `structures` the ranges that it holds for, see structure_ranges.strictest; results
    of earlier versions have none.
    statistics: one dictionary a label (see CONTRACT: `segments`).  report: the run as plain data (JSON).
    label_expected_entropy, label_variance: (L - 1, I, J, K) float32 of each structure, see uncertainty.accumulator;
      None where they were not kept.
    mean_entropy, label_mean_entropy: likewise, entropy of the opinions' mean, where `probability` is another one of all
      (see `of`); else None.
    """

    labelmap: np.ndarray
    probability: Probability
    packed_samples: np.ndarray
    weights: np.ndarray
    expected_entropy: np.ndarray
    variance: np.ndarray
    affine: np.ndarray
    labels: tuple[Label, ...]
    calibration: dict
    report: dict
    label_expected_entropy: np.ndarray | None = None
    label_variance: np.ndarray | None = None
    mean_entropy: np.ndarray | None = None
    label_mean_entropy: np.ndarray | None = None

    def __repr__(self) -> str:
        """One line: in a console, arrays and report would fill the screen."""
        names = ", ".join(label.name for label in self.labels)
        shape = " x ".join(map(str, self.labelmap.shape))
        return f"SegmentResult({names}; {shape} voxels, {len(self.weights)} opinions)"

    @classmethod
    def of(
        cls, opinions: Accumulator, fusion: str, threshold: float | None, affine: np.ndarray,
        labels: tuple[Label, ...], calibration: dict, probability: np.ndarray | None = None,
    ) -> SegmentResult:  # fmt: skip
        """The result of all opinions of a run, which it takes the memory of; its report holds rule and statistics only.

        probability: (L, I, J, K) float32 that the opinions have together; None for their mean.
        """
        packed, weights, moments = np.stack(opinions.packed), opinions.shares, opinions.finish()
        likely, entropies = moments.mean, {}
        if probability is not None:
            likely, entropies = probability, {"mean_entropy": labels_of(moments.mean).entropy}
        if entropies and moments.label_expected_entropy is not None:
            entropies["label_mean_entropy"] = np.stack([binary_entropy(label) for label in moments.mean[1:]])
        return cls(
            labelmap=fused_labelmap(fusion, threshold, likely, packed, weights), probability=likely,
            packed_samples=packed, weights=weights, expected_entropy=moments.expected_entropy,
            variance=moments.variance, affine=affine, labels=labels, calibration=calibration,
            report={"fusion": fusion, "threshold": threshold},
            label_expected_entropy=moments.label_expected_entropy, label_variance=moments.label_variance, **entropies,
        ).with_statistics()  # fmt: skip

    @property
    def statistics(self) -> list[dict]:
        """Volume, interval, uncertainty, agreement and expected Dice of each structure; or, instead of an expected Dice
        that does not hold, None, and why as `expected_dice_withheld`."""
        return self.report["segments"]

    @cached_property
    def samples(self) -> np.ndarray:
        """(S, I, J, K) uint8, a label map a sample; unpacked when asked for."""
        return np.stack([unpack_labelmap(bits, self.labelmap.shape) for bits in self.packed_samples])

    @property
    def sample_volumes(self) -> np.ndarray:
        """(S, L - 1) mm^3, of each structure in each sample."""
        voxels = np.stack([np.diagonal(shared) for shared in self._overlaps], 1)
        return voxels * self.voxel_volume

    @property
    def voxel_volume(self) -> float:
        """mm^3"""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    def uncertainty(
        self, measure: str = "entropy", label: int | str | None = None, normalised: bool = False
    ) -> np.ndarray:
        """(I, J, K) float32: "entropy" of the probability (total), "expected-entropy" (aleatoric), "mutual-information"
        (epistemic: entropy of the opinions' mean less the expected one), all in nats in [0, ln L]; or "variance" in
        [0, 1].

        label: value or name of a structure; the measure is then that of "this structure or not", in [0, ln 2] or
          [0, 1/4].
        normalised: what goes beyond the usual at that distance from the boundary, see uncertainty.boundary_distance.
        Raises RequestError for other names, and where a structure's moments were not kept (uncertainty.accumulator).
        """
        value = None if label is None else label_value(self.labels, label)
        moments = (self.expected_entropy, self.variance) if value is None else self._moments(value)
        out = measured(measure, lambda: self._total(value, measure == "mutual-information"), *moments)
        if normalised:
            out = excess(out, self.labelmap if value is None else self.labelmap == value, self.affine)
        return out

    def span(self, measure: str, values: np.ndarray, label: int | str | None = None) -> Span:
        """The values that the colours of a map span.  values: what `uncertainty` gave for measure and label."""
        return span_of(measure, len(self.labels) + 1 if label is None else 2, values)

    def aggregates(
        self, measure: str = "entropy", label: int | str | None = None, normalised: bool = False
    ) -> dict[str, float | None]:
        """The uncertainty map (see there) in one number, in several ways: see uncertainty.aggregation.

        Over the structure, or over all of them where no label is given.
        """
        mask = self.labelmap > 0 if label is None else self.labelmap == label_value(self.labels, label)
        return aggregate(self.uncertainty(measure, label, normalised), mask)

    def alternatives(self) -> list[Alternative]:
        """What the samples mean, the likeliest first, see uncertainty.alternatives; a single one is the
        segmentation."""
        found = find_alternatives(self.packed_samples, self.labelmap.shape, self.weights)
        return found if len(found) > 1 else [replace(found[0], labelmap=self.labelmap)]

    def regions(self, most: int = 20, by: str = "dice") -> list[Region]:
        """Where to look, the place that matters most first: see uncertainty.regions.

        by: "dice" or "volume", which is expected to change most if the place is corrected.
        """
        names = {label.value: label.name for label in self.labels}
        return find_regions(self.labelmap, self._doubt, self.affine, names, most, by)

    def labelmap_by(self, fusion: str, threshold: float | None) -> np.ndarray:
        """(I, J, K) uint8: the label map of `refuse`, without the numbers that go with it."""
        return fused_labelmap(fusion, threshold, self.probability, self.packed_samples, self.weights, self._judged)

    def refuse(self, fusion: str = "mean", threshold: float | None = None) -> SegmentResult:
        """The same opinions put together by another rule, without inference (see uncertainty.fusion).

        Of the report's warnings, NOTHING_FOUND and that the calibration was fitted for another rule are those of the
        new label map; the others are those of the first run, also where they tell the volume of a structure then.
        """
        labelmap, threshold = self.labelmap_by(fusion, threshold), None if threshold is None else float(threshold)
        report = self._told({"fusion": fusion, "threshold": threshold}, labelmap)
        return self._with(labelmap=labelmap, report=report).with_statistics()

    def with_clicks(self, clicks: Clicks) -> SegmentResult:
        """The same opinions, in the light of places whose label is known, without inference: see
        uncertainty.click_weights. The clicked voxels get the clicked labels, with every fusion.

        clicks: (R, A, S, label) as in a SegmentRequest; they come on top of those that the result knows already, which
          stay heeded where they are not clicked anew.
        Raises RequestError for what is no click, and for places outside the image or unknown labels.
        """
        known = self.report.get("clicks", [])
        clicks = check_clicks(clicks)
        heeded = (*((*click["position"], click["label"]) for click in known), *clicks)
        voxels = voxel_clicks(heeded, self.affine, self.labelmap.shape, self.labels)
        before = Heard(self.packed_samples, self.weights, self.probability)
        heard = under_clicks(before, self.labelmap, voxels, self.affine)
        new = describe_clicks(clicks, self.labels)
        told = [*(click for click in known if click not in new), *new]
        fusion, threshold = self.report.get("fusion", "mean"), self.report.get("threshold")
        labelmap = fused_labelmap(fusion, threshold, heard.probability, heard.packed, heard.weights)
        for index, label in voxels:
            labelmap[index] = label
        moments = {name: getattr(self, name) for name in _MOMENTS}
        moments = less_doubtful(moments, self.probability, heard.probability)
        changed = replace(
            self, labelmap=labelmap, probability=heard.probability, packed_samples=heard.packed, weights=heard.weights,
            report=self._told({"clicks": told}, labelmap), **moments,
        )  # fmt: skip
        return changed.with_statistics()

    def with_statistics(self) -> SegmentResult:
        """The result with the report's `segments` and `uncertainty` computed from its arrays. An expected Dice that was
        withheld stays withheld, unless for a structure's volume or the image's edge, which are judged anew."""
        before, (calibration, _) = self.report.get("segments", ()), fitting_rule(self.calibration, self.report)
        reasons = {segment["label"]: segment.get("expected_dice_withheld") for segment in before}
        segments = []
        for label, common in zip(self.labels, self._overlaps):
            numbers = structure_statistics(
                label.value, self.labelmap, self.probability, self.expected_entropy, self._moments(label.value)[0],
                self._doubt, common, self.affine, calibration, self.weights,
            )  # fmt: skip
            numbers |= self._disagreement(label.value)
            segments.append({"name": label.name, "label": label.value, "terminology": label.terminology, **numbers})
        segments = judged(segments, reasons, self.calibration, self.labelmap, self.voxel_volume)
        case = case_uncertainty(self.labelmap, self._doubt)
        return self._with(report={**self.report, "segments": segments, "uncertainty": case})

    def _told(self, changes: dict, labelmap: np.ndarray) -> dict:
        """The report with changes; its warnings, if it has any, are those of the new rule, clicks and label map."""
        report = {**self.report, **changes}
        if "warnings" in report:
            former = {NOTHING_FOUND, *fitting_rule(self.calibration, self.report)[1]}
            report["warnings"] = [warning for warning in report["warnings"] if warning not in former]
            report["warnings"] += fitting_rule(self.calibration, report)[1]
            report["warnings"] += [] if labelmap.any() else [NOTHING_FOUND]
        return report

    def _moments(self, value: int) -> tuple[np.ndarray | None, np.ndarray | None]:
        if len(self.labels) == 1:
            return self.expected_entropy, self.variance / 2
        if self.label_variance is None:
            return None, None
        return self.label_expected_entropy[value - 1], self.label_variance[value - 1]

    def _total(self, value: int | None, of_mean: bool) -> np.ndarray:
        """Entropy of the probability, or of the opinions' mean.  value: of a label; None for all."""
        if of_mean and self.mean_entropy is not None:
            every = value is None or len(self.labels) == 1
            return self.mean_entropy if every else self.label_mean_entropy[value - 1]
        return labels_of(self.probability).entropy if value is None else binary_entropy(self.probability[value])

    def _disagreement(self, value: int) -> dict:
        """The statistics of a structure that rest on the opinions' mean, where that is not the probability."""
        if self.mean_entropy is None:
            return {}
        mask, whole = self.labelmap == value, self.uncertainty("mutual-information")
        known = self._moments(value)[0] is not None
        return {
            "mean_mutual_information": float(whole[mask].mean()) if mask.any() else None,
            "mutual_information": self.aggregates("mutual-information", value) if known else None,
        }

    @cached_property
    def _doubt(self) -> Doubt:
        return find_doubt(self.probability)

    @cached_property
    def _judged(self) -> dict:
        """What fused_labelmap found out about the opinions."""
        return {}

    @cached_property
    def _overlaps(self) -> list[np.ndarray]:
        """A label: (S, S) voxels that two samples share."""
        return [overlaps(plane_of(self.packed_samples, label.value)) for label in self.labels]

    def _with(self, **changes: Any) -> SegmentResult:
        """A copy with other values, none of which is the probability or the samples."""
        changed = replace(self, **changes)
        vars(changed).update(_doubt=self._doubt, _overlaps=self._overlaps, _judged=self._judged)
        return changed

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict]:
        """The result as named arrays and plain data, to cross a process boundary."""
        labels = [asdict(label) for label in self.labels]
        meta = {"labels": labels, "calibration": self.calibration, "report": self.report}
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        if isinstance(self.probability, LikeliestLabels):
            arrays |= {"probability": None, **self.probability.to_arrays()}
        return {name: array for name, array in arrays.items() if array is not None}, meta

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], meta: dict) -> SegmentResult:
        """The inverse of to_arrays."""
        labels = tuple(Label(x["value"], x["name"], tuple(x["color"]), x["terminology"]) for x in meta["labels"])
        if "probability" not in arrays:
            arrays, likeliest = LikeliestLabels.from_arrays(arrays)
            arrays["probability"] = likeliest
        return cls(**arrays, labels=labels, calibration=meta["calibration"], report=meta["report"])
