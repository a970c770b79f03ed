"""The Python face: load a model, segment an image."""

from __future__ import annotations

from pathlib import Path

from ..errors import RequestError
from ..image import Image, read_image
from .engine import CancelCheck, ProgressCallback, segment_image
from .model import Model, load_model
from .request import SegmentRequest
from .result import SegmentResult

__all__ = ["load_model", "segment"]


def segment(
    model: Model | str,
    image: Image | str | Path | list,
    *,
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
    **options,
) -> SegmentResult:
    """Segments one case.

    model: from load_model, or a name.  image: an Image, a file or DICOM folder, or a list of files (channels of one case).
    options: samples, steps, sampler, seed, fusion, threshold, tta, overlap, tile, sample_batch, and beside a model's name
      device and precision (see SegmentRequest).
    Raises RequestError for unusable input, JobError where the work failed, Cancelled.
    """
    name = model.package.name if isinstance(model, Model) else str(model)
    request = SegmentRequest.from_dict({"model": name, **options})
    if not isinstance(model, Model):
        model = load_model(model, request.device, request.precision)
    elif "device" in options or "precision" in options:
        raise RequestError("the model is loaded already: give device and precision to load_model")
    image = image if isinstance(image, Image) else read_image(image)
    return segment_image(request, image, model=model, progress=progress, cancelled=cancelled)
