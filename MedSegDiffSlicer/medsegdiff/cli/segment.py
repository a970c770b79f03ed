"""medsegdiff segment: one case."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from .clicks import add_click_option, clicks_from
from .findings import in_words
from .messages import opinions_given, warning, warnings_of
from .options import add_common_options, add_models_option, add_request_options, add_volume_options, request_from
from .outputs import Outputs
from .progress import ProgressBar
from .table import format_segments
from .targets import Targets


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the sub-command."""
    parser = subparsers.add_parser(
        "segment",
        help="segment one case",
        description="Segments one case; several inputs are the channels of that case.",
    )
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="NIfTI, NRRD, MHA, PNG, JPEG, TIFF or a DICOM folder"
    )
    add_models_option(parser)
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help=".nii.gz, .nrrd or .seg.nrrd to write")
    add_request_options(parser)
    add_click_option(parser)
    add_volume_options(parser, "")
    parser.add_argument("--report", metavar="R.json", help="what was done and found, with volumes and intervals")
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Segments, writes, prints a table of the structures."""
    began = perf_counter()
    request = request_from(args)
    targets = _targets(args)
    targets.check(args.inputs)

    from ..models.store import find_model

    packages = [find_model(name) for name in request.models]
    targets.check_label(packages[0].foreground)
    request = replace(request, clicks=clicks_from(args.click, packages[0].foreground))
    from ..image import read_image

    image = read_image(args.inputs)
    targets.check_grid(image.affine)
    targets.check_measure(packages[0].foreground, image.shape)
    from ..inference.engine import segment_image

    said: list[str] = []

    def warn(sentence: str) -> None:
        """At once: who gave the wrong image need not wait for its result."""
        if (line := warning(sentence)) not in said:
            said.append(line)
            bar.say(line)

    with ProgressBar(args.quiet) as bar:
        result = segment_image(request, image, progress=bar.update, warn=warn)
    with Outputs() as outputs:
        report = targets.write(outputs, request, result, image, args.inputs, began)
    if not args.quiet:
        for line in warnings_of(report):
            if line not in said:
                print(line, file=sys.stderr)
        print(format_segments(report["segments"]))
        if request.others or request.settle is not None:
            print(opinions_given(report))
        for line in in_words(report):
            print(line)
        print("written: " + ", ".join(str(path) for path in targets.files))


def _targets(args: argparse.Namespace) -> Targets:
    def path(name: str | None) -> Path | None:
        return None if name is None else Path(name)

    return Targets(
        segmentation=Path(args.output),
        probability=path(args.probability),
        uncertainty=path(args.uncertainty),
        measure=args.measure,
        label=args.label,
        normalised=args.normalised,
        samples=path(args.samples_out),
        alternatives=path(args.alternatives_out),
        report=path(args.report),
        preview=path(args.preview),
    )
