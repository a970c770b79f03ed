"""What nnU-Net's plans say, in the words of a model package."""

from __future__ import annotations

from typing import Any

from ..errors import RequestError

_SCHEMES = {
    "NoNormalization": "none", "RescaleTo01Normalization": "minmax", "RGBTo01Normalization": "8bit",
}  # fmt: skip
_DEFAULT, _NONE = "resample_data_or_seg_to_shape", "no_resampling_data_or_seg_to_shape"
_ORDERS = {"data": 3, "probabilities": 1}  # of interpolation
_AS_STORED = (2, 1, 0)  # nnU-Net's axes are those of the file in reverse
_REORIENTED = "SAR"


def configuration_of(plans: dict, name: str) -> dict[str, Any]:
    """A configuration with all that it inherits. Raises RequestError for those that cannot be asked alone."""
    chain, entries = [], {}
    while name is not None:
        if name in chain or name not in plans["configurations"]:
            raise RequestError(f"the plans do not tell configuration '{name}'; export the model again")
        chain.append(name)
        own = plans["configurations"][name]
        entries, name = {**own, **entries}, own.get("inherits_from")
    if entries.get("previous_stage"):
        raise RequestError(
            f"'{chain[0]}' is the second stage of a cascade, which needs the first one's result; import that"
        )
    if entries.get("preprocessor_name", "DefaultPreprocessor") != "DefaultPreprocessor":
        raise RequestError(
            f"preprocessor '{entries['preprocessor_name']}' is unknown; only nnU-Net's default can be imported"
        )
    return entries


def architecture_of(entries: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Class of the network, and its arguments with classes by their name, see networks.nnunet."""
    from ..networks.nnunet import NAMED

    if "architecture" in entries:
        told = entries["architecture"]
        kind, options = told["network_class_name"].rpartition(".")[2], dict(told["arch_kwargs"])
    else:  # plans of nnU-Net before 2.3
        kind, options = entries["UNet_class_name"], _older(entries)
    for key in NAMED:
        if options.get(key) is not None:
            options[key] = str(options[key]).rpartition(".")[2]
    return kind, options


def _older(entries: dict[str, Any]) -> dict[str, Any]:
    stages, dims = entries["n_conv_per_stage_encoder"], len(entries["patch_size"])
    blocks = "n_conv_per_stage" if entries["UNet_class_name"] == "PlainConvUNet" else "n_blocks_per_stage"
    first, most = entries["UNet_base_num_features"], entries["unet_max_num_features"]
    return {
        "n_stages": len(stages), "features_per_stage": [min(first * 2**n, most) for n in range(len(stages))],
        "kernel_sizes": entries["conv_kernel_sizes"], "strides": entries["pool_op_kernel_sizes"], blocks: stages,
        "n_conv_per_stage_decoder": entries["n_conv_per_stage_decoder"], "conv_bias": True, "conv_op": f"Conv{dims}d",
        "norm_op": f"InstanceNorm{dims}d", "norm_op_kwargs": {"eps": 1e-5, "affine": True}, "dropout_op": None,
        "dropout_op_kwargs": None, "nonlin": "LeakyReLU", "nonlin_kwargs": {"inplace": True},
    }  # fmt: skip


def preprocessing_of(plans: dict, entries: dict[str, Any], channels: int) -> dict[str, Any]:
    """A package's preprocessing. Raises RequestError for steps that have no counterpart here."""
    turn, patch = list(plans["transpose_forward"]), list(entries["patch_size"])
    spacing = _resampled(entries)
    reader = plans.get("image_reader_writer", "SimpleITKIO")
    letters = reader == "NibabelIOWithReorient"
    if not letters and reader not in ("SimpleITKIO", "NibabelIO", "NaturalImage2DIO"):
        raise RequestError(
            f"images read by '{reader}' are unknown here; only nnU-Net's own readers of files can be followed"
        )
    axes = [(_REORIENTED if letters else _AS_STORED)[axis] for axis in turn]
    if len(patch) == 2:  # slices lie across nnU-Net's first axis, here across the last
        axes, patch = [*axes[1:], axes[0]], [*patch, None]
        spacing = None if spacing is None else [*spacing, None]
    return {
        "orientation": "".join(axes) if letters else axes, "spacing": spacing, "divisible": 1, "crop": "nonzero",
        "normalization": [_scheme(plans, entries, channel) for channel in range(channels)], "resampling": "nnunet",
        "window": patch,
    }  # fmt: skip


def _resampled(entries: dict[str, Any]) -> list[float] | None:
    """Voxel size, mm; None where it stays as it is."""
    used = [entries[f"resampling_fn_{kind}"] for kind in _ORDERS]
    if used == [_NONE, _NONE]:
        return None
    options = [entries.get(f"resampling_fn_{kind}_kwargs", {}) for kind in _ORDERS]
    usual = [{"order": order, "order_z": 0, "force_separate_z": None} for order in _ORDERS.values()]
    own = [{key: one.get(key) for key in ("order", "order_z", "force_separate_z")} for one in options]
    if used != [_DEFAULT, _DEFAULT] or own != usual:
        raise RequestError(
            f"resampling by {' and '.join(used)} {own} is unknown here; only nnU-Net's default can be imported"
        )
    return [float(size) for size in entries["spacing"]]


def _scheme(plans: dict, entries: dict[str, Any], channel: int) -> str | dict[str, float]:
    name = entries["normalization_schemes"][channel]
    if name == "ZScoreNormalization":
        return "zscore-nonzero" if entries["use_mask_for_norm"][channel] else "zscore"
    if name == "CTNormalization":
        known = plans["foreground_intensity_properties_per_channel"][str(channel)]
        names = {"low": "percentile_00_5", "high": "percentile_99_5", "mean": "mean", "deviation": "std"}
        return {ours: float(known[theirs]) for ours, theirs in names.items()}
    if name not in _SCHEMES:
        raise RequestError(f"normalization '{name}' is unknown here; only nnU-Net's own can be imported")
    return _SCHEMES[name]
