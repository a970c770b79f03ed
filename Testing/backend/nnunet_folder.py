"""A trained model of nnU-Net v2 as its trainer leaves it on the disk, with a small network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

LABELS = {"background": 0, "anterior": 1, "posterior": 2}
_RESAMPLING = {"is_seg": False, "order_z": 0, "force_separate_z": None}
CONFIGURATIONS = {
    "2d": {"patch_size": [40, 32], "spacing": [0.9, 1.1], "residual": False},
    "3d_fullres": {"patch_size": [24, 32, 24], "spacing": [1.1, 0.9, 1.0], "residual": False},
    "3d_fullres_resenc": {"patch_size": [16, 32, 32], "spacing": [3.4, 0.9, 1.0], "residual": True},
}


def architecture(configuration: str, channels: tuple[int, ...] = (8, 16, 32)) -> dict:
    """As plans have it."""
    told = CONFIGURATIONS[configuration]
    dims, stages = len(told["patch_size"]), len(channels)
    blocks = "n_blocks_per_stage" if told["residual"] else "n_conv_per_stage"
    name = "ResidualEncoderUNet" if told["residual"] else "PlainConvUNet"
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
        "arch_kwargs": {
            "n_stages": stages, "features_per_stage": list(channels),
            "conv_op": f"torch.nn.modules.conv.Conv{dims}d", "kernel_sizes": [[3] * dims] * stages,
            "strides": [[1] * dims] + [[2] * dims] * (stages - 1), blocks: [1] * stages,
            "n_conv_per_stage_decoder": [1] * (stages - 1), "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dims}d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None, "dropout_op_kwargs": None, "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }  # fmt: skip


def plans_of(configuration: str, masked: bool = False, turn: tuple[int, int, int] = (0, 1, 2), **entries) -> dict:
    """The plans of one configuration. masked: use_mask_for_norm.  turn: transpose_forward."""
    told = CONFIGURATIONS[configuration]
    own = {
        "data_identifier": "nnUNetPlans_own", "preprocessor_name": "DefaultPreprocessor", "batch_size": 2,
        "patch_size": told["patch_size"], "median_image_size_in_voxels": [36.0, 50.0, 35.0], "spacing": told["spacing"],
        "normalization_schemes": ["ZScoreNormalization"], "use_mask_for_norm": [masked],
        "resampling_fn_data": "resample_data_or_seg_to_shape", "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": {**_RESAMPLING, "order": 3},
        "resampling_fn_seg_kwargs": {**_RESAMPLING, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {**_RESAMPLING, "order": 1},
        "architecture": architecture(configuration), "batch_dice": False,
    }  # fmt: skip
    return {
        "dataset_name": "Dataset004_Hippocampus", "plans_name": "nnUNetPlans", "transpose_forward": list(turn),
        "transpose_backward": np.argsort(turn).tolist(), "configurations": {configuration: {**own, **entries}},
        "image_reader_writer": "SimpleITKIO", "label_manager": "LabelManager",
        "original_median_spacing_after_transp": [1.0] * 3, "original_median_shape_after_transp": [36, 50, 35],
        "foreground_intensity_properties_per_channel": {"0": {
            "mean": 22360.3, "std": 60656.1, "percentile_00_5": 28.0, "percentile_99_5": 290403.0, "min": 4.0,
            "max": 1e6,
            "median": 362.9,
        }},
    }  # fmt: skip


def write_folder(
    folder: Path, configuration: str, states: dict[str, dict[str, torch.Tensor]], plans: dict,
    dataset: dict | None = None,
    mirror: tuple[int, ...] | None = (0, 1, 2), checkpoint: dict | None = None,
) -> Path:  # fmt: skip
    """states: fold -> weights under nnU-Net's names.  dataset, checkpoint: entries beside the usual ones."""
    told = {
        "name": "Hippocampus",
        "channel_names": {"0": "MRI"},
        "labels": LABELS,
        "file_ending": ".nii.gz",
        "licence": "own",
    }
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps({**told, **(dataset or {})}))
    for fold, state in states.items():
        (folder / f"fold_{fold}").mkdir()
        torch.save(
            {
                "network_weights": state, "grad_scaler_state": None, "_best_ema": np.float64(0.87),
                "current_epoch": 1000,
                "optimizer_state": {"state": {}, "param_groups": [{"lr": np.float32(0.01)}]},
                "logging": {"ema_fg_dice": [np.float64(0.5)],
                            "dice_per_class_or_region": [[np.float32(0.1), np.int64(3)]]},
                "init_args": {"plans": plans, "configuration": configuration, "fold": fold,
                              "device": torch.device("cpu")},
                "trainer_name": "nnUNetTrainer", "inference_allowed_mirroring_axes": mirror, **(checkpoint or {}),
            },
            folder / f"fold_{fold}" / "checkpoint_final.pth",
        )  # fmt: skip
    return folder
