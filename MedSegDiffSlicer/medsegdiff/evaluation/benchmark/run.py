"""The whole benchmark: one run, one report."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ...errors import RequestError
from ...image import read_image, write_volume
from ...inference.model import Model, load_model
from ...models.store import find_model, shipped_resources
from .extent import Extent
from .machine import describe_machine
from .measuring import ProgressNote, Row, exponent, rows_of
from .memory import peak_memory_of
from .parts import label_settings, mask_settings, peer_setting, sample_settings, tiled, volume_settings
from .peers import SIZE, peer_rows
from .random_model import write_random_model
from .setting import Case, Setting
from .targets import LONG, judge

DIFFUSION, PLAIN = "hippocampus-medsegdiff", "hippocampus-unet"
_SHARES = {  # of the time, about
    "reference": 0.1, "masks": 0.4, "samples": 0.03, "volume": 0.2, "labels": 0.07, "memory": 0.15, "peers": 0.05,
}  # fmt: skip


def run_benchmark(
    extent: Extent,
    *,
    dataset: str | Path | None = None,
    count: int = 10,
    peers: bool = False,
    models: tuple[str, str] = (DIFFUSION, PLAIN),
    progress: ProgressNote = lambda fraction, message: None,
) -> dict[str, Any]:
    """Measures speed, memory and quality on the shipped scans, or on `count` validation cases of a dataset.

    models: the diffusion model, and the plain one that it is compared with.  peers: also measure other programs.
    Quality is the Dice (mean over labels and cases) with the dataset's labels; on the shipped scans, which have none,
    with the diffusion model's own result of extent.reference, drawn with another seed.
    Returns `machine`, `quality` (what it is), `rows` (see measuring.rows_of), `growth` (of each part that varies an
    amount the exponent of its power law), `targets` (see targets.judge), `notes` (what was not measured) and `extent`.
    Raises RequestError where a model or the dataset cannot be used.
    """
    diffusion, plain = models
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    loaded = {(name, device): load_model(name, device) for device in devices for name in models}
    if not loaded[diffusion, "cpu"].diffusion:
        raise RequestError(f"model '{diffusion}' draws no samples; name a diffusion model")
    note = _Parts(progress)
    cases = _dataset_cases(dataset, count) if dataset else _sample_cases()
    if dataset is None:
        cases = _with_reference(cases, extent, loaded[diffusion, devices[-1]], note.of("reference"))
    else:
        extent = replace(extent, rounds=max(extent.rounds, len(cases)))
    with tempfile.TemporaryDirectory(prefix="medsegdiff-benchmark-") as folder:
        place = Path(folder)
        packages = [write_random_model(place / str(n), find_model(diffusion), n) for n in extent.label_counts]
        loaded |= {(str(p.folder), device): load_model(p, device) for p in packages for device in devices}
        masks = mask_settings(extent, diffusion, plain, scored_plain=dataset is not None)
        if dataset:
            options = {"samples": extent.samples, "steps": LONG, "sampler": "ddim"}
            what = f"{extent.samples} samples, {LONG} steps, ddim"
            masks.append(Setting("masks", what, diffusion, options, scored=True))
        parts = {
            "masks": masks,
            "samples": sample_settings(extent, diffusion),
            "volume": volume_settings(extent, diffusion, cases[0].image),
            "labels": label_settings(extent, packages, cases[0]),
        }
        rows = []
        for part, settings in parts.items():
            rounds = extent.rounds if part in ("masks", "samples") else extent.growth_rounds
            rows += rows_of(settings, loaded, cases, rounds, note.of(part))
        settings = [setting for chosen in parts.values() for setting in chosen]
        _add_memory(rows, settings, cases[0], place, note.of("memory"))
    notes = [] if "cuda" in devices else ["CUDA: not measured, no GPU in this machine"]
    notes.append("MPS: not measured")
    if peers:
        ours = peer_setting(extent, diffusion, tiled(cases[0].image, SIZE))
        found, absent = peer_rows(ours, loaded, extent.growth_rounds, note.of("peers"))
        rows += found
        notes += absent
    return {
        "machine": describe_machine(),
        "quality": _quality_is(extent, dataset, len(cases)),
        "rows": rows,
        "growth": _growth(rows),
        "targets": judge([row for row in rows if row["part"] == "masks"], loaded[plain, "cpu"].package.name),
        "notes": notes,
        "extent": asdict(extent),
    }


class _Parts:
    """The progress of the whole from that of its parts."""

    def __init__(self, progress: ProgressNote):
        self._progress = progress

    def of(self, part: str) -> ProgressNote:
        """The note that a part is to give its share to."""
        names = list(_SHARES)
        start = sum(_SHARES[name] for name in names[: names.index(part)])
        return lambda share, message: self._progress(start + _SHARES[part] * share, f"{part}: {message}")


def _sample_cases() -> list[Case]:
    folder = shipped_resources() / "SampleData"
    scans = sorted(folder.glob("*.nii.gz"))
    if not scans:
        raise RequestError(f"there is no sample data in {folder}; install medsegdiff again")
    return [Case(path.name, read_image([path]), None) for path in scans]


def _dataset_cases(dataset: str | Path, count: int) -> list[Case]:
    from ..dataset import read_dataset

    return [Case(case.name, *case.read()) for case in read_dataset(dataset)["val"][:count]]


def _with_reference(cases: Sequence[Case], extent: Extent, model: Model, note: ProgressNote) -> list[Case]:
    """The cases with the labels of the many-step result."""
    from ...inference.engine import segment_image
    from ...inference.request import SegmentRequest

    samples, steps = extent.reference
    request, result = SegmentRequest(model.package.name, samples=samples, steps=steps, seed=1), []
    for number, case in enumerate(cases):
        note(number / len(cases), f"{steps} steps, {case.name}")
        labels = segment_image(request, case.image, model=model).labelmap
        result.append(case._replace(reference=labels))
    return result


def _add_memory(rows: list[Row], settings: Sequence[Setting], case: Case, folder: Path, note: ProgressNote) -> None:
    """Fills in the peak memory of those rows that are to have one. folder: for files."""
    wanted = [(setting, row) for setting in settings if setting.memory for row in rows
              if (row["part"], row["what"]) == (setting.part, setting.what)]  # fmt: skip
    scan = folder / "scan.nii.gz"
    for number, (setting, row) in enumerate(wanted):
        note(number / len(wanted), setting.what)
        image = (setting.case or case).image
        write_volume(scan, image.array[0], image.affine)
        row["peak_memory_bytes"] = peak_memory_of(scan, setting.model, setting.options, row["device"], folder)


def _growth(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Of each part that varies an amount, on each device, the exponent of seconds ~ amount^exponent."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["amount"] is not None:
            groups.setdefault((row["part"], row["device"]), []).append(row)
    return [
        {"part": part, "device": device, "from": found[0]["amount"], "to": found[-1]["amount"],
         "exponent": exponent([r["amount"] for r in found], [r["seconds"]["median"] for r in found])}
        for (part, device), found in groups.items()
    ]  # fmt: skip


def _quality_is(extent: Extent, dataset: str | Path | None, count: int) -> str:
    if dataset:
        return f"Dice, {count} validation {'case' if count == 1 else 'cases'} of {Path(dataset).name}"
    samples, steps = extent.reference
    return f"Dice with the result of {samples} samples of {steps} steps"
