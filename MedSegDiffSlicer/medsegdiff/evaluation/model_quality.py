"""A model on the split of a dataset: accuracy, how well its entropy finds its errors, and time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .error_detection import error_auroc
from .metrics import compare
from .summary import summarise

if TYPE_CHECKING:
    from ..inference.request import SegmentRequest


def measure_model(
    requests: Sequence[SegmentRequest], dataset: str | Path, split: str, progress=lambda fraction, message: None
) -> dict[str, Any]:
    """Segments every case of a split with each request (of one model) and compares with the reference.

    Returns `model`, `split`, `runs`: one entry a request with `steps`, `samples`, `cases` (case by case) and `summary`:
    mean and interval of `seconds` a case, of `time_ratio` (all time after loading to that of the network calls), of
    `auroc` (see error_auroc, of the entropy), of `sample_agreement` (mean over the structures) and, under `dice` and
    `hd95_mm`, of each structure; `peak_memory_bytes` is the process's highest up to the end of the run.
    Raises RequestError where the dataset or the model cannot be used.
    """
    from ..inference.api import load_model
    from ..inference.engine import segment_image
    from ..training.dataset import read_dataset

    cases = read_dataset(dataset)[split]
    model = load_model(requests[0].model, requests[0].device, requests[0].precision)
    runs = []
    for number, request in enumerate(requests):
        measured, report = [], {}
        for done, case in enumerate(cases):
            image, reference = case.read()
            began = time.perf_counter()
            result = segment_image(request, image, model=model)
            seconds = time.perf_counter() - began
            report = result.report
            structures = compare(result.labelmap, reference, image, [label.value for label in result.labels])
            measured.append(
                {
                    "case": case.name,
                    "seconds": seconds,
                    "time_ratio": time_ratio(report["seconds"]),
                    "peak_memory_bytes": report["peak_memory_bytes"],
                    "sample_agreement": summarise(s["sample_agreement"] for s in result.statistics)["mean"],
                    "auroc": error_auroc(result.uncertainty("entropy"), result.labelmap, reference),
                    "structures": [{"name": x.name, **s} for x, s in zip(result.labels, structures)],
                }
            )
            share = (number + (done + 1) / len(cases)) / len(requests)
            progress(share, case.name if report["steps"] is None else f"{report['steps']} steps: {case.name}")
        runs.append(_run(report, measured))
    return {"model": report["model"], "model_sha256": report["model_sha256"], "split": split, "runs": runs}


def _run(report: dict[str, Any], measured: list[dict[str, Any]]) -> dict[str, Any]:
    names = [structure["name"] for structure in measured[0]["structures"]]
    summary = {
        "dice": {name: summarise(m["structures"][i]["dice"] for m in measured) for i, name in enumerate(names)},
        "hd95_mm": {name: summarise(m["structures"][i]["hd95_mm"] for m in measured) for i, name in enumerate(names)},
        "auroc": summarise(m["auroc"] for m in measured),
        "sample_agreement": summarise(m["sample_agreement"] for m in measured),
        "seconds": summarise(m["seconds"] for m in measured),
        "time_ratio": summarise(m["time_ratio"] for m in measured),
        "peak_memory_bytes": max((m["peak_memory_bytes"] for m in measured if m["peak_memory_bytes"]), default=None),
    }
    return {"steps": report["steps"], "samples": report["samples"], "summary": summary, "cases": measured}


def time_ratio(seconds: dict[str, float]) -> float | None:
    """All time of a run after loading to that of its network calls; None without network calls. seconds: of its report."""
    return (seconds["total"] - seconds["load"]) / seconds["network"] if seconds["network"] else None


def as_markdown(report: dict[str, Any]) -> str:
    """The runs as a markdown table."""
    names = list(report["runs"][0]["summary"]["dice"])
    head = ["steps", "samples", *(f"Dice, {name}" for name in names), "entropy finds errors (AUROC)",
            "agreement of samples", "seconds a case", "time / network time", "peak memory, MB"]  # fmt: skip
    lines = [" | ".join(head), " | ".join("---:" for _ in head)]
    for run in report["runs"]:
        summary = run["summary"]
        peak = summary["peak_memory_bytes"]
        cells = [str(run["steps"] or "-"), str(run["samples"]), *(_cell(summary["dice"][name], 4) for name in names),
                 _cell(summary["auroc"], 3), _cell(summary["sample_agreement"], 3), _cell(summary["seconds"], 2),
                 _cell(summary["time_ratio"], 2), "-" if peak is None else f"{peak / 1e6:.0f}"]  # fmt: skip
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def _cell(value: dict[str, Any], digits: int) -> str:
    return "-" if value["mean"] is None else f"{value['mean']:.{digits}f}"
