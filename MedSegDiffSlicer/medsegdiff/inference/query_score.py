"""How far what an image shows is from all that a mask transformer has learnt."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ..networks.region_outputs import RegionOutputs
from ..networks.slicewise import Slicewise, between_chunks
from .backoff import may_be_mended
from .model import Model
from .plan import TILE
from .preprocessing import Prepared, Preprocessing
from .tiling import make_tiles, plan_cut

RAREST = 0.999  # of the voxels are less strange than `max_query` says


def describe_queries(
    model: Model, preprocessing: Preprocessing, prepared: Prepared, check: Callable[[], None] = lambda: None
) -> dict[str, float]:
    """Numbers of the MaxQuery score (networks.mask_transformer) to compare with those of training cases, beside
    input_checks.describe_image: `max_query` of the strangest voxels, `mean_query` of all. Empty for networks that have
    no queries, and for those that are told of clicks. It takes one more look at the image.

    preprocessing, prepared: the model's, and what it made of the image.  check: called before each network call; what
      it raises ends them.
    """
    if model.package.clicks or not hasattr(_of(model.network), "max_query"):
        return {}
    shape, flat = prepared.array.shape[1:], model.network.spatial_dims == 2
    cut = plan_cut(shape, TILE[model.device.type], preprocessing.divisors, preprocessing.size or (None,) * 3, flat)
    score = np.empty(shape, np.float32)
    for tile in make_tiles(shape, cut, 0.0):
        check()
        part = torch.from_numpy(np.ascontiguousarray(prepared.array[(slice(None), *tile.window)]))[None]
        with between_chunks(check):
            score[tile.core] = _max_query(model, part.to(model.device))[tile.inside]
    inside = score[prepared.inside]
    return {"max_query": float(np.quantile(inside, RAREST)), "mean_query": float(inside.mean())}


def queries_or_warning(
    model: Model, preprocessing: Preprocessing, prepared: Prepared, check: Callable[[], None]
) -> tuple[dict[str, float], list[str]]:
    """As describe_queries; and what has to be said where the device has not the memory, or the operation."""
    try:
        return describe_queries(model, preprocessing, prepared, check), []
    except (RuntimeError, MemoryError) as error:
        if not may_be_mended(error, model.device):
            raise
    if model.device.type == "cuda":
        torch.cuda.empty_cache()
    left_out = f"{model.package.name}: how strange the image is was judged without the network's queries"
    return {}, [f"{left_out}, which {model.device} could not compute (too little memory is the usual cause)"]


def _max_query(model: Model, image: Tensor) -> np.ndarray:
    """(i, j, k) of image (1, C, i, j, k)."""
    network = model.network
    with torch.inference_mode(), torch.autocast(
        model.device.type, model.precision, enabled=model.precision != torch.float32
    ):
        call = _of(network).max_query
        score = network.of_slices(call, image) if isinstance(network, Slicewise) else call(image)
    return score[0].float().cpu().numpy()


def _of(network: nn.Module) -> nn.Module:
    while isinstance(network, (Slicewise, RegionOutputs)):
        network = network.network
    return network
