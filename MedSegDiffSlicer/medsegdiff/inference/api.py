"""The Python face: load a model, segment an image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RequestError
from ..image import Image, read_image
from ..models.ensembles import find_ensemble
from ..models.package import ModelPackage
from . import model as loading
from .engine import CancelCheck, ProgressCallback, segment_image
from .ensemble import load_models
from .ensemble_request import request_for
from .model import Model
from .result import SegmentResult
from .variants import Guide

__all__ = ["LoadedEnsemble", "load_model", "segment"]


@dataclass(frozen=True)
class LoadedEnsemble:
    """An ensemble with its models in memory.  folder: its own, or its name.  models: the members, in their order."""

    folder: str
    models: tuple[Model, ...]


def load_model(
    name: str | Path | ModelPackage, device: str = "auto", precision: str = "auto"
) -> Model | LoadedEnsemble:
    """Reads, checks and loads a model, or the models of an ensemble.

    name: a name in the model store, the folder of a package or an ensemble, or a package.  device, precision: see
      SegmentRequest.
    Raises RequestError where one is missing, damaged, changed or does not fit its network, or members do not agree.
    """
    if isinstance(name, ModelPackage) or find_ensemble(name) is None:
        return loading.load_model(name, device, precision)
    return LoadedEnsemble(str(name), tuple(load_models(request_for([str(name)], device=device, precision=precision))))


def segment(
    model: Model | LoadedEnsemble | str | Path | Sequence[Model | str | Path],
    image: Image | str | Path | list | tuple,
    *,
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
    guide: Guide | None = None,
    **options,
) -> SegmentResult:
    """Segments one case.

    model: from load_model, or a name; or several models, which are all asked.
    image: an Image, a pair of array (I, J, K) or (C, I, J, K) and affine (4, 4; voxel index to RAS mm), a file or DICOM
      folder, or a list of files (channels of one case).
    options: samples, weights, steps, sampler, seed, fusion, threshold, variants, tta, dropout, settle, overlap, tile,
      sample_batch, and beside models' names device and precision (see SegmentRequest).
    guide: guide(probability, t, window), called at each step of a diffusion model: probability (S, L, i, j, k) float32,
      a torch tensor on the model's device, what S samples predict of the L labels (sums of 1, background first) at
      training step t, the last (999, where a package tells no other) - 0; window: three slices, the box of the prepared
      image that this is (the image in the model's orientation and spacing). What it returns, of the same shape, 0 - 1,
      sums of 1, takes the prediction's place. Other models do not call it; several GPUs call it in threads of their
      own.
    Raises RequestError for unusable input, JobError where the work failed, Cancelled.
    """
    several = isinstance(model, Sequence) and not isinstance(model, str)
    models = [*(model if several else [model]), *options.pop("others", ())]
    if not models:
        raise RequestError("no model is named; name one at least")
    names = [_name(x) for x in models]
    request = request_for(names, **options)
    if any(isinstance(x, (Model, LoadedEnsemble)) for x in models) and ("device" in options or "precision" in options):
        raise RequestError("the model is loaded already: give device and precision to load_model")
    if not isinstance(image, (Image, str, os.PathLike, list, tuple)):
        raise RequestError(
            f"a {type(image).__name__} is no image; give a file, a list of files, or an Image: "
            "medsegdiff.image.Image(array (C, I, J, K), affine (4, 4) to RAS mm)"
        )
    if isinstance(image, (list, tuple)) and any(isinstance(part, np.ndarray) for part in image):
        image = _from_pair(*image) if len(image) == 2 else _from_pair(None, None)
    image = image if isinstance(image, Image) else read_image(image)
    loaded = None  # the engine loads those that are named, once it knows that they go with the image
    if isinstance(models[0], LoadedEnsemble):
        loaded = models[0].models
    elif any(isinstance(x, Model) for x in models):
        where = request.device, request.precision
        loaded = [x if isinstance(x, Model) else loading.load_model(x, *where) for x in models]
    return segment_image(request, image, model=loaded, progress=progress, cancelled=cancelled, guide=guide)


def _from_pair(array: Any, affine: Any) -> Image:
    array, affine = np.asarray(array), np.asarray(affine)
    if array.ndim not in (3, 4) or affine.shape != (4, 4):
        raise RequestError(
            "this is no pair of an array (I, J, K) or (C, I, J, K) and an affine (4, 4); give these, or a file"
        )
    return Image(array if array.ndim == 4 else array[None], affine)


def _name(model: Model | LoadedEnsemble | str | Path) -> str:
    if isinstance(model, LoadedEnsemble):
        return model.folder
    if not isinstance(model, (Model, str, os.PathLike)):
        raise RequestError(
            f"an object of type {type(model).__name__} is no model; give its name, a folder, or what load_model returns"
        )
    return model.package.name if isinstance(model, Model) else str(model)
