"""What clicks are worth: the Dice after so many corrective clicks a structure, each into its largest error."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .corrective_clicks import corrective_click
from .metrics import mean_dice
from .model_quality import without_calibration
from .summary import summarise

if TYPE_CHECKING:
    from ..image import Image
    from ..inference.model import Model
    from ..inference.result import SegmentResult
    from .model_quality import Run

AT_ONCE, ASKED_AGAIN = "at once", "asked again"  # from the stored opinions; by a new run with the clicks


def measure_clicks(
    runs: Sequence[Run], dataset: str | Path, split: str, counts: Sequence[int],
    progress: Callable[[float, str], None] = lambda fraction, message: None,
) -> dict[str, Any]:  # fmt: skip
    """Segments every case of a split, clicks into the largest error of each structure, segments again, and so on.

    counts: clicks a structure after which the Dice is told; where a structure has no error left, it gets no more.
    References of several raters count by majority. The report: `split`, `clicks` (counts), `runs`: an entry a run with
    `name`, `model`, `model_sha256`, `request`, and `ways`, AT_ONCE and ASKED_AGAIN: each with its `way`, `curve` (an
    entry a count: `clicks`, `dice` of each structure and `mean` over them, as mean and interval over the cases, `gain`
    of that mean, `seconds` that an answer took) and `cases` (`case`, `click` (index and label, in order), `dice`: of
    each structure after each count).
    Raises RequestError where the dataset or a model cannot be used.
    """
    from ..inference.ensemble import load_models
    from .dataset import check_labels, read_dataset

    cases, entries = read_dataset(dataset)[split], []
    for number, run in enumerate(runs):
        models = load_models(run.request)
        check_labels(cases, models[0].package.foreground)
        if not run.calibrated:
            models = without_calibration(models)
        rows: dict[str, list[dict[str, Any]]] = {AT_ONCE: [], ASKED_AGAIN: []}
        for done, case in enumerate(cases):
            progress((number + done / len(cases)) / len(runs), f"{run.name}: {case.name}")
            for way, row in _measure_case(run, models, *case.read(), counts).items():
                rows[way].append({"case": case.name, **row})
        names = {label.value: label.name for label in models[0].package.foreground}
        ways = [{"way": way, "curve": _curve(found, names, counts), "cases": found} for way, found in rows.items()]
        package = models[0].package
        entries.append({
            "name": run.name, "model": package.name, "model_sha256": package.weights_sha256,
            "request": run.request.to_dict(), "ways": ways,
        })  # fmt: skip
    return {"split": split, "clicks": list(counts), "runs": entries}


def _measure_case(
    run: Run, models: Sequence[Model], image: Image, reference: np.ndarray, counts: Sequence[int]
) -> dict[str, dict[str, Any]]:
    from ..inference.engine import segment_image

    first = segment_image(run.request, image, model=models)

    def ask(clicks: list[tuple]) -> SegmentResult:
        return segment_image(replace(run.request, clicks=tuple(clicks)), image, model=models)

    return {
        way: _correct(first, answer, reference, image.affine, counts)
        for way, answer in ((AT_ONCE, first.with_clicks), (ASKED_AGAIN, ask))
    }


def _correct(
    result: SegmentResult, answer: Callable[[list[tuple]], SegmentResult], reference: np.ndarray, affine: np.ndarray,
    counts: Sequence[int],
) -> dict[str, Any]:  # fmt: skip
    """answer: gives the result for all clicks so far, (R, A, S, label)."""
    values = [label.value for label in result.labels]
    made, clicks, dice, seconds = {}, [], [], []
    for count in range(max(counts) + 1):
        if count:
            for value in values:
                click = corrective_click(result.labelmap, reference, value)
                if click is not None and click.index not in made:
                    made[click.index] = click.label
                    clicks.append((*(affine[:3, :3] @ click.index + affine[:3, 3]).tolist(), click.label))
            began = time.perf_counter()
            result = answer(clicks)
            seconds.append(time.perf_counter() - began)
        if count in counts:
            dice.append({value: mean_dice(result.labelmap, reference, [value]) for value in values})
    told = [{"index": list(index), "label": label} for index, label in made.items()]
    return {"click": told, "dice": dice, "seconds": seconds}


def _curve(rows: Sequence[dict[str, Any]], names: dict[int, str], counts: Sequence[int]) -> list[dict[str, Any]]:
    means = np.array([[np.mean(list(dice.values())) for dice in row["dice"]] for row in rows])
    return [
        {
            "clicks": count,
            "dice": {name: summarise(row["dice"][n][value] for row in rows) for value, name in names.items()},
            "mean": summarise(means[:, n]),
            "gain": summarise(means[:, n] - means[:, 0]),
            "seconds": summarise(seconds for row in rows for seconds in row["seconds"][max(0, count - 1) : count]),
        }
        for n, count in enumerate(counts)
    ]
