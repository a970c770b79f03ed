"""What is tried when memory runs out, or a device cannot do all."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..errors import JobError
from ..networks.device_errors import is_out_of_memory, lacks_operation
from .allocator import give_back_memory
from .model import Model
from .plan import TILE, Plan
from .tiling import CONTEXT

SMALLEST_TILE = 32


def may_be_mended(error: Exception, device: torch.device) -> bool:
    """Whether `smaller` has something to try."""
    return is_out_of_memory(error) or lacks_operation(error, device)


def smaller(model: Model, plan: Plan, error: Exception, longest: int) -> tuple[Model, Plan, str]:
    """What to try when memory ran out: half the batch, half the tile, then the CPU; at once where MPS cannot do it.
    Windows of a model's own size (see Preprocessing) are no tiles, and stay as they are.

    longest: edge of the prepared image in voxels. Returns model and plan, and what has to be said of it. Raises
    JobError where nothing is left to try.
    """
    if lacks_operation(error, model.device):
        plan = replace(plan, tile=TILE["cpu"], batch=1)
        said = f"this PyTorch cannot do all on {model.device}: the CPU is used ({error})"
        return model.on(torch.device("cpu")), plan, said
    give_back_memory(0)
    for one in (model, *model.copies):
        one.steps.clear()
    if model.device.type == "cuda":
        torch.cuda.empty_cache()
    together = max(len(numbers) for _, numbers in plan.groups())
    if together > 1:
        batch = together // 2
        return model, replace(plan, batch=batch), f"memory ran out: samples are now computed {batch} at a time"
    edge = min(plan.tile, longest - 2 * CONTEXT)  # the largest that cuts the image
    if edge > SMALLEST_TILE and model.package.preprocessing.get("window") is None:
        tile = max(SMALLEST_TILE, edge // 2)
        return model, replace(plan, tile=tile), f"memory ran out: tiles of {tile} voxels are used"
    if model.device.type != "cpu":
        plan = replace(plan, tile=TILE["cpu"])
        return model.on(torch.device("cpu")), plan, f"memory ran out on {model.device}: the CPU is used"
    again = ", then start this program again" if "create a primitive" in str(error) else ""  # oneDNN stays as it is now
    raise JobError(f"memory ran out ({error}); close other programs or crop the image{again}") from None
