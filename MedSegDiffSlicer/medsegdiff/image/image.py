"""The image that every part of the backend passes on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import RequestError


@dataclass(frozen=True)
class Image:
    """One case: all channels on one grid, with its place in the patient.

    array: (C, I, J, K), any real numeric type; a 2D image has K = 1. Axes are Slicer's IJK, first index fastest in
      space.
    affine: (4, 4) float64, voxel index (i, j, k) to RAS millimetres.
    channel_names: one name a channel, or empty.
    placed: whether the file says which way the axes run in the patient; otherwise left and right are a guess.
    notes: what whoever sees a result has to know of how the channels came together.
    missing: numbers of the channels that are blank, as there is no image of them.
    modalities: of each channel ("MR", "CT", ...) as its DICOM files tell it, empty where they do not; or empty.
    Raises RequestError where the image is empty, not finite, or its affine cannot be inverted.
    """

    array: np.ndarray
    affine: np.ndarray
    channel_names: tuple[str, ...] = ()
    placed: bool = True
    notes: tuple[str, ...] = ()
    missing: tuple[int, ...] = ()
    modalities: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        array, affine = np.asarray(self.array), np.array(self.affine, dtype=np.float64)
        object.__setattr__(self, "array", array)
        object.__setattr__(self, "affine", affine)
        if array.ndim != 4:
            raise RequestError(f"an image needs 4 axes (channel, i, j, k), got shape {array.shape}")
        if array.size == 0:
            raise RequestError(f"the image is empty (size {'x'.join(map(str, array.shape[1:]))}); choose another one")
        if array.dtype.kind not in "uifb":
            raise RequestError(f"voxels of type {array.dtype} cannot be segmented; convert the image to real numbers")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            count = int(array.size - np.isfinite(array).sum())
            raise RequestError(f"{count} voxels are NaN or infinite; replace them (for example by 0) and try again")
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise RequestError("the image's affine cannot be inverted; repair its spacing and directions")
        if self.channel_names and len(self.channel_names) != array.shape[0]:
            raise RequestError(f"{len(self.channel_names)} channel names for {array.shape[0]} channels")
        if self.modalities and len(self.modalities) != array.shape[0]:
            raise RequestError(f"{len(self.modalities)} modalities for {array.shape[0]} channels")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along i, j, k."""
        return tuple(self.array.shape[1:])

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size along i, j, k in mm."""
        return tuple(float(v) for v in np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel in mm^3."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))
