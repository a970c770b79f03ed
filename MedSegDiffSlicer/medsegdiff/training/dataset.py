"""Datasets in the layout of the Medical Segmentation Decathlon and nnU-Net: imagesTr, labelsTr, dataset.json."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import RequestError
from ..image import Image, read_image
from ..image.labels import read_labels
from ..image.names import PICTURES, case_name, is_image_file, suffix
from ..inference.preprocessing import Preprocessing


@dataclass(frozen=True)
class Case:
    """One case on disk: a file a channel, and the reference labels."""

    name: str
    images: tuple[Path, ...]
    label: Path

    def read(self) -> tuple[Image, np.ndarray]:
        """The image, and the labels (I, J, K) uint8. Raises RequestError where their grids differ (of a label picture, whose
        file need not tell the pixel size, only the size in pixels counts)."""
        image, label = read_image(self.images), read_labels(self.label)
        placed = suffix(self.label, PICTURES) is not None or np.allclose(image.affine, label.affine, atol=1e-3)
        if image.shape != label.shape or not placed:
            raise RequestError(f"case {self.name}: image and label lie on different grids; resample one to the other")
        return image, label.array[0].astype(np.uint8)


def read_dataset(folder: str | Path) -> dict[str, list[Case]]:
    """The cases of each split: "train" and "val" as dataset.json names them, or every fifth case for "val".

    Raises RequestError where the layout is not the expected one.
    """
    folder = Path(folder)
    try:
        info = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RequestError(f"{folder} is no dataset: dataset.json cannot be read ({error})") from None
    if not isinstance(info, dict):
        raise RequestError(f"{folder}: dataset.json must hold a JSON object")
    found = {case.name: case for case in _cases(folder)}
    if not found:
        raise RequestError(f"{folder}: no case with a file in imagesTr and in labelsTr")
    names = sorted(found)
    validation = info.get("val") or names[::5]
    training = info.get("train") or [n for n in names if n not in set(validation)]
    absent = [n for n in [*training, *validation] if n not in found]
    if absent:
        raise RequestError(f"{folder}: dataset.json names {absent[0]}, which has no image or no label")
    if not training or not validation:
        raise RequestError(f"{folder}: training needs at least one case to learn from and another one to validate on")
    return {"train": [found[n] for n in training], "val": [found[n] for n in validation]}


def _cases(folder: Path) -> list[Case]:
    """The label files that have an image: CASE_0000, CASE_0001, ... (a channel each, nnU-Net) or CASE (MSD); the endings of
    image and label may differ."""
    cases, images = [], _image_files(folder / "imagesTr")
    for label in _image_files(folder / "labelsTr"):
        name = case_name(label)
        channels = [path for path in images if re.fullmatch(re.escape(name) + r"_\d{4}", case_name(path))]
        channels = channels or [path for path in images if case_name(path) == name]
        if channels:
            cases.append(Case(name, tuple(channels), label))
    return cases


def _image_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if is_image_file(path))


def load_training_pair(case: Case, preprocessing: Preprocessing) -> dict[str, np.ndarray]:
    """A case as the network sees it: "image" (C, i, j, k) float32 and "label" (1, i, j, k) float32.

    Labels go through the same orientation and resampling as a one-hot image, so that they stay aligned.
    """
    image, label = case.read()
    values = np.unique(label)
    geometry = Preprocessing(**{**preprocessing.__dict__, "normalization": "none"})
    onehot = np.stack([label == v for v in values]).astype(np.float32)
    prepared = geometry.prepare(Image(onehot, image.affine)).array
    outside = prepared.sum(0) < 0.5  # padding
    label = np.where(outside, 0, values[prepared.argmax(0)]).astype(np.float32)
    return {"image": preprocessing.prepare(image).array, "label": label[None]}
