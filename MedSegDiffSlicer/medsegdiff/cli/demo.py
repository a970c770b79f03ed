"""medsegdiff demo: the main job on the shipped samples, into a folder to look at."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..errors import RequestError
from ..models.store import DEFAULT_MODEL
from .messages import warnings_of
from .options import add_common_options, add_request_options, request_from
from .outputs import Outputs
from .progress import ProgressBar
from .table import format_segments
from .targets import Targets

if TYPE_CHECKING:
    from ..inference.model import Model
    from ..inference.request import SegmentRequest

_NOTICE = "LICENSE-ICBM152.txt"
_INDEX = """The hippocampus on both sides of the ICBM 152 brain template, segmented by {model}

Look first at the pictures: {pictures}

Each folder holds
  preview.png              slices with contours, and the uncertainty over the same slices
  scan.nii.gz              the scan ({notice} beside this file belongs to it)
  segmentation.seg.nrrd    the structures with names and colours: drag it into 3D Slicer, together with the scan
  segmentation.nii.gz      the same as a label map, for other programs
  probability.nrrd         the probability of each label, background first
  uncertainty.nrrd         where the opinions ({samples}) are in doubt or disagree: entropy in nats, 0 elsewhere
  report.json              volumes with 95 % intervals, expected Dice, what was done, time

Found (the template is an average of many brains, so the warning that it is unlike a scan is right)

{tables}

The same for a scan of yours

  medsegdiff segment SCAN.nii.gz -m {model} -o OUT.seg.nrrd --uncertainty U.nrrd --preview V.png --report R.json
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the sub-command."""
    text = "segment the shipped samples, into a folder with pictures"
    parser = subparsers.add_parser("demo", help=text, description=f"{text.capitalize()}.")
    parser.add_argument("-o", "--output", default="medsegdiff-demo", metavar="DIR",
                        help="folder to write (default medsegdiff-demo)")  # fmt: skip
    parser.add_argument("-m", "--model", default=DEFAULT_MODEL, metavar="MODEL", help=f"default {DEFAULT_MODEL}")
    add_request_options(parser)
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Segments every sample; the folder gets all files or none."""
    from ..models.ensembles import find_installed
    from ..models.store import shipped_resources

    request, output, name_of_model = request_from(args), Path(args.output), find_installed(args.model).name
    samples = shipped_resources() / "SampleData"
    scans = sorted(samples.glob("*.nii.gz"))
    if not scans:
        raise RequestError(f"there is no sample data in {samples}; install medsegdiff again")
    from ..inference.ensemble import load_models

    with Outputs() as outputs:
        _make_folder(outputs, output)
        models = load_models(request)
        reports = {}
        for number, scan in enumerate(scans, start=1):
            name = scan.name.removesuffix(".nii.gz")
            with ProgressBar(args.quiet, f"{name} ({number}/{len(scans)})") as bar:
                reports[name] = _segment(request, models, scan, outputs, outputs.folder(output / name), bar)
        shutil.copyfile(samples / _NOTICE, outputs.path(output / _NOTICE))
        tables = "\n\n".join(
            "\n".join([name, *warnings_of(report), format_segments(report["segments"])])
            for name, report in reports.items()
        )
        pictures = [str(Path(name) / "preview.png") for name in reports]
        index = _INDEX.format(model=name_of_model, pictures=", ".join(pictures), notice=_NOTICE, tables=tables,
                              samples=next(iter(reports.values()))["samples"])  # fmt: skip
        outputs.path(output / "README.txt").write_text(index, encoding="utf-8")
    if not args.quiet:
        print(f"{tables}\n\nOpen {output / 'README.txt'} and {output / pictures[0]}")


def _make_folder(outputs: Outputs, folder: Path) -> None:
    if folder.is_file():
        raise RequestError(f"{folder} is a file; give a folder")
    if not folder.absolute().parent.is_dir():
        raise RequestError(f"the folder {folder.absolute().parent} does not exist; create it or choose another one")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _NOTICE).is_file():  # what an earlier demo left
        raise RequestError(f"{folder} holds other files; give a new folder with --output")
    try:
        outputs.folder(folder)
    except OSError as error:
        raise RequestError(f"cannot make the folder {folder} ({error.strerror}); choose another one") from None


def _segment(
    request: SegmentRequest, models: list[Model], scan: Path, outputs: Outputs, folder: Path, bar: ProgressBar
) -> dict[str, Any]:
    """Segments one sample into its folder. Returns the report."""
    from ..image import read_image, write_labelmap
    from ..inference.engine import segment_image

    targets = Targets(
        segmentation=folder / "segmentation.seg.nrrd",
        probability=folder / "probability.nrrd",
        uncertainty=folder / "uncertainty.nrrd",
        report=folder / "report.json",
        preview=folder / "preview.png",
    )
    targets.check()
    began = perf_counter()
    image = read_image([scan])
    result = segment_image(request, image, model=models, progress=bar.update)
    report = targets.write(outputs, request, result, image, [scan], began)
    write_labelmap(outputs.path(folder / "segmentation.nii.gz"), result.labelmap, result.affine, result.labels)
    shutil.copyfile(scan, outputs.path(folder / "scan.nii.gz"))
    return report
