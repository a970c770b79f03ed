"""Do a released-architecture network's masks survive few steps? It learns ellipses and is then sampled in several ways.

    python Testing/studies/released_steps.py OUT [--network medsegdiff_v2_released] [--training-steps 1200]

OUT: a folder for the pictures (220 to learn from, 20 to measure on: noisy bright ellipses of 32 x 32 pixels) and the
model; training goes on where it was interrupted, and a finished model is measured again. Prints a table: sampler,
steps, mean and least Dice of single masks with the true ellipses, and mean Dice of the masks with those of the longest
walk, which starts from the same noise.

Seen (a forerunner of this script with the same pictures, network and 1200 steps of training): Dice 0.974 with 5, 10 and
20 steps of dpm++, 0.975 with 50, 0.975 with 50 of ddim, 0.900 with 50 of ddpm; ddpm with 250 was not waited for.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from medsegdiff import load_model, segment
from medsegdiff.evaluation.dataset import Case, read_dataset
from medsegdiff.inference.model import Model
from medsegdiff.training.config import TrainingConfig
from medsegdiff.training.run import train

SIZE, PICTURES, VALIDATION = 32, 240, 20
SHAPES = {  # levels of a network small enough for half an hour on a CPU
    "medsegdiff_v1": {"channel_mult": [1, 1, 2]},
    "medsegdiff_v2_released": {"channel_mult": [1, 2, 2, 2], "highway_depth": 4},
}
WALKS = [
    ("ddpm", 250), ("ddpm", 50), ("ddim", 50), ("ddim", 10),
    ("dpm++", 50), ("dpm++", 20), ("dpm++", 10), ("dpm++", 5),
]  # fmt: skip


def write_pictures(folder: Path) -> None:
    """The dataset, in the layout of `medsegdiff train`."""
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    rng, grid = np.random.default_rng(0), np.indices((SIZE, SIZE)).astype(np.float32)
    for number in range(PICTURES):
        centre, radii, angle = rng.uniform(11, 21, 2), rng.uniform(4, 9, 2), rng.uniform(0, np.pi)
        i, j = grid - centre[:, None, None]
        along, across = np.cos(angle) * i + np.sin(angle) * j, np.cos(angle) * j - np.sin(angle) * i
        mask = (along / radii[0]) ** 2 + (across / radii[1]) ** 2 < 1
        image = 70 + 90 * mask + rng.normal(0, 15, mask.shape) + 20 * np.sin(grid[0] / rng.uniform(3, 8))
        _write(folder / f"imagesTr/{number:03d}_0000.png", image.clip(0, 255))
        _write(folder / f"labelsTr/{number:03d}.png", 255 * mask)
    names = [f"{number:03d}" for number in range(PICTURES - VALIDATION, PICTURES)]
    (folder / "dataset.json").write_text(json.dumps({"val": names}))


def _write(path: Path, pixels: np.ndarray) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(pixels.astype(np.uint8)), str(path))


def configuration(network: str, steps: int) -> TrainingConfig:
    shape = {"in_channels": 1, "out_channels": 2, "image_size": SIZE, "channels": 32, **SHAPES[network]}
    return TrainingConfig(
        name=f"ellipses-{network}", description="Ellipses.", network={"name": network, "arguments": shape},
        channels=[{"name": "picture", "modality": "photograph"}], labels=[{"name": "background"}, {"name": "ellipse"}],
        preprocessing={"orientation": "LPS", "spacing": None, "normalization": "zscore", "divisible": [SIZE, SIZE, 1]},
        patch=(SIZE, SIZE, 1), steps=steps, batch=8, learning_rate=1e-3, warmup=50, decay=0.4, ema=0.995, noise_draws=2,
        sampling={"samples": 1, "steps": 5, "sampler": "dpm++", "schedule": "linear", "tta": False},
        precision="fp32", threads=1, workers=0, checkpoint_every=200,
    )  # fmt: skip


def masks(model: Model, cases: list[Case], sampler: str, steps: int) -> np.ndarray:
    """(cases, SIZE, SIZE) bool, one sample each."""
    images = [case.read()[0] for case in cases]
    drawn = [segment(model, image, samples=1, sampler=sampler, steps=steps, seed=0).samples[0] for image in images]
    return np.stack(drawn)[..., 0] > 0


def dice(masks: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of each pair, (cases, SIZE, SIZE) bool -> (cases,)."""
    return 2 * (masks & others).sum((1, 2)) / np.maximum(1, masks.sum((1, 2)) + others.sum((1, 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--network", choices=SHAPES, default="medsegdiff_v2_released")
    parser.add_argument("--training-steps", type=int, default=1200)
    parser.add_argument("--cases", type=int, help="pictures to measure on (default all)")
    args = parser.parse_args()
    data, folder = args.out / "pictures", args.out / args.network
    if not data.is_dir():
        write_pictures(data)
    if not folder.is_dir() or (folder / "training").is_dir():
        told = configuration(args.network, args.training_steps)
        train(data, told, folder, lambda share, text: print(text, flush=True))
    model, cases = load_model(folder, "cpu", "fp32"), read_dataset(data)["val"][: args.cases]
    truth = np.stack([case.read()[1][..., 0] > 0 for case in cases])
    print("| sampler | steps | Dice | least Dice | with the longest walk |\n| --- | ---: | ---: | ---: | ---: |")
    longest = None
    for sampler, steps in WALKS:
        drawn = masks(model, cases, sampler, steps)
        longest = drawn if longest is None else longest
        true, same = dice(drawn, truth), dice(drawn, longest)
        print(f"| {sampler} | {steps} | {true.mean():.3f} | {true.min():.3f} | {same.mean():.3f} |", flush=True)


if __name__ == "__main__":
    main()
