"""How large a result will be, before it is there."""

from __future__ import annotations

from ..errors import RequestError
from ..image.image import Image
from ..inference.request import SegmentRequest
from ..models.store import find_model
from ..uncertainty.accumulator import keeps_label_moments
from ..uncertainty.likeliest import keeps_all, structures_kept
from ..uncertainty.packing import BITS, SINGLE


def result_bytes(request: SegmentRequest, image: Image) -> int:
    """The size of the arrays of the result (see SegmentResult). 0 for an unknown model: the worker will refuse it."""
    try:
        packages = [find_model(name) for name in request.models]
    except RequestError:
        return 0
    labels = len(packages[0].labels)
    samples = sum(request.samples_of(n) or package.sampling.get("samples", 1) for n, package in enumerate(packages))
    voxels = image.array[0].size
    maps = 2 if request.ensemble is None else 3  # whose models' logits may be averaged: SegmentResult.mean_entropy
    moments = maps * labels if keeps_label_moments(labels, voxels) else maps
    kept = 4 * labels if keeps_all(labels, voxels) else 3 * structures_kept(labels, voxels) + 6  # bytes a voxel
    bits = samples * (labels - 1 if labels - 1 <= SINGLE else BITS)
    return voxels * (1 + kept + 4 * moments + bits // 8 + 1)
