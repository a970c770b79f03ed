"""A MONAI bundle as those of the model zoo, with a small network."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from monai.networks.nets import UNet

UNET = {
    "_target_": "UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 2, "channels": [4, 8], "strides": [2],
    "num_res_units": 1, "norm": "batch",
}  # fmt: skip
STEPS = [
    {"_target_": "LoadImaged", "keys": "image", "dtype": "@output_dtype"},
    {"_target_": "EnsureChannelFirstd", "keys": "image"},
    {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
    {"_target_": "Spacingd", "keys": "image", "pixdim": [1.5, 1.5, 2.0], "mode": "bilinear"},
    {
        "_target_": "ScaleIntensityRanged",
        "keys": "image",
        "a_min": -57,
        "a_max": 164,
        "b_min": 0,
        "b_max": 1,
        "clip": True,
    },
]
POST = [
    {"_target_": "Activationsd", "keys": "pred", "softmax": True},
    {
        "_target_": "Invertd",
        "keys": "pred",
        "transform": "@preprocessing",
        "orig_keys": "image",
        "nearest_interp": False,
    },
    {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
    {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "output_dtype": "@output_dtype"},
]


def write_bundle(folder: Path, state: dict | None = None, steps: list[dict] = STEPS, **entries) -> Path:
    """entries: of the configuration, beside the usual ones; None drops one."""
    config = {
        "imports": ["$import glob"], "device": "$torch.device('cpu')", "network_def": UNET, "patch": [16, 16, 16],
        "network": "$@network_def.to(@device)", "preprocessing": {"_target_": "Compose", "transforms": steps},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": "@patch", "overlap": 0.5, "device": "@device"},
        "postprocessing": {"_target_": "Compose", "transforms": POST}, "bundle_root": "/workspace",
        "output_dir": "$@bundle_root + '/eval'", "output_dtype": "$numpy.float32",
        "evaluator": {"_target_": "SupervisedEvaluator"},
    } | entries  # fmt: skip
    metadata = {
        "version": "0.5.3", "description": "Spleen segmentation", "authors": "MONAI team",
        "name": "Spleen CT segmentation",
        "copyright": "MONAI Consortium",
        "network_data_format": {
            "inputs": {"image": {"modality": "CT", "channel_def": {"0": "image"}}},
            "outputs": {"pred": {"channel_def": {"0": "background", "1": "spleen"}}},
        },
    }  # fmt: skip
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs/inference.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    (folder / "configs/metadata.json").write_text(json.dumps(metadata))
    (folder / "LICENSE").write_text("Apache-2.0")
    if state is None:
        torch.manual_seed(0)
        state = UNet(**{key: value for key, value in UNET.items() if key != "_target_"}).state_dict()
    torch.save(state, folder / "models/model.pt")
    return folder
