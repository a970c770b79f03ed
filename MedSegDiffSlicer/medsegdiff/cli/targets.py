"""Which files a segmentation is written to, and the writing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..errors import RequestError
from ..uncertainty.rules import label_value

if TYPE_CHECKING:
    import numpy as np

    from ..image import Image
    from ..inference.request import SegmentRequest
    from ..inference.result import SegmentResult
    from ..models.package import Label
    from .outputs import Outputs


@dataclass(frozen=True)
class Targets:
    """Files of one case; None where a file is not wanted.

    segmentation: label map (.nii.gz, .nrrd) or segmentation (.seg.nrrd).  probability, uncertainty, samples,
    alternatives: volumes.  measure, label, normalised: which uncertainty, see SegmentResult.uncertainty.
    report: JSON.  preview: PNG.
    """

    segmentation: Path
    probability: Path | None = None
    uncertainty: Path | None = None
    measure: str = "entropy"
    label: str | None = None
    normalised: bool = False
    samples: Path | None = None
    alternatives: Path | None = None
    report: Path | None = None
    preview: Path | None = None

    @property
    def files(self) -> list[Path]:
        """All files that will be written, the segmentation first."""
        named = (*self._volumes, self.report, self.preview)
        return [path for path in named if path is not None]

    @property
    def _volumes(self) -> list[Path | None]:
        return [self.segmentation, self.probability, self.uncertainty, self.samples, self.alternatives]

    @property
    def map(self) -> dict[str, Any]:
        """Which uncertainty is written, as the report tells it."""
        return {"measure": self.measure, "measure_label": self.label, "measure_normalised": self.normalised}

    def check(self, inputs: Sequence[str | Path] = ()) -> None:
        """Raises RequestError, before any work, where a file cannot be written or would replace an input."""
        from ..image.output import check_output

        for path in self._volumes:
            if path is not None:
                check_output(path)
        for path, suffix in ((self.report, ".json"), (self.preview, ".png")):
            if path is not None:
                check_output(path, (suffix,))
        resolved = [path.resolve() for path in self.files]
        taken = {Path(path).resolve() for path in inputs}
        for path, place in zip(self.files, resolved):
            if resolved.count(place) > 1:
                raise RequestError(f"{path} is named for two outputs; give each its own name")
            if place in taken:
                raise RequestError(f"{path} is an input; choose another name for the output")

    def check_label(self, labels: Sequence[Label]) -> None:
        """Raises RequestError, before inference, where the label is none of the model's structures."""
        if self.label is not None:
            label_value(labels, self.label)

    def check_measure(self, labels: Sequence[Label], shape: tuple[int, int, int]) -> None:
        """Raises RequestError, before inference, where the measure of the label, or the probabilities, are not kept for
        an image of that shape (see uncertainty.accumulator, uncertainty.likeliest).  labels: the model's structures."""
        from ..uncertainty.likeliest import keeps_all

        size = "x".join(map(str, shape))
        if self.probability and not keeps_all(len(labels) + 1, prod(shape)):
            raise RequestError(
                f"the image is too large for the probabilities of {len(labels)} structures ({size} voxels); leave "
                "--probability out, ask for --uncertainty or --samples-out, or crop the image"
            )
        if self.label is None or self.measure == "entropy" or not (self.uncertainty or self.preview):
            return
        from ..uncertainty.accumulator import keeps_label_moments

        if len(labels) > 1 and not keeps_label_moments(len(labels) + 1, prod(shape)):
            raise RequestError(
                f"the image is too large for the {self.measure} of a single structure ({size} "
                f"voxels, {len(labels)} structures); leave --label out, choose --measure entropy, or crop the image"
            )

    def check_grid(self, affine: np.ndarray) -> None:
        """Raises RequestError, before inference, where a file's format cannot have the geometry of the scan."""
        from ..image.writing import check_grid

        for path in self.files:
            check_grid(path, affine)

    def write(
        self, outputs: Outputs, request: SegmentRequest, result: SegmentResult, image: Image,
        inputs: Sequence[str | Path], began: float,
    ) -> dict[str, Any]:  # fmt: skip
        """Writes all files among `outputs`, the report last.

        inputs: the scan's files.  began: time.perf_counter() when the run began. Returns the report, whose `seconds`
        then also tell the time for reading (with all that came before the engine) and writing.
        """
        import numpy as np

        from ..image import write_labelmap, write_volume
        from .findings import alternatives_entry, regions_entry

        writing = perf_counter()
        affine = result.affine
        write_labelmap(outputs.path(self.segmentation), result.labelmap, affine, result.labels)
        if self.probability:
            write_volume(outputs.path(self.probability), np.moveaxis(result.probability, 0, -1), affine)
        if self.uncertainty or self.preview:
            uncertainty = result.uncertainty(self.measure, self.label, self.normalised)
        if self.uncertainty:
            write_volume(outputs.path(self.uncertainty), uncertainty, affine)
        if self.samples:
            write_volume(outputs.path(self.samples), np.moveaxis(result.samples, 0, -1), affine)
        alternatives = result.alternatives()
        if self.alternatives:
            labelmaps = [alternative.labelmap for alternative in alternatives]
            write_volume(outputs.path(self.alternatives), np.stack(labelmaps, -1), affine)
        if self.preview:
            from ..image.preview import draw_preview

            span = result.span(self.measure, uncertainty, self.label)
            picture = draw_preview(
                image, result.labelmap, result.labels, uncertainty, self.measure, span, result.report["warnings"]
            )
            picture.save(outputs.path(self.preview))
        found = {"alternatives": alternatives_entry(alternatives, result), "regions": regions_entry(result)}
        now = perf_counter()
        seconds = dict(result.report["seconds"])
        seconds |= {"read": writing - began - seconds["total"], "write": now - writing, "total": now - began}
        report = {
            **result.report,
            "seconds": {name: round(value, 4) for name, value in seconds.items()},
            "inputs": [str(path) for path in inputs],
            "outputs": [str(path) for path in self.files],
            "request": request.to_dict(),
            **self.map,
            **found,
        }
        if self.report:
            write_json(outputs.path(self.report), report)
        return report


def write_json(path: Path, data: object) -> None:
    """Writes `data` readable for people; NaN is refused, because JSON has none."""
    path.write_text(json.dumps(data, indent=2, allow_nan=False) + "\n", encoding="utf-8")
