"""medsegdiff batch: many cases, resumable."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..errors import JobError, RequestError
from .messages import one_line, opinions_given, warnings_of
from .options import add_common_options, add_models_option, add_request_options, add_volume_options, request_from
from .outputs import Outputs
from .progress import ProgressBar
from .targets import Targets

if TYPE_CHECKING:
    from ..image import Image
    from ..inference.model import Model
    from ..inference.request import SegmentRequest
    from ..models.package import ModelPackage
    from .cases import Case

_MEASURED = ("volume_mm3", "surface_area_mm2", "mean_uncertainty", "mean_mutual_information", "worst_uncertainty",
             "sample_agreement", "expected_dice", "expected_dice_withheld")  # fmt: skip


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the sub-command."""
    parser = subparsers.add_parser(
        "batch",
        help="segment all cases of a folder",
        description="Segments all cases of a folder: each image file or DICOM folder is one; files CASE_0000, "
        "CASE_0001, ... are the channels of one. Writes CASE.nii.gz, CASE.json and cases.csv. Run again, it goes on "
        "where it stopped: cases that were finished with the same model and options are left alone.",
    )
    parser.add_argument("input_dir", metavar="INPUT_DIR", help="folder of cases")
    add_models_option(parser)
    parser.add_argument("-o", "--output", required=True, metavar="OUT_DIR", help="folder for the results")
    add_request_options(parser)
    add_volume_options(parser, " (NAME is written as OUT_DIR/CASE_NAME)")
    add_common_options(parser)
    again = "interrupted; finished cases are kept, the same command goes on from there"
    parser.set_defaults(run=run, interrupted=again)


def run(args: argparse.Namespace) -> None:
    """Segments every case that is not finished. Raises JobError at the end where any failed."""
    request = request_from(args)
    from .cases import find_cases, folders_without_images

    output = Path(args.output)
    if output.resolve() == Path(args.input_dir).resolve():  # reports would take the place of the scans' own files
        raise RequestError(f"the results would lie among the scans in {output}; give another folder with --output")
    folder = Path(args.input_dir).resolve()
    cases = find_cases(folder, leave_out=output.resolve())
    if (left := folders_without_images(folder, output.resolve())) and not args.quiet:
        print(f"medsegdiff: left out, as no DICOM slice lies directly in it: {', '.join(left)}", file=sys.stderr)
    from ..inference.ensemble import find_models, load_models

    packages = find_models(request)
    _make_folder(output)
    owners: dict[Path, str] = {}
    for case in cases:
        targets = _targets(args, output, case)
        targets.check(case.inputs)
        targets.check_label(packages[0].foreground)
        for path in targets.files:
            if owners.setdefault(path, case.name) != case.name:
                raise RequestError(f"{path} would be written for {owners[path]} and for {case.name}; rename a case, or "
                                   "give the output another name")  # fmt: skip
    rows: list[dict[str, Any]] = []
    models, configuration = None, _configuration(request, packages)
    for number, case in enumerate(cases, start=1):
        targets = _targets(args, output, case)
        report = _finished(targets, case, request, configuration)
        status, message, instead = "kept", "", ""
        if report is None:
            models = models or load_models(request)
            if targets.segmentation.is_file():
                instead = ", instead of an earlier result"  # asked, or made from, otherwise
            try:
                with ProgressBar(args.quiet, f"{case.name} ({number}/{len(cases)})") as bar:
                    report = _segment(request, models, case, targets, bar, configuration)
                status = "done"
            except Exception as error:
                if args.debug or args.signals:
                    raise
                status, message = "failed", one_line(error)
                print(f"medsegdiff: {case.name}: {message}", file=sys.stderr)
        message = message or "; ".join(report["warnings"])
        rows.append(_row(case, status, message, report))
        _write_table(output / "cases.csv", rows)
        if not args.quiet and status != "failed":
            given = f" ({opinions_given(report)})" if request.settle is not None else ""
            print(f"{case.name}: {status}{instead}{given}", flush=True)
            for line in warnings_of(report):
                print(f"{case.name}: {line}", file=sys.stderr)
    failed = [row["case"] for row in rows if row["status"] == "failed"]
    if failed:
        raise JobError(f"{len(failed)} of {len(cases)} cases failed ({', '.join(failed[:5])}"
                       f"{', ...' if len(failed) > 5 else ''}); see {output / 'cases.csv'}")  # fmt: skip


def _request_of(case: Case, image: Image, asked: SegmentRequest, package: ModelPackage) -> SegmentRequest:
    """The request for a case, which names the channels that are missing by the numbers of its files; these tell nothing
    where a file holds several channels."""
    if asked.missing or len(case.numbers) != len(image.array):
        return asked
    from ..inference.missing_channels import absent

    return replace(asked, missing=absent(package.channels, case.numbers))


def _make_folder(folder: Path) -> None:
    if not folder.parent.is_dir():
        raise RequestError(f"the folder {folder.parent} does not exist; create it or choose another one")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise RequestError(f"cannot make the folder {folder} ({error.strerror}); choose another one") from None


def _targets(args: argparse.Namespace, output: Path, case: Case) -> Targets:
    def beside(name: str | None) -> Path | None:
        if name is None:
            return None
        if Path(name).name != name:
            raise RequestError(f"{name}: give a name without folder; it is written as {output}/CASE_{Path(name).name}")
        return output / f"{case.name}_{name}"

    return Targets(
        segmentation=output / f"{case.name}.nii.gz",
        probability=beside(args.probability),
        uncertainty=beside(args.uncertainty),
        measure=args.measure,
        label=args.label,
        normalised=args.normalised,
        samples=beside(args.samples_out),
        alternatives=beside(args.alternatives_out),
        report=output / f"{case.name}.json",
        preview=beside(args.preview),
    )


def _segment(
    request: SegmentRequest, models: list[Model], case: Case, targets: Targets, bar: ProgressBar, configuration: str
) -> dict[str, Any]:
    from ..image import read_image
    from ..inference.engine import segment_image

    began = perf_counter()
    image = read_image(case.inputs)
    targets.check_grid(image.affine)
    targets.check_measure(models[0].package.foreground, image.shape)
    asked = _request_of(case, image, request, models[0].package)
    result = segment_image(asked, image, model=models, progress=bar.update)
    result = replace(result, report={**result.report, "configuration_sha256": configuration,
                                     "inputs_sha256": _stamp(case.inputs)})  # fmt: skip
    with Outputs() as outputs:
        return targets.write(outputs, request, result, image, case.inputs, began)


def _configuration(request: SegmentRequest, packages: list[ModelPackage]) -> str:
    """A hash of the configurations, with hash of weights and calibration, of all that is asked."""
    from ..inference.ensemble import named_ensemble
    from ..models.ensembles import ENSEMBLE
    from ..models.package import CONFIG
    from ..models.store import find_model

    ensemble, digest = named_ensemble(request), sha256()
    models = [*packages, *([find_model(request.guess)] if request.guess else [])]
    for file in [one.folder / CONFIG for one in models] + ([ensemble.folder / ENSEMBLE] if ensemble else []):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _finished(targets: Targets, case: Case, request: SegmentRequest, configuration: str) -> dict[str, Any] | None:
    """The report of an earlier run, if that run made all that is asked for now from the inputs as they are now."""
    if not all(path.is_file() for path in targets.files):
        return None
    try:
        report = json.loads(targets.report.read_text(encoding="utf-8"))
        stamp = _stamp(case.inputs)
    except (OSError, ValueError):
        return None
    wanted = {
        "request": request.to_dict(),
        "configuration_sha256": configuration,
        "inputs": [str(path) for path in case.inputs],
        "inputs_sha256": stamp,
        **targets.map,
    }
    if not isinstance(report, dict) or any(report.get(key) != value for key, value in wanted.items()):
        return None
    # A file may also lie there from a run with other options.
    written = {Path(name).name for name in report.get("outputs", ())}
    return report if all(path.name in written for path in targets.files) else None


def _stamp(paths: Sequence[Path]) -> str:
    """A hash of which files there are, also in the folders, their sizes and times: another one where they were changed,
    or changed places."""
    digest = sha256()
    for path in paths:
        for part in (path, *sorted(path.rglob("*"))):
            found = part.stat()
            digest.update(f"{part.relative_to(path)} {found.st_ino} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _row(case: Case, status: str, message: str, report: dict[str, Any] | None) -> dict[str, Any]:
    row: dict[str, Any] = {"case": case.name, "status": status, "message": message}
    for segment in (report or {}).get("segments", ()):
        name = segment["name"]
        row |= {f"{name}_{key}": segment.get(key) for key in _MEASURED}
        row[f"{name}_volume_low_mm3"], row[f"{name}_volume_high_mm3"] = segment["volume_interval_mm3"]
    return row


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with Outputs() as outputs, open(outputs.path(path), "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
