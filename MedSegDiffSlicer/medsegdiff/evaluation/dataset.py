"""Datasets in the layout of the Medical Segmentation Decathlon and nnU-Net.

imagesTr: CASE_0000.nii.gz, CASE_0001.nii.gz, ... (a file a channel), or CASE.nii.gz with all of them; any image type.
labelsTr: CASE.nii.gz, label numbers (or black and white); of cases that several raters segmented CASE_rater1.nii.gz,
  CASE_rater2.nii.gz, ..., one each, as many as there are of each case.
dataset.json: {"val": ["CASE", ...]} names the validation cases, "train" those to learn from (all others, if it is
  absent).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import RequestError
from ..image import Image, read_image
from ..image.labels import read_labels
from ..image.names import PICTURES, case_name, is_image_file, suffix
from ..inference.preprocessing import Preprocessing
from ..models.json_file import read_json

if TYPE_CHECKING:
    from ..models.package import Label

LARGEST = 2**26  # bytes of a dataset.json


@dataclass(frozen=True)
class Case:
    """One case on disk: a file a channel, and the reference labels, a file a rater."""

    name: str
    images: tuple[Path, ...]
    labels: tuple[Path, ...]

    def read(self) -> tuple[Image, np.ndarray]:
        """The image, and the labels (I, J, K) uint8: of several raters those that most of them gave (the smallest of as
        many).
        Raises RequestError as read_raters."""
        image, labels = self.read_raters()
        if len(labels) == 1:
            return image, labels[0]
        values = np.unique(labels)
        return image, values[np.argmax([(labels == value).sum(0) for value in values], axis=0)]

    def read_raters(self) -> tuple[Image, np.ndarray]:
        """The image, and each rater's labels (R, I, J, K) uint8. Raises RequestError where their grids differ (of a
        label picture, whose file need not tell the pixel size, only the size in pixels counts) or labels are not in 0 -
        255."""
        image, labels = read_image(self.images), [read_labels(path) for path in self.labels]
        for path, label in zip(self.labels, labels):
            placed = suffix(path, PICTURES) is not None or np.allclose(image.affine, label.affine, atol=1e-3)
            if image.shape != label.shape or not placed:
                raise RequestError(
                    f"case {self.name}: image and label lie on different grids; resample one to the other"
                )
            if label.array.min() < 0 or label.array.max() > 255:
                raise RequestError(f"case {self.name}: label numbers go from 0 to 255, this has others; renumber them")
        return image, np.stack([label.array[0].astype(np.uint8) for label in labels])


def read_dataset(folder: str | Path) -> dict[str, list[Case]]:
    """The cases of each split: "train" and "val" as dataset.json names them, or every fifth case for "val".

    Raises RequestError where the layout is not the expected one.
    """
    folder = Path(folder)
    if not (folder / "dataset.json").is_file():
        raise RequestError(f"{folder} is no dataset: give a folder that holds imagesTr, labelsTr and dataset.json")
    info = read_json(folder / "dataset.json", LARGEST, "a dataset's description", "write it as nnU-Net has it")
    found = {case.name: case for case in _cases(folder)}
    if not found:
        raise RequestError(f"{folder}: no case with a file in imagesTr and in labelsTr")
    names = sorted(found)
    validation = _named(folder, info, "val") or names[::5]
    training = _named(folder, info, "train") or [n for n in names if n not in set(validation)]
    absent = [n for n in [*training, *validation] if n not in found]
    if absent:
        raise RequestError(f"{folder}: dataset.json names {absent[0]}, which has no image or no label")
    if both := sorted(set(training) & set(validation)):
        raise RequestError(f"{folder}: dataset.json names {both[0]} in 'train' and in 'val'; take it out of one")
    if not training or not validation:
        raise RequestError(f"{folder}: training needs at least one case to learn from and another one to validate on")
    return {"train": [found[n] for n in training], "val": [found[n] for n in validation]}


def check_labels(cases: Sequence[Case], structures: Sequence[Label]) -> None:
    """Raises RequestError where the labels of a case are others than those of a model. structures: the model's, without
    the background."""
    known = ", ".join(f"{label.value} {label.name}" for label in structures)
    for case in cases:
        for path in case.labels:
            highest = int(read_labels(path).array.max())
            if highest > len(structures):
                raise RequestError(
                    f"case {case.name} has label {highest}, which the model does not know (its labels: {known}); "
                    "renumber or remove it, or use a model of these labels"
                )


def _named(folder: Path, info: Mapping[str, Any], split: str) -> list[str]:
    """The cases of a split that dataset.json names; none where it tells none."""
    names = info.get(split)
    if names is None:
        return []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RequestError(f"{folder}: '{split}' of dataset.json must be a list of cases' names, [\"CASE\", ...]")
    if not names:
        raise RequestError(f"{folder}: '{split}' of dataset.json names no case; name one at least, or leave it out")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise RequestError(f"{folder}: '{split}' of dataset.json names {twice} twice; take one out")
    return names


def _cases(folder: Path) -> list[Case]:
    """The label files that have an image: CASE_0000, CASE_0001, ... (a channel each, nnU-Net) or CASE (MSD); the
    endings of image and label may differ."""
    cases, images = [], _image_files(folder / "imagesTr")
    labels: dict[str, list[Path]] = {}
    for path in _image_files(folder / "labelsTr"):
        labels.setdefault(re.sub(r"_rater\d+$", "", case_name(path)), []).append(path)
    for name, paths in labels.items():
        channels = [path for path in images if re.fullmatch(re.escape(name) + r"_\d{4}", case_name(path))]
        channels = channels or [path for path in images if case_name(path) == name]
        if channels:
            cases.append(Case(name, tuple(channels), tuple(paths)))
    return cases


def _image_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if is_image_file(path))


def load_training_pair(case: Case, preprocessing: Preprocessing) -> dict[str, np.ndarray]:
    """A case as the network sees it: "image" (C, i, j, k) float32 and "label" (R, i, j, k) float32, one of each rater.

    Labels go through the same orientation and resampling as a one-hot image, so that they stay aligned.
    """
    image, raters = case.read_raters()
    geometry = Preprocessing(**{**preprocessing.__dict__, "normalization": "none"})
    labels = [_prepared_label(label, image.affine, geometry) for label in raters]
    return {"image": preprocessing.prepare(image).array, "label": np.stack(labels)}


def _prepared_label(label: np.ndarray, affine: np.ndarray, geometry: Preprocessing) -> np.ndarray:
    values = np.unique(label)
    onehot = np.stack([label == v for v in values]).astype(np.float32)
    prepared = geometry.prepare(Image(onehot, affine)).array
    outside = prepared.sum(0) < 0.5  # padding
    return np.where(outside, 0, values[prepared.argmax(0)]).astype(np.float32)
