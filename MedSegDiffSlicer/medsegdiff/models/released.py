"""Reading checkpoints of MedSegDiff's released code (github.com/KidsWithTokens/MedSegDiff)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RequestError
from .checkpoint import read_checkpoint

if TYPE_CHECKING:
    from torch import Tensor

ATTENTION = 16  # edge in pixels of the features that attend, in the released command

# Of the released code's names, by regular expression, to those of our networks.
_HIGHWAY = (
    (r"hwm\.conv_blocks_context\.(\d+)\.blocks\.(\d)\.", r"highway.context.\1.\2."),
    (r"hwm\.conv_blocks_context\.(\d+)\.(\d)\.blocks\.0\.", r"highway.context.\1.\2."),
    (r"hwm\.conv_blocks_localization\.(\d+)\.(\d)\.blocks\.0\.", r"highway.decoder.\1.\2."),
    (r"hwm\.conv_trans_blocks_a\.(\d+)\.", r"highway.meetings.\1.enter."),
    (r"hwm\.ffparser\.(\d+)\.complex_weight", r"highway.meetings.\1.parser.weight"),
    (r"hwm\.conv_trans_blocks_b\.(\d+)\.", r"highway.meetings.\1.gate."),
    (r"hwm\.seg_outputs\.0\.", r"highway.mask."),
    (r"\.instnorm\.", r".adn.N."),
)
_RESIDUAL = (
    (r"^in_layers\.0\.", "norm1."),
    (r"^in_layers\.2\.", "conv1.conv."),
    (r"^emb_layers\.1\.", "time_emb_proj."),
    (r"^out_layers\.0\.", "norm2."),
    (r"^out_layers\.3\.", "conv2.conv."),
    (r"^skip_connection\.", "skip_connection.conv."),
)
_ATTENTION = ((r"^proj_out\.", "out."),)


def read_released(path: str | Path, heads: int = 1) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """A checkpoint as (network name, its arguments, its weights under our names, float32).

    path: `savedmodelNNNNNN.pt` or `emasavedmodel_0.9999_NNNNNN.pt`.  heads: of attention (`--num_heads`), which no
    weight tells. What else varies is read from names and shapes. Raises RequestError where it is another file, or of a
    network that the released command line does not make.
    """
    return convert_released(_load(Path(path)), str(path), heads)


def convert_released(
    state: dict[str, Tensor], source: str, heads: int = 1
) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """As read_released, from a checkpoint's contents. source: its name, for messages."""
    state = {key.removeprefix("module."): value for key, value in state.items()}
    try:
        name, arguments, kinds = _describe(state)
        weights = {
            renamed: _plain(renamed, value)
            for key, value in state.items()
            for renamed in [_rename(key, arguments["num_res_blocks"], kinds)]
        }
        arguments["num_heads"] = heads
        _check_fit(name, arguments, weights)
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise RequestError(f"{source} is no checkpoint of MedSegDiff's released code: {error}") from None
    return name, arguments, weights


def _load(path: Path) -> dict[str, Tensor]:
    import torch

    state = read_checkpoint(path, hint="give savedmodel*.pt or emasavedmodel*.pt")
    if isinstance(state, dict) and {"state", "param_groups"} <= set(state):
        raise RequestError(f"{path} is an optimizer's state, not a model; give savedmodel*.pt or emasavedmodel*.pt")
    if not isinstance(state, dict) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise RequestError(f"{path} does not hold a model's weights alone; give savedmodel*.pt or emasavedmodel*.pt")
    return {str(key): value for key, value in state.items()}


def _describe(state: dict[str, Tensor]) -> tuple[str, dict[str, Any], list[str]]:
    """Network name, arguments, and the kind of each input block: "conv", "residual" or "down"."""
    first, last = state["input_blocks.0.0.weight"], state["out.2.weight"]
    blocks = max(_numbers(r"input_blocks\.(\d+)\.", state)) + 1
    kinds = ["conv"] + ["down" if f"input_blocks.{n}.0.op.weight" in state else "residual" for n in range(1, blocks)]
    residual = [n for n, kind in enumerate(kinds) if kind == "residual"]
    levels = kinds.count("down") + 1
    channels, masks = len(first), last.shape[0] // 2
    outputs = [len(state[f"input_blocks.{n}.0.out_layers.3.weight"]) for n in residual]
    a_level = len(residual) // levels
    if any(len(state[f"input_blocks.{n}.0.emb_layers.1.weight"]) != out for n, out in zip(residual, outputs)):
        raise ValueError("use_scale_shift_norm and resblock_updown are not supported")
    attending = {kinds[:n].count("down") for n in residual if f"input_blocks.{n}.1.qkv.weight" in state}
    if len(attending) > 1 or not kinds.count("residual") == a_level * levels:
        raise ValueError("attention at several sizes is not supported")
    arguments = {
        "in_channels": first.shape[1] - masks, "out_channels": masks + 1,
        "image_size": ATTENTION << min(attending, default=levels), "channels": channels, "num_res_blocks": a_level,
        "channel_mult": [out // channels for out in outputs[::a_level]],
    }  # fmt: skip
    depth = max(_numbers(r"hwm\.conv_blocks_localization\.(\d+)\.", state)) + 1
    if not any(key.startswith("hwm.ffparser") for key in state):
        return "medsegdiff_v2_released", {**arguments, "highway_depth": depth}, kinds
    size = 2 * state["hwm.ffparser.0.complex_weight"].shape[1]
    resolution = [size >> level for level in attending]
    width = len(state["hwm.conv_blocks_context.0.blocks.0.conv.weight"])
    more = {"image_size": size, "attention_resolutions": resolution, "highway_width": width, "highway_depth": depth}
    return "medsegdiff_v1", {**arguments, **more}, kinds


def _numbers(pattern: str, state: dict) -> list[int]:
    return [int(found[1]) for key in state if (found := re.match(pattern, key))]


def _rename(key: str, a_level: int, kinds: list[str]) -> str:
    if key.startswith("hwm."):
        for pattern, new in _HIGHWAY:
            key = re.sub(pattern, new, key)
        return key
    if found := re.match(r"input_blocks\.(\d+)\.(\d)\.(.*)", key):
        block, part, rest = int(found[1]), found[2], found[3]
        level = kinds[:block].count("down")
        if kinds[block] == "conv":
            return f"trunk.conv_in.{rest}"
        if kinds[block] == "down":
            return f"trunk.down_blocks.{level}.resample.{rest.removeprefix('op.')}"
        number = (block - 1) % (a_level + 1)
        return f"trunk.down_blocks.{level}.{_part(part, number, rest)}"
    if found := re.match(r"output_blocks\.(\d+)\.(\d)\.(.*)", key):
        level, number = divmod(int(found[1]), a_level + 1)
        if found[3].startswith("conv."):
            return f"trunk.up_blocks.{level}.resample.{found[3].removeprefix('conv.')}"
        return f"trunk.up_blocks.{level}.{_part(found[2], number, found[3])}"
    if found := re.match(r"middle_block\.(\d)\.(.*)", key):
        return f"trunk.middle.{found[1]}.{_replaced(found[2], _ATTENTION if found[1] == '1' else _RESIDUAL)}"
    return f"trunk.{key}"


def _part(part: str, number: int, rest: str) -> str:
    kind, rules = ("residual", _RESIDUAL) if part == "0" else ("attention", _ATTENTION)
    return f"{kind}.{number}.{_replaced(rest, rules)}"


def _replaced(text: str, rules: tuple) -> str:
    for pattern, new in rules:
        text = re.sub(pattern, new, text)
    return text


def _plain(key: str, value: Tensor) -> Tensor:
    """float32; the attention's 1x1 convolutions as linear layers."""
    value = value.float() if value.is_floating_point() else value
    return value.flatten(1) if re.search(r"\.(qkv|out)\.weight$", key) and value.ndim == 3 else value


def _check_fit(name: str, arguments: dict, weights: dict[str, Tensor]) -> None:
    """Raises ValueError unless every weight has its place, and every place its weight of the same shape."""
    import torch

    from ..networks.registry import build_network

    with torch.device("meta"):
        wanted = build_network(name, arguments).state_dict()
    unknown, missing = sorted(set(weights) - set(wanted)), sorted(set(wanted) - set(weights))
    wrong = [key for key in wanted if key in weights and wanted[key].shape != weights[key].shape]
    for keys, what in ((unknown, "has no place in"), (missing, "is missing for"), (wrong, "has another shape in")):
        if keys:
            raise ValueError(f"'{keys[0]}' {what} {name}" + (f", like {len(keys) - 1} more" if len(keys) > 1 else ""))
