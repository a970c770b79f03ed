"""What each network of the registry is worth after equally many steps on the same crops.

python Testing/studies/equal_budget.py ../shared/data/msd_hippocampus OUT --steps 300 [--networks unet unetr ...]

trains the configurations of Resources/Training/networks (all that are no diffusion, or those named) for --steps steps,
goes on where it was interrupted, and then measures all of them, one after the other, on the validation cases (--cases
of them), without calibration. Prints a table: Dice and 95 % Hausdorff distance (mean over structures and cases),
  parameters, multiply-adds of the network on the first case, seconds a case, and efficiency: the harmonic mean of how
  good and how frugal a network is among those of the table, 0 - 1; good: its Dice between the worst and the best;
  frugal: likewise the mean of the logarithms of parameters, multiply-adds and seconds (after the U-Score of U-Bench,
  2025, arXiv:2510.07041, which has quantiles for the ends).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from medsegdiff.evaluation.dataset import Case, load_training_pair, read_dataset
from medsegdiff.evaluation.metrics import compare
from medsegdiff.inference.engine import segment_image
from medsegdiff.inference.model import load_model, load_network
from medsegdiff.inference.preprocessing import Preprocessing
from medsegdiff.inference.request import SegmentRequest
from medsegdiff.models.package import CONFIG, Label, ModelPackage, load_package, write_package
from medsegdiff.networks.registry import build_network
from medsegdiff.training.config import TrainingConfig, read_config
from medsegdiff.training.run import optimise
from torch.utils.flop_counter import FlopCounterMode

CONFIGURATIONS = Path(__file__).resolve().parents[2] / "Resources/Training/networks"


def trained(config: TrainingConfig, cases: list[Case], output: Path) -> ModelPackage:
    """The network after its steps, as a package without calibration."""
    torch.manual_seed(config.seed)
    pairs = [load_training_pair(case, Preprocessing.from_dict(config.preprocessing)) for case in cases]
    network = build_network(config.network["name"], config.network["arguments"])

    def say(share: float, text: str) -> None:
        print(f"{config.name}  {text}", flush=True)

    network = optimise(network, pairs, config, output, say, "")
    package = ModelPackage(
        folder=output, name=config.name, description=config.description, network=config.network,
        channels=tuple(config.channels), labels=tuple(Label(i, x["name"]) for i, x in enumerate(config.labels)),
        preprocessing=config.preprocessing, licence=config.licence,
    )  # fmt: skip
    return write_package(package, network.state_dict())


def measured(package: ModelPackage, cases: list[Case]) -> dict:
    """A row of the table, but for the efficiency."""
    model = load_model(package, "cpu")
    values, dice, distance, seconds = [label.value for label in package.foreground], [], [], []
    for case in cases:
        image, label = case.read()
        began = time.perf_counter()
        result = segment_image(SegmentRequest(model=package.name, samples=1), image, model=model)
        seconds.append(time.perf_counter() - began)
        rows = compare(result.labelmap, label, image, values)
        dice += [row["dice"] for row in rows]
        distance += [row["hd95_mm"] for row in rows if row["hd95_mm"] is not None]
    network = load_network(package).eval().requires_grad_(False)  # whose convolutions are those that are counted
    image = torch.from_numpy(Preprocessing.from_dict(package.preprocessing).prepare(cases[0].read()[0]).array)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image.movedim(-1, 0) if network.spatial_dims == 2 else image[None])
    return {
        "network": package.network["name"], "dice": float(np.mean(dice)), "hd95": float(np.mean(distance or [np.nan])),
        "parameters": sum(p.numel() for p in network.parameters()),
        "multiply_adds": counter.get_total_flops() // 2, "seconds": float(np.median(seconds)),
    }  # fmt: skip


def efficiency(rows: list[dict]) -> np.ndarray:
    """(N,), see above."""

    def among(x: np.ndarray) -> np.ndarray:
        return (x - x.min()) / max(np.ptp(x), 1e-9)

    good = among(np.array([row["dice"] for row in rows]))
    costs = [[np.log(row[name]) for row in rows] for name in ("parameters", "multiply_adds", "seconds")]
    frugal = np.mean([among(-np.array(cost)) for cost in costs], 0)
    return 2 * good * frugal / np.maximum(good + frugal, 1e-9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, help="crops a step; 3D networks only, 16 times as many slices for 2D ones")
    parser.add_argument("--cases", type=int, help="validation cases, all by default")
    parser.add_argument("--networks", nargs="+", help="all of the registry by default")
    args = parser.parse_args()
    splits, packages = read_dataset(args.dataset), []
    for path in sorted(CONFIGURATIONS.glob("*.json")):
        config = read_config(path)
        if args.networks and path.stem not in args.networks:
            continue
        if not args.networks and build_network(config.network["name"], config.network["arguments"]).diffusion:
            continue
        folder = args.output / path.stem
        if not (folder / CONFIG).exists():
            batch = config.batch if not args.batch else args.batch * (16 if config.patch[2] == 1 else 1)
            config = replace(config, steps=args.steps, batch=batch, warmup=args.steps // 10, ema=0.98, workers=0)
            trained(config, splits["train"], folder)
        packages.append(load_package(folder))
    rows = [measured(package, splits["val"][: args.cases]) for package in packages]
    print("| network | Dice | HD95, mm | parameters, M | multiply-adds, G | s a case | efficiency |")
    print("| --- |" + " ---: |" * 6)
    for row, share in sorted(zip(rows, efficiency(rows)), key=lambda x: -x[0]["dice"]):
        size = f"{row['parameters'] / 1e6:.2f} | {row['multiply_adds'] / 1e9:.2f} | {row['seconds']:.2f}"
        print(f"| `{row['network']}` | {row['dice']:.3f} | {row['hd95']:.2f} | {size} | {share:.2f} |")


if __name__ == "__main__":
    main()
