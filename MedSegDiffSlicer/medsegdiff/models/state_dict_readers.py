"""What the names and shapes of published weights tell of STU-Net, PCT-Net (MIS-FM), TransUNet and Swin UNETR."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import RequestError

if TYPE_CHECKING:
    from torch import Tensor

    State = dict[str, Tensor]
    Read = tuple[dict[str, Any], State]


def _stu_net(state: State, more: dict) -> Read:
    levels, depth = _count(state, r"conv_blocks_context\.(\d+)\."), _count(state, r"conv_blocks_context\.0\.(\d+)\.")
    first = state["conv_blocks_context.0.0.conv1.weight"]
    return {
        "in_channels": first.shape[1], "out_channels": len(state[f"seg_outputs.{levels - 2}.weight"]),
        "spatial_dims": first.ndim - 2, "width": len(first), "depth": depth, "strides": [2] * (levels - 1), **more,
    }, state  # fmt: skip


def _pct_net(state: State, more: dict) -> Read:
    thick = more.get("thick")
    modes = sorted({int(key.split(".")[1]) for key in state if key.startswith("embeddings.")})
    if thick is None and len(modes) > 1:
        raise RequestError(
            "these weights are for three kinds of images: say with --arguments '{\"thick\": 0}' how many of the two "
            "upper levels leave the axis across thick slices alone (0, 1 or 2; the authors' resolution_mode)"
        )
    thick = modes[0] if thick is None else thick
    kept = (f"embeddings.{thick}.", f"pred_heads.{thick}.", "pyramid_ct.")
    unused = ("norm_layer.weight", "norm_layer.bias", "relative_position_index")
    weights = {
        key.replace(".mlp.fc", ".mlp.linear"): value.permute(0, 1, 4, 3, 2).contiguous() if value.ndim == 5 else value
        for key, value in state.items()  # kernels of the authors' arrays are (z, y, x)
        if key.startswith(kept) and not key.endswith(unused)
    }
    table = "pyramid_ct.convtrans_{}.trans.blocks.0.attn.relative_position_bias_table"
    tables = [state[table.format(level)] for level in ("e2", "e3", "e4")]
    block = "pyramid_ct.convtrans_e{}.trans.blocks."
    convs = (f"embeddings.{thick}.proj", f"embeddings.{thick}.down1.conv.2", f"embeddings.{thick}.down2.conv.2",
             "pyramid_ct.down3.conv.2", "pyramid_ct.down4.conv.2")  # fmt: skip
    return {
        "in_channels": state[f"{convs[0]}.weight"].shape[1],
        "out_channels": len(state[f"pred_heads.{thick}.out_conv0.conv.2.weight"]),
        "channels": [len(state[f"{conv}.weight"]) for conv in convs],
        "depths": [_count(state, re.escape(block.format(level)) + r"(\d+)\.") for level in (2, 3, 4)],
        "heads": [table.shape[1] for table in tables], "window": _window(tables[0], 3), **more, "thick": thick,
    }, weights  # fmt: skip


def _transunet(state: State, more: dict) -> Read:
    at = "transformer.embeddings.hybrid_model."
    positions = state["transformer.embeddings.position_embeddings"]
    root, mlp = state[f"{at}root.conv.weight"], state["transformer.encoder.layer.0.ffn.fc1.weight"]
    decoder = ["decoder.conv_more.0", *(f"decoder.blocks.{n}.conv1.0" for n in range(4))]
    return {
        "in_channels": 1 if root.shape[1] == 3 else root.shape[1],  # a grey image is repeated for the published weights
        "out_channels": len(state["segmentation_head.0.weight"]), "image_size": 16 * round(positions.shape[1] ** 0.5),
        "width": len(root), "units": [_count(state, rf"{re.escape(at)}body\.block{n}\.unit(\d+)\.") for n in (1, 2, 3)],
        "hidden": positions.shape[2], "mlp": len(mlp), "layers": _count(state, r"transformer\.encoder\.layer\.(\d+)\."),
        "decoder": [len(state[f"{name}.weight"]) for name in decoder], **more,
    }, state  # fmt: skip


def _swin_unetr(state: State, more: dict) -> Read:
    patch = state["swinViT.patch_embed.proj.weight"]
    table = "swinViT.layers{}.0.blocks.0.attn.relative_position_bias_table"
    tables = [state[table.format(stage)] for stage in range(1, 5)]
    weights = {f"net.{key.replace('.mlp.fc', '.mlp.linear')}": value for key, value in state.items()}
    return {
        "in_channels": patch.shape[1], "out_channels": len(state["out.conv.conv.weight"]), "feature_size": len(patch),
        "depths": [_count(state, rf"swinViT\.layers{n}\.0\.blocks\.(\d+)\.") for n in range(1, 5)],
        "num_heads": [table.shape[1] for table in tables], "window_size": _window(tables[0], patch.ndim - 2),
        "spatial_dims": patch.ndim - 2, "version2": any(key.startswith("swinViT.layers1c.") for key in state), **more,
    }, weights  # fmt: skip


def _count(state: State, pattern: str) -> int:
    """How many different numbers names have where the pattern has a group."""
    return len({match[1] for key in state if (match := re.match(pattern, key))})


def _window(table: Tensor, dims: int) -> int:
    """Side of the windows that have so many position biases."""
    return (round(len(table) ** (1 / dims)) + 1) // 2


def _of_nnunet(arguments: dict) -> dict:
    return {"orientation": [2, 1, 0], "crop": "nonzero", "resampling": "nnunet", "window": [128] * 3, "divisible": 1}


def _of_mis_fm(arguments: dict) -> dict:
    return {"orientation": [0, 1, 2], "divisible": [16, 16, 16 >> arguments["thick"]]}


def _of_transunet(arguments: dict) -> dict:
    return {"orientation": "LPS", "size": [arguments["image_size"]] * 2 + [None], "divisible": 1}


def _of_monai(arguments: dict) -> dict:
    return {"orientation": "RAS", "divisible": [32, 32, 32 if arguments["spatial_dims"] == 3 else 1]}


# network -> how its weights are read, and how its own code prepares images (arguments -> preprocessing)
STATE_DICTS: dict[str, tuple[Callable, Callable]] = {
    "stu_net": (_stu_net, _of_nnunet),
    "pct_net": (_pct_net, _of_mis_fm),
    "transunet": (_transunet, _of_transunet),
    "swin_unetr": (_swin_unetr, _of_monai),
}
