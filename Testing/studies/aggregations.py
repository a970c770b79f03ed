"""Which number made of an uncertainty map knows a bad segmentation, and is it worth looking where the regions say?

    python Testing/studies/aggregations.py hippocampus-medsegdiff ../shared/data/msd_hippocampus --samples 8

prints two tables on the validation cases. First, for each measure (beyond: what is usual at a boundary taken off) and
way to aggregate: Spearman's correlation with the Dice of a structure (negative: rightly rising where it is bad) and
AUROC for failures (Dice below its 10th percentile), means over the structures. Second, the mean Dice when a reader
corrects all within 5 mm of the first places of the list of regions, and of as many places drawn at random from the
boundaries.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from medsegdiff import load_model, segment
from medsegdiff.evaluation.failure_detection import failure_auroc, failures, spearman
from medsegdiff.inference.result import SegmentResult
from medsegdiff.evaluation.dataset import read_dataset
from medsegdiff.uncertainty.aggregation import AGGREGATIONS, boundary_band

MEASURES = ("entropy", "mutual-information", "variance")
READ = 5.0  # mm around a place that a reader corrects


def dice(labelmap: np.ndarray, reference: np.ndarray, label: int) -> float:
    mask, truth = labelmap == label, reference == label
    return 2 * (mask & truth).sum() / max(1, mask.sum() + truth.sum())


def aggregation_table(results: Sequence[SegmentResult], references: Sequence[np.ndarray]) -> None:
    labels = [label.value for label in results[0].labels]
    true = {value: np.array([dice(r.labelmap, t, value) for r, t in zip(results, references)]) for value in labels}
    print(f"| measure | {' | '.join(AGGREGATIONS)} |")
    print("| --- |" + " ---: |" * len(AGGREGATIONS))
    for measure in MEASURES:
        for beyond in (False, True):
            told = {value: [r.aggregates(measure, value, beyond) for r in results] for value in labels}
            cells = []
            for name in AGGREGATIONS:
                each = [(np.array([case[name] for case in told[value]]), true[value]) for value in labels]
                found = np.mean([(spearman(x, y), failure_auroc(-x, failures(y)[0])) for x, y in each], 0)
                cells.append("-" if np.isnan(found[0]) else f"{found[0]:.2f}, {found[1]:.2f}")
            print(f"| {measure}{', beyond' if beyond else ''} | {' | '.join(cells)} |", flush=True)
    agreement = [[segment["sample_agreement"] for segment in r.statistics] for r in results]
    each = [(-np.array(column), true[value]) for column, value in zip(zip(*agreement), labels)]
    found = np.mean([(spearman(x, y), failure_auroc(-x, failures(y)[0])) for x, y in each], 0)
    print(f"\ndisagreement of the samples: {found[0]:.2f}, {found[1]:.2f}\n")


def read_at(result: SegmentResult, reference: np.ndarray, places: np.ndarray) -> float:
    """Mean Dice after all within READ of the places (n, 3; voxel indices) has been corrected."""
    grid = np.moveaxis(np.indices(reference.shape), 0, -1)
    corrected = result.labelmap.copy()
    for place in places:
        near = np.linalg.norm((grid - place) @ result.affine[:3, :3].T, axis=-1) <= READ
        corrected[near] = reference[near]
    return float(np.mean([dice(corrected, reference, label.value) for label in result.labels]))


def region_table(results: Sequence[SegmentResult], references: Sequence[np.ndarray]) -> None:
    print("| places read | first of the list | at random |")
    print("| ---: | ---: | ---: |")
    rng = np.random.default_rng(0)
    for count in (0, 1, 2, 4, 8):
        listed, drawn = [], []
        for result, reference in zip(results, references):
            first = [region.index for region in result.regions(most=count)] if count else []
            edge = np.argwhere(boundary_band(result.labelmap > 0))
            listed.append(read_at(result, reference, np.array(first).reshape(-1, 3)))
            drawn.append(read_at(result, reference, edge[rng.integers(0, len(edge), count)]))
        print(f"| {count} | {np.mean(listed):.4f} | {np.mean(drawn):.4f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name or folder of a model")
    parser.add_argument("dataset", help="folder with imagesTr, labelsTr and dataset.json")
    parser.add_argument("--cases", type=int, help="validation cases (default all)")
    parser.add_argument("--samples", type=int, help="opinions (default: the model's)")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = load_model(args.model, "cpu")
    cases = [case.read() for case in read_dataset(args.dataset)["val"][: args.cases]]
    results = [segment(model, image, samples=args.samples) for image, _ in cases]
    references = [reference for _, reference in cases]
    aggregation_table(results, references)
    region_table(results, references)


if __name__ == "__main__":
    main()
