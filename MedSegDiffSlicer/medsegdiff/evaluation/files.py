"""An evaluation of files: reading the pairs, comparing, summing up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import RequestError
from ..image import Image, read_image
from .case import CaseFigures, Prediction, evaluate_case
from .metrics import TOLERANCE, agree_on_absence
from .own_report import sample_weights
from .pairs import Pair, check_names, structure_names
from .study import summarise_study
from .volumes import read_label_maps, read_volumes

if TYPE_CHECKING:
    from .worst import WorstCases


def evaluate_pairs(
    pairs: Sequence[Pair],
    progress=lambda fraction, message: None,
    tolerance: float = TOLERANCE,
    failure_dice: float | None = None,
    worst: WorstCases | None = None,
) -> dict[str, Any]:
    """Compares all pairs.

    tolerance: of the surface Dice, mm.  failure_dice: see study.summarise_study.  worst: keeps pictures of the worst
    cases.
    Returns `cases` (a list: `case`, `predicted`, `reference`, `references`, `structures` and the case's figures: see
    case.evaluate_case, plus `name`), `summary` (a list, one entry a structure) and `overall`: see
    study.summarise_study.
    Raises RequestError where the grids of a pair differ, or a file is no label map, or has labels below 0.
    """
    compared: list[CaseFigures] = []
    for number, pair in enumerate(pairs):
        progress(number / len(pairs), pair.case)
        compared.append(_evaluate(pair, tolerance, worst))
    known = structure_names(pairs)
    values = sorted(set().union(*(case.structures for case in compared)) or set(known) - {0} or {1})  # all may be empty
    names = {value: known.get(value, f"label {value}") for value in values}
    compared = [_complete(case, values) for case in compared]
    summary, overall = summarise_study(compared, names, failure_dice)
    cases = [
        {
            "case": pair.case,
            "predicted": str(pair.predicted),
            "reference": str(pair.references[0]),
            "references": [str(path) for path in pair.references],
            **found.whole,
            "structures": [{"name": names[value], **found.structures[value]} for value in values],
        }
        for pair, found in zip(pairs, compared)
    ]
    return {"cases": cases, "summary": summary, "overall": overall}


def _evaluate(pair: Pair, tolerance: float, worst: WorstCases | None) -> CaseFigures:
    """The pair's figures, for the labels that at least one of the label maps has."""
    check_names(pair)
    predicted = _read_labels(pair.predicted)
    if len(predicted.array) > 1:
        raise RequestError(f"{pair.predicted} holds {len(predicted.array)} volumes; a segmentation is one label map")
    raters = []
    for path in pair.references:
        image = _read_labels(path)
        _check_geometry(pair, predicted, image, "reference")
        raters += list(image.array)
    labelmap = predicted.array[0]
    values = sorted(set().union(*(np.unique(labels).tolist() for labels in (labelmap, *raters))))
    values = [value for value in values if value > 0]
    report = pair.report
    evidence = {kind: _volumes(pair, kind, predicted) for kind in pair.beside}
    uncertainty = evidence.pop("uncertainty", None)
    maps = {} if uncertainty is None else {str(report.get("measure", "uncertainty")): uncertainty[0]}
    aggregates = report.get("uncertainty", {})
    weights = sample_weights(report, len(evidence["samples"])) if "samples" in evidence else None
    prediction = Prediction(
        labelmap, **evidence, weights=weights, uncertainty=maps, statistics=pair.segments, aggregates=aggregates
    )
    figures = evaluate_case(prediction, raters, predicted, values, tolerance)
    if worst is not None:
        worst.offer(pair.case, figures.whole.get("dice"), labelmap, raters, lambda: _scan(pair, report, predicted))
    return figures


def _read_labels(path: Path) -> Image:
    image = read_label_maps(path)
    if (least := int(image.array.min())) < 0:
        raise RequestError(f"{path} has label {least}; labels are 0, the background, and above: renumber them")
    return image


def _volumes(pair: Pair, kind: str, predicted: Image) -> np.ndarray:
    image = (read_label_maps if kind == "samples" else read_volumes)(pair.beside[kind])
    _check_geometry(pair, predicted, image, kind)
    if kind == "probability" and (len(image.array) < 2 or image.array.min() < 0 or image.array.max() > 1.001):
        raise RequestError(
            f"{pair.beside[kind]} holds no probabilities of all labels; give one volume a label, background first, "
            "in [0, 1]"
        )
    return image.array


def _scan(pair: Pair, report: dict[str, Any], predicted: Image) -> Image:
    """The scan where it can be read and lies on the segmentation's grid; else nothing, on that grid."""
    inputs = [Path(name) for name in report.get("inputs", ())[:1]]
    for path in inputs if pair.scan is None else [pair.scan]:
        try:
            image = read_image(path)
        except RequestError:
            continue  # it is for the picture only
        if image.shape == predicted.shape:
            return image
    return Image(np.zeros((1, *predicted.shape), np.uint8), predicted.affine)


def _complete(case: CaseFigures, values: Sequence[int]) -> CaseFigures:
    """The case with what is true of structures that it has not."""
    absent = {entry["label"]: entry for entry in agree_on_absence(values)}
    return CaseFigures({v: case.structures.get(v, absent[v]) for v in values}, case.whole, case.reliability)


def _check_geometry(pair: Pair, predicted: Image, other: Image, what: str) -> None:
    if predicted.shape != other.shape:
        sizes = ["x".join(map(str, image.shape)) for image in (predicted, other)]
        raise RequestError(
            f"{pair.case}: segmentation ({sizes[0]} voxels) and {what} ({sizes[1]}) differ in size; resample one"
        )
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * [*predicted.shape, 1]
    apart = np.abs(corners @ (predicted.affine - other.affine).T).max()
    if apart > 0.01:
        raise RequestError(
            f"{pair.case}: segmentation and {what} lie up to {apart:.3g} mm apart; resample one to the other's grid"
        )
