"""Arguments that make each network of the registry small, beside those of tiny_models; a 2D network says spatial_dims
2. Every one takes images of 32 voxels along each axis."""

_RELEASED = {
    "in_channels": 1,
    "out_channels": 3,
    "image_size": 32,
    "channels": 32,
    "num_res_blocks": 1,
    "channel_mult": [1, 1],
}

IMPORTED = {"monai", "nnunet", "onnx", "torchscript"}  # networks that come by import alone

SMALL = {
    "attention_unet": {"in_channels": 1, "out_channels": 3, "channels": [4, 8], "dropout": 0.1},
    "dynunet": {"in_channels": 1, "out_channels": 3, "channels": [4, 4, 8, 8], "residual": True, "heads": 2},
    "mednext": {"in_channels": 1, "out_channels": 3, "channels": 4, "blocks": [1, 1, 1], "expansion": [2, 2, 2]},
    "segresnet": {"in_channels": 1, "out_channels": 3, "filters": 8, "blocks_down": [1, 1], "blocks_up": [1],
                  "dropout": 0.1},
    "swin_unetr": {
        "in_channels": 1, "out_channels": 3, "feature_size": 12, "num_heads": [2, 2, 2, 2], "window_size": 4,
        "spatial_dims": 2,
    },
    "unet_plus_plus": {"in_channels": 1, "out_channels": 3, "channels": [4, 4, 4, 4, 4], "spatial_dims": 2},
    "unetr": {
        "in_channels": 1, "out_channels": 3, "image_size": [32, 32, 32], "feature_size": 4, "hidden": 8, "mlp": 8,
        "layers": 4,
        "heads": 2, "dropout": 0.1,
    },
    "medsegdiff_v1": {**_RELEASED, "highway_width": 4},
    "medsegdiff_v2_released": {**_RELEASED, "highway_depth": 3},
    "probabilistic_unet": {
        "in_channels": 1, "out_channels": 3, "spatial_dims": 3, "channels": [4, 8], "num_res_units": 1, "latent": 2,
    },
    "transunet": {
        "in_channels": 1, "out_channels": 3, "image_size": 64, "width": 32, "units": [1, 1, 1], "hidden": 32, "mlp": 32,
        "layers": 1, "heads": 2, "decoder": [16, 8, 8, 8, 8],
    },
    "transunet_3d": {
        "in_channels": 1, "out_channels": 3, "spatial_dims": 3, "channels": [4, 8, 8, 16], "hidden": 16, "mlp": 32,
        "layers": 1, "heads": 2,
    },
    "stu_net": {"in_channels": 1, "out_channels": 3, "width": 4, "strides": [2, 2]},
    "pct_net": {
        "in_channels": 1, "out_channels": 3, "channels": [4, 4, 8, 8, 16], "heads": [2, 2, 4], "window": 2,
        "depths": [2, 1, 1],
    },
    "neu_net": {"in_channels": 1, "out_channels": 3, "channels": [4, 4, 8], "strides": [2, 2]},
    "msa_net": {
        "in_channels": 1, "out_channels": 3, "spatial_dims": 2, "layers": [1, 1, 1, 1], "channels": [4, 4, 4, 4],
        "width": 8,
    },
    "mask_transformer": {
        "in_channels": 1, "out_channels": 3, "channels": [4, 8, 8], "queries": 2, "width": 8, "heads": 2,
    },
    "barlow_swin": {
        "in_channels": 1, "out_channels": 3, "spatial_dims": 2, "image_size": 32, "width": 8, "heads": 2,
        "decoder": [8, 8, 4, 4],
    },
    "mpu_net": {
        "in_channels": 1, "out_channels": 3, "spatial_dims": 3, "channels": [4, 4, 4, 4],
    },
    "paratranscnn": {
        "in_channels": 1, "out_channels": 3, "spatial_dims": 2, "channels": [8, 8, 8, 16], "units": [1, 1, 1, 1],
        "width": 8, "depth": [1, 1, 1], "heads": 2,
    },
    "transdae": {
        "in_channels": 1, "out_channels": 3, "spatial_dims": 3, "channels": [8, 8, 16], "depth": [1, 1, 1], "heads": 2,
    },
    "wau_unet": {
        "in_channels": 1, "out_channels": 3, "spatial_dims": 3, "channels": [4, 8, 8], "window": 2, "heads": 2,
    },
}  # fmt: skip
