"""QUBIQ brain-growth slices as a dataset for `medsegdiff train`.

    python Testing/studies/seven_raters/prepare.py SOURCE OUT

SOURCE: the folder of CASE.npz (image (128, 128) uint8, masks (7, 128, 128) 0/1) and dataset.json, which names 20
  training and 8 held-out slices.  OUT: a new folder of pictures,
  imagesTr, labelsTr: the 20 training slices, CASE_0000.png and CASE_rater1.png ... CASE_rater7.png; dataset.json makes
    VALIDATION validation slices, on which models are calibrated and choices between settings are made;
  imagesTs, labelsTs: the 8 held-out slices, which only the final measurement sees.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk

VALIDATION = ("case04", "case17", "case24", "case35")  # every fifth of the training slices, from the second on


def prepare(source: Path, out: Path) -> None:
    """Writes the pictures."""
    splits = json.loads((source / "dataset.json").read_text())
    for split, end in (("train", "Tr"), ("val", "Ts")):
        images, labels = out / f"images{end}", out / f"labels{end}"
        for folder in (images, labels):
            folder.mkdir(parents=True)
        for case in splits[split]:
            with np.load(source / f"{case}.npz") as arrays:
                _write(images / f"{case}_0000.png", arrays["image"])
                for number, mask in enumerate(arrays["masks"], 1):
                    _write(labels / f"{case}_rater{number}.png", mask * np.uint8(255))
    (out / "dataset.json").write_text(json.dumps({"val": VALIDATION}))


def _write(path: Path, pixels: np.ndarray) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(pixels), str(path))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    prepare(arguments.source, arguments.out)
