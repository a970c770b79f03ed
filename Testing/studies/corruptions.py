"""Do score, uncertainty and warnings rise when images get worse, and are foreign images flagged?

    python Testing/studies/corruptions.py hippocampus-medsegdiff ../shared/data/msd_hippocampus --cases 8 \
        --foreign ../shared/data/ct_organs/example_ct_sm.nii.gz ../shared/data/brats_met_4ch/*t1n.nii.gz

prints a table: for each corruption and severity the share of images with a warning, and medians of the input score, the
doubt (entropy summed over the image, nats a voxel of the structures) and the Dice.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from medsegdiff import load_model, segment
from medsegdiff.image import Image, read_image
from medsegdiff.inference.model import Model
from medsegdiff.inference.result import SegmentResult
from medsegdiff.evaluation.dataset import read_dataset
from scipy.ndimage import gaussian_filter, zoom

Corrupt = Callable[[np.ndarray, float], np.ndarray]  # (I, J, K) float32 and a severity -> the same shape


def add_noise(x: np.ndarray, share: float) -> np.ndarray:
    """Gaussian noise of that share of the image's deviation."""
    return x + np.random.default_rng(0).normal(0, share * x.std(), x.shape)


def shade(x: np.ndarray, strength: float) -> np.ndarray:
    """A bias field: brightness grows from one corner to the other, in all by exp(strength)."""
    ramps = np.meshgrid(*(np.linspace(-0.5, 0.5, n) for n in x.shape), indexing="ij")
    return x * np.exp(strength * sum(ramps) / 3)


def blur(x: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian, in voxels."""
    return gaussian_filter(x, sigma)


def thicken(x: np.ndarray, factor: float) -> np.ndarray:
    """Slices that many times as thick along the last axis, interpolated back."""
    thick = gaussian_filter(x, (0, 0, factor / 2.355))
    small = zoom(thick, (1, 1, 1 / factor), order=1)
    return zoom(small, np.array(x.shape) / small.shape, order=1)


def invert(x: np.ndarray, _: float) -> np.ndarray:
    """Dark and bright exchanged."""
    return x.max() + x.min() - x


CORRUPTIONS: dict[str, tuple[Corrupt, Sequence[float]]] = {
    "as it is": (lambda x, _: x, (0.0,)),
    "noise, share of the deviation": (add_noise, (0.1, 0.3, 0.6)),
    "bias field, logarithm": (shade, (0.5, 1.0, 2.0)),
    "blur, voxels": (blur, (0.5, 1.0, 2.0)),
    "thick slices, times": (thicken, (2.0, 3.0, 5.0)),
    "inversion": (invert, (1.0,)),
}


class Seen(NamedTuple):
    """What came of one image. doubt: entropy summed over the image, nats a voxel of the structures."""

    warned: bool
    score: float
    doubt: float
    dice: float


def measure(model: Model, image: Image, reference: np.ndarray | None, **options) -> tuple[Seen, SegmentResult]:
    """Segments an image. options: of medsegdiff.segment; the model's defaults otherwise."""
    result = segment(model, image, **options)
    found = max(1, np.count_nonzero(result.labelmap))
    dice = np.nan if reference is None else _dice(result.labelmap, reference, len(result.labels))
    doubt = float(result.uncertainty("entropy").sum(dtype=np.float64) / found)
    score = result.report["input_score"]
    return Seen(bool(result.report["warnings"]), np.nan if score is None else score, doubt, dice), result


def _dice(labelmap: np.ndarray, reference: np.ndarray, labels: int) -> float:
    values = []
    for label in range(1, labels + 1):
        mask, truth = labelmap == label, reference == label
        values.append(2 * (mask & truth).sum() / max(1, mask.sum() + truth.sum()))
    return float(np.mean(values))


def corrupted(model: Model, cases: Sequence[tuple[Image, np.ndarray]]) -> list[tuple[Any, ...]]:
    """Rows of the table: what, severity, images, share warned, and medians of score, doubt and Dice."""
    rows = []
    for name, (corrupt, severities) in CORRUPTIONS.items():
        for severity in severities:
            seen = []
            for image, reference in cases:
                channels = [corrupt(channel.astype(np.float32), severity) for channel in image.array]
                changed = Image(np.stack(channels).astype(np.float32), image.affine)
                seen.append(measure(model, changed, reference)[0])
            warned, *others = (np.array(column) for column in zip(*seen))
            rows.append((name, severity, len(seen), warned.mean(), *(np.median(column) for column in others)))
            print(_line(rows[-1]), flush=True)
    return rows


def _line(cells: Sequence[Any]) -> str:
    texts = (cell if isinstance(cell, str) else f"{cell:.3g}" for cell in cells)
    return "| " + " | ".join(texts) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name or folder of a calibrated model")
    parser.add_argument("dataset", help="folder with imagesTr, labelsTr and dataset.json")
    parser.add_argument("--cases", type=int, help="validation cases (default all)")
    parser.add_argument("--foreign", nargs="*", default=[], help="images of another kind; one opinion each")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = load_model(args.model, "cpu")
    cases = [case.read() for case in read_dataset(args.dataset)["val"][: args.cases]]
    print("| corruption | severity | images | warned | input score | doubt | Dice |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    corrupted(model, cases)
    for path in args.foreign:
        seen, result = measure(model, read_image(path), None, samples=1, tta=False)  # large
        print(_line((path.rpartition("/")[2], "", 1.0, float(seen.warned), seen.score, seen.doubt, "-")))
        print("\n".join(f"  {warning}" for warning in result.report["warnings"]))


if __name__ == "__main__":
    main()
