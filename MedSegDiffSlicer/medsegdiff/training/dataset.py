"""Datasets in the layout of the Medical Segmentation Decathlon and nnU-Net: imagesTr, labelsTr, dataset.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import RequestError
from ..image import Image, read_image
from ..image.names import WRITTEN
from ..inference.preprocessing import Preprocessing


@dataclass(frozen=True)
class Case:
    """One case on disk: a file a channel, and the reference labels."""

    name: str
    images: tuple[Path, ...]
    label: Path

    def read(self) -> tuple[Image, np.ndarray]:
        """The image, and the labels (I, J, K) uint8. Raises RequestError where their grids differ."""
        image, label = read_image(self.images), read_image(self.label)
        if image.shape != label.shape or not np.allclose(image.affine, label.affine, atol=1e-3):
            raise RequestError(f"case {self.name}: image and label lie on different grids; resample one to the other")
        return image, np.rint(label.array[0]).astype(np.uint8)


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
    cases = []
    images = sorted(p for p in (folder / "imagesTr").glob("*") if p.name.endswith(WRITTEN) and p.name[0] != ".")
    for label in sorted((folder / "labelsTr").glob("*")):
        ending = next((e for e in sorted(WRITTEN, key=len, reverse=True) if label.name.endswith(e)), None)
        if ending is None or label.name.startswith("."):
            continue
        name = label.name[: -len(ending)]
        channels = [p for p in images if p.name.startswith(f"{name}_0") and p.name[len(name) + 1 :][:4].isdigit()]
        channels = channels or [p for p in images if p.name == label.name]
        if channels:
            cases.append(Case(name, tuple(channels), label))
    return cases


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
