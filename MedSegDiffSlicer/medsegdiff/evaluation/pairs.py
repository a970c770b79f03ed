"""Segmentations and references on disk, matched by case name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RequestError
from ..image import Image
from ..image.labels import read_labels
from ..image.names import case_name, is_image_file
from .metrics import METRICS, agree_on_absence, compare
from .summary import summarise


@dataclass(frozen=True)
class Pair:
    """A segmentation and its reference."""

    case: str
    predicted: Path
    reference: Path


def find_pairs(predicted: Path, reference: Path) -> tuple[list[Pair], list[Path]]:
    """Two files are one pair; two folders are matched by file name without its ending.

    Returns the pairs, and the files among the segmentations that have no reference (a batch may leave maps there).
    Every reference needs a segmentation: RequestError names those that have none.
    """
    for path in (predicted, reference):
        if not path.exists():
            raise RequestError(f"{path} does not exist; check the path")
    if predicted.is_dir() != reference.is_dir():
        raise RequestError("--pred and --ref must both be files, or both be folders")
    if not predicted.is_dir():
        return [Pair(case_name(reference), predicted, reference)], []
    ours, theirs = _label_maps(predicted), _label_maps(reference)
    absent = sorted(theirs.keys() - ours.keys())
    if absent:
        some = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
        raise RequestError(f"{predicted} lacks {len(absent)} of the cases ({some}); every reference needs its case")
    pairs = [Pair(case, ours[case], theirs[case]) for case in sorted(theirs)]
    return pairs, [ours[case] for case in sorted(ours.keys() - theirs.keys())]


def evaluate_pairs(pairs: Sequence[Pair], progress=lambda fraction, message: None) -> dict[str, Any]:
    """Compares all pairs.

    Returns `cases` (a list: `case`, `predicted`, `reference`, `structures`: see metrics.compare, plus `name`) and
    `summary` (a list, one entry a structure: `label`, `name`, and mean and interval of each metric; see summarise).
    Raises RequestError where the grids of a pair differ, or a file is no label map.
    """
    compared: list[dict[int, dict[str, Any]]] = []  # of each pair, by label
    for number, pair in enumerate(pairs):
        progress(number / len(pairs), pair.case)
        compared.append({structure["label"]: structure for structure in _compare_files(pair)})
    values = sorted(set().union(*compared))
    if not values:
        raise RequestError("no structure in any of the files; labels must be whole numbers above 0")
    known = structure_names(pairs)
    names = {value: known.get(value, f"label {value}") for value in values}
    absent = {structure["label"]: structure for structure in agree_on_absence(values)}
    cases = [
        {
            "case": pair.case,
            "predicted": str(pair.predicted),
            "reference": str(pair.reference),
            "structures": [{"name": names[value], **found.get(value, absent[value])} for value in values],
        }
        for pair, found in zip(pairs, compared)
    ]
    summary = [
        {
            "label": value,
            "name": names[value],
            **{metric: summarise(case["structures"][i][metric] for case in cases) for metric in METRICS},
        }
        for i, value in enumerate(values)
    ]
    return {"cases": cases, "summary": summary}


def _compare_files(pair: Pair) -> list[dict[str, Any]]:
    """The pair's comparison, for the labels that at least one of the two has."""
    predicted, reference = read_labels(pair.predicted), read_labels(pair.reference)
    _check_geometry(pair, predicted, reference)
    ours, theirs = predicted.array[0], reference.array[0]
    return compare(ours, theirs, reference, [int(value) for value in np.union1d(ours, theirs) if value > 0])


def structure_names(pairs: Sequence[Pair]) -> dict[int, str]:
    """Names of the labels: from the reports that medsegdiff wrote beside the segmentations, else from a dataset.json
    beside the references or their folder, else none."""
    for pair in pairs:
        report = _read_json(pair.predicted.with_name(f"{case_name(pair.predicted)}.json"))
        if isinstance(report.get("segments"), list):
            return {int(s["label"]): str(s["name"]) for s in report["segments"]}
    folder = pairs[0].reference.parent
    for path in (folder / "dataset.json", folder.parent / "dataset.json"):
        labels = _read_json(path).get("labels")
        if isinstance(labels, dict) and labels:  # MSD: {"1": "anterior"}; nnU-Net v2: {"anterior": 1}
            if all(str(key).isdigit() for key in labels):
                return {int(key): str(name) for key, name in labels.items()}
            return {value: name for name, value in labels.items() if isinstance(value, int)}
    return {}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _label_maps(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if not is_image_file(path):
            continue
        if case_name(path) in found:
            raise RequestError(f"{found[case_name(path)]} and {path} are two files of one case; keep one")
        found[case_name(path)] = path
    if not found:
        raise RequestError(f"{folder} holds no label maps; give a folder of NIfTI, NRRD, MHA or PNG files")
    return found


def _check_geometry(pair: Pair, predicted: Image, reference: Image) -> None:
    if predicted.shape != reference.shape:
        sizes = ["x".join(map(str, image.shape)) for image in (predicted, reference)]
        raise RequestError(
            f"{pair.case}: segmentation ({sizes[0]} voxels) and reference ({sizes[1]}) differ in size; resample one"
        )
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * [*predicted.shape, 1]
    apart = np.abs(corners @ (predicted.affine - reference.affine).T).max()
    if apart > 0.01:
        raise RequestError(
            f"{pair.case}: segmentation and reference lie up to {apart:.3g} mm apart; resample one to the other's grid"
        )
