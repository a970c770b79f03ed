"""Segmentations and references on disk, matched by case name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import RequestError
from ..image.names import PICTURES, WRITTEN, case_name, is_image_file, suffix
from ..image.segmentation_names import names_in
from .own_report import read_json, read_report

BESIDE = ("probability", "samples", "uncertainty")  # volumes that may lie beside a segmentation


@dataclass(frozen=True)
class Pair:
    """A segmentation and its references, one a rater or a file of several.

    beside: volumes of the segmentation that exist, by their names of BESIDE.  scan: the image, where it is known.
    """

    case: str
    predicted: Path
    references: tuple[Path, ...]
    beside: Mapping[str, Path] = field(default_factory=dict)
    scan: Path | None = None

    @property
    def files(self) -> list[Path]:
        """All that is read of it."""
        known = [self.predicted, self._report, *self.references, *self.beside.values()]
        return known if self.scan is None else [*known, self.scan]

    @property
    def report(self) -> dict[str, Any]:
        """The report that medsegdiff wrote beside the segmentation, CASE.json; empty where there is none of its."""
        return read_report(self._report)

    @property
    def _report(self) -> Path:
        return self.predicted.with_name(f"{case_name(self.predicted)}.json")

    @property
    def segments(self) -> dict[int, dict[str, Any]]:
        """The report's `segments`, by label."""
        return {segment["label"]: segment for segment in self.report.get("segments", ())}


def find_pairs(
    predicted: Path,
    *references: Path,
    names: Mapping[str, str] | None = None,
    images: Path | None = None,
) -> tuple[list[Pair], list[Path], list[str]]:
    """Two files are one pair; folders are matched by file name without its ending.

    references: one file or folder a rater; a folder may hold CASE_rater1, CASE_rater2, ... of several raters.  names:
    of volumes beside the segmentations, by BESIDE: NAME stands for CASE_NAME in the folder of segmentations, for the
    file itself where `predicted` is a file; without one, CASE_probability.nii.gz and the like are taken where they are.
    images: the scans' folder or file.
    Returns the pairs; the label maps that have no reference; and NAMEs of volumes that lie beside segmentations and
    are not read, since nobody says what they hold.
    Every reference needs a segmentation and a reference of each other rater: RequestError names those that have none.
    """
    for path in (predicted, *references):
        if not path.exists():
            raise RequestError(f"{path} does not exist; check the path")
    if any(predicted.is_dir() != reference.is_dir() for reference in references):
        raise RequestError("--pred and --ref must both be files, or both be folders")
    scans = _scans(images)
    if not predicted.is_dir():
        case = case_name(references[0])
        scan = images if images is not None and images.is_file() else scans.get(case)
        return [Pair(case, predicted, references, _beside(predicted, names, alone=True), scan)], [], []
    ours, theirs = _label_maps(predicted), [_by_rater(_label_maps(reference)) for reference in references]
    cases = sorted(set().union(*theirs))
    for folder, found in ((predicted, ours.keys()), *((r, t.keys()) for r, t in zip(references, theirs))):
        absent = sorted(set(cases) - found)
        if absent:
            some = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
            raise RequestError(
                f"{folder} lacks {len(absent)} of the cases ({some}); every reference needs its case: "
                "finish the batch, or give a folder with the references of these cases only"
            )
    pairs = [
        Pair(case, ours[case], sum((found[case] for found in theirs), ()), _beside(ours[case], names), scans.get(case))
        for case in cases
    ]
    used = {path for pair in pairs for path in (pair.predicted, *pair.beside.values())}
    left_out: list[Path] = []
    others: dict[str, list[Path]] = {}  # by what follows the case's name
    for name, path in ours.items():
        if path in used:
            continue
        owner = _owner(name, ours)
        if owner is None:
            left_out.append(path)
        elif owner in cases and (_is_volume(path) or not _is_volume(ours[owner])):  # else a preview
            others.setdefault(path.name.removeprefix(f"{owner}_"), []).append(path)
    unread = [name for name, found in others.items() if len(found) == len(cases)]  # else rather cases of their own
    left_out += [path for name, found in others.items() if name not in unread for path in found]
    return pairs, sorted(left_out), sorted(unread)


def check_names(pair: Pair) -> None:
    """Raises RequestError where two segmentations of a case tell a name for different labels."""
    told = {label: segment["name"] for label, segment in pair.segments.items()} or names_in(pair.predicted)
    first = {name: label for label, name in told.items()}
    for path in pair.references:
        for label, name in names_in(path).items():
            if first.get(name, label) != label:
                raise RequestError(
                    f"'{name}' is label {first[name]} in {pair.predicted} and {label} in {path}; give it the same "
                    "label in both"
                )


def structure_names(pairs: Sequence[Pair]) -> dict[int, str]:
    """Names of the labels: from the reports that medsegdiff wrote beside the segmentations, else from the header of a
    Slicer segmentation, else from a dataset.json beside the references or their folder, else none."""
    for pair in pairs:
        if pair.segments:
            return {label: segment["name"] for label, segment in pair.segments.items()}
    for file in (file for pair in pairs for file in (pair.predicted, *pair.references)):
        if names := names_in(file):
            return names
    folder = pairs[0].references[0].parent
    for path in (folder / "dataset.json", folder.parent / "dataset.json"):
        labels = read_json(path).get("labels")
        if isinstance(labels, dict) and labels:  # MSD: {"1": "anterior"}; nnU-Net v2: {"anterior": 1}
            if all(str(key).isdigit() for key in labels):
                return {int(key): str(name) for key, name in labels.items()}
            return {value: name for name, value in labels.items() if isinstance(value, int)}
    return {}


def _beside(predicted: Path, names: Mapping[str, str] | None, alone: bool = False) -> dict[str, Path]:
    found = {}
    for kind in BESIDE:
        name = (names or {}).get(kind)
        if name is not None:
            path = Path(name) if alone else predicted.with_name(f"{case_name(predicted)}_{name}")
            if not path.is_file():
                raise RequestError(f"{path} does not exist; check the name of the {kind} files")
            found[kind] = path
            continue
        usual = (predicted.with_name(f"{case_name(predicted)}_{kind}{ending}") for ending in WRITTEN)
        found |= {kind: path for path in usual if path.is_file()}
    return found


def _owner(name: str, cases: Mapping[str, Path]) -> str | None:
    """The case beside whose segmentation CASE_NAME lies; None where it is a case of its own."""
    parts = name.split("_")
    return next((case for n in range(len(parts) - 1, 0, -1) if (case := "_".join(parts[:n])) in cases), None)


def _is_volume(path: Path) -> bool:
    return suffix(path, PICTURES) is None


def _scans(images: Path | None) -> dict[str, Path]:
    """By case; the first channel, CASE_0000, of several."""
    if images is None or images.is_file():
        return {}
    if not images.is_dir():
        raise RequestError(f"{images} does not exist; check the path")
    files = [path for path in sorted(images.iterdir()) if is_image_file(path)]
    return {case_name(path).removesuffix("_0000"): path for path in files}


def _by_rater(files: Mapping[str, Path]) -> dict[str, tuple[Path, ...]]:
    """The files of each case: one, or those of several raters (named as in evaluation.dataset)."""
    cases: dict[str, tuple[Path, ...]] = {}
    for name, path in files.items():
        case = re.sub(r"_rater\d+$", "", name)
        cases[case] = (*cases.get(case, ()), path)
    return cases


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
