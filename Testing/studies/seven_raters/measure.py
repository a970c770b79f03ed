"""Do a model's samples differ as the raters do? Models on the slices that prepare.py held out.

    python Testing/studies/seven_raters/measure.py DATA MODEL [MODEL ...] [--split Ts] [--samples 16] [--steps K ...] \\
        [--seeds S ...]

DATA: prepare.py's folder.  MODEL: a package's folder.  --split Tr measures on the validation slices of the training
half. A row of the table is a model at a number of steps; each figure is the mean over slices and seeds, in brackets the
standard deviation over the seeds of the mean over the slices.

GED: squared generalised energy distance, distance 1 - IoU.  matched IoU: after Hungarian matching.  Dice: of the
outline that most samples share with the one that most raters share.  diversity: mean 1 - IoU of two samples (beside it,
of two raters), both draws with replacement.  ECE, Brier: of the share of the samples that hold a pixel, against each
rater, within 10 pixels of the structure; Brier least: that of the raters' own share, which no prediction can undercut.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from medsegdiff import load_model, segment
from medsegdiff.evaluation.ambiguity import compare_opinions
from medsegdiff.evaluation.calibration_error import structure_calibration
from medsegdiff.inference.model import Model
from medsegdiff.evaluation.dataset import Case, read_dataset

COLUMNS = ("GED", "matched IoU", "Dice", "diversity", "raters' diversity", "ECE", "Brier", "Brier least")


def measure(model: Model, cases: list[Case], samples: int, steps: int | None, seed: int) -> np.ndarray:
    """(cases, COLUMNS) figures."""
    rows = []
    for case in cases:
        image, raters = case.read_raters()
        drawn = segment(model, image, samples=samples, steps=steps, seed=seed).samples > 0
        raters, share = raters > 0, drawn.mean(0)
        apart = compare_opinions(drawn, raters)
        most, agreed = share >= 0.5, raters.mean(0) >= 0.5
        dice = 2 * (most & agreed).sum() / (most.sum() + agreed.sum())
        own, least = (structure_calibration(p, agreed, raters) for p in (share, raters.mean(0)))
        rows.append(
            [apart["ged"], apart["matched_iou"], dice, apart["sample_diversity"], apart["rater_diversity"],
             own.reliability.ece, own.brier, least.brier]
        )  # fmt: skip
    return np.array(rows)


def held_out(data: Path) -> list[Case]:
    """The cases of imagesTs and labelsTs."""
    names = sorted({path.name.partition("_")[0] for path in (data / "imagesTs").glob("*.png")})
    return [
        Case(name, (data / f"imagesTs/{name}_0000.png",), tuple(sorted((data / "labelsTs").glob(f"{name}_rater*.png"))))
        for name in names
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--split", choices=("Tr", "Ts"), default="Ts")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--steps", type=int, nargs="+", default=[None])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    cases = held_out(arguments.data) if arguments.split == "Ts" else read_dataset(arguments.data)["val"]
    print(" | ".join(("| model", "steps", *COLUMNS)) + " |\n| --- " + "| ---: " * (1 + len(COLUMNS)) + "|")
    for name in arguments.models:
        model = load_model(name)
        default = model.package.sampling.get("steps", 4)
        for steps in arguments.steps if model.diffusion else [None]:
            runs = np.stack([measure(model, cases, arguments.samples, steps, seed) for seed in arguments.seeds])
            of_seeds = runs.mean(1)
            cells = (f"{mean:.4f} ({sd:.4f})" for mean, sd in zip(of_seeds.mean(0), of_seeds.std(0)))
            shown = (steps or default) if model.diffusion else "-"
            print(f"| {model.package.name} | {shown} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
