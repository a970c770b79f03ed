"""Images so small that a network shrinks them to a single position, whose values no normalisation can tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import RequestError
from ..image import Image

_SINGLE_POSITION = "Expected more than 1 spatial element"  # PyTorch's words


@contextmanager
def large_enough(image: Image) -> Iterator[None]:
    """Raises RequestError where a network finds the image too small: which ones do, only their layers know."""
    try:
        yield
    except ValueError as error:
        if _SINGLE_POSITION not in str(error):
            raise
        size = "x".join(map(str, image.shape))
        raise RequestError(
            f"the image is too small for the model ({size} voxels of {'x'.join(f'{mm:.3g}' for mm in image.spacing)} "
            "mm); give a larger part of the scan"
        ) from error
