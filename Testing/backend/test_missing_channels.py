"""Channels that an image may lack: declared, left out in training, done without in inference."""

import json

import numpy as np
import pytest
import torch
from medsegdiff.errors import RequestError
from medsegdiff.models.package import load_package
from medsegdiff.training.augmentation import ModalityDropout, training_transforms
from medsegdiff.training.config import TrainingConfig, read_config
from tiny_models import write_tiny_model

T1, POST, FLAIR = {"name": "T1"}, {"name": "T1 post", "optional": True}, {"name": "FLAIR", "optional": True}


def test_each_optional_channel_is_left_out_as_often_as_told_but_never_all():
    drop = ModalityDropout([0, 1, 2], 0.5)
    drop.set_random_state(0)
    kept = np.array([drop({"image": torch.ones(3, 2, 2, 2)})["image"][:, 0, 0, 0].numpy() for _ in range(400)])
    assert kept.any(1).all() and len(np.unique(kept, axis=0)) == 7
    np.testing.assert_allclose(kept.mean(0), 0.5 + 0.125 / 3, atol=0.08)


def test_training_crops_lack_optional_channels_only():
    pair = {"image": np.random.default_rng(0).normal(1, 1, (3, 16, 16, 16)).astype(np.float32), "label": np.ones((1, 16, 16, 16), np.float32)}
    transforms = training_transforms((16, 16, 16), optional=[1, 2], modality_dropout=0.5)
    blank = np.array([[bool((channel == 0).all()) for channel in transforms(pair)["image"]] for _ in range(30)])
    assert not blank[:, 0].any() and blank[:, 1].any() and blank[:, 2].any() and not blank.all(0).any()
    assert not any((channel == 0).all() for channel in training_transforms((16, 16, 16))(pair)["image"])


def test_share_of_left_out_channels_is_checked(tmp_path):
    path = tmp_path / "config.json"
    values = {name: {} for name in ("network", "preprocessing")} | {"channels": [], "labels": [], "patch": [8, 8, 8]}
    path.write_text(json.dumps({"name": "a", "description": "", **values, "modality_dropout": 1.0}))
    with pytest.raises(RequestError, match="modality_dropout must be 0 or more, and below 1"):
        read_config(path)
    assert TrainingConfig("a", "", patch=(8, 8, 8), **{k: v for k, v in values.items() if k != "patch"}).modality_dropout == 0.25


def test_package_tells_which_channels_may_be_missing(tmp_path):
    network = {"in_channels": 3, "out_channels": 3, "channels": [4, 8, 8], "strides": [2, 2], "num_res_units": 1}
    package = write_tiny_model(tmp_path / "three", "unet", network, channels=(T1, POST, FLAIR))
    assert [channel.get("optional", False) for channel in package.channels] == [False, True, True]
    path = tmp_path / "three/configs/segmenter.json"
    path.write_text(path.read_text().replace('"optional": true', '"optional": "yes"', 1))
    with pytest.raises(RequestError, match="'optional' of a channel must be true or false"):
        load_package(tmp_path / "three")
