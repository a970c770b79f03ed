"""medsegdiff benchmark: speed, memory and quality on this machine, in one table."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import RequestError
from .options import add_common_options
from .outputs import Outputs
from .progress import ShareBar
from .targets import write_json


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the sub-command."""
    parser = subparsers.add_parser(
        "benchmark",
        help="measure speed, memory and quality on this machine",
        description="Measures the shipped models on the shipped scans: seconds and network evaluations a mask, the "
        "engine's overhead, peak memory, quality, and how the cost grows with volume, samples and labels. Prints a "
        "Markdown table. Takes some minutes; the figures hold for an otherwise idle machine.",
    )
    parser.add_argument("--report", metavar="R.json", help="all figures; quality is drawn beside it (R.png)")
    text = "also MONAI's diffusion inferer (needs einops) and med-seg-diff-pytorch, where they are installed"
    parser.add_argument("--peers", action="store_true", help=text)
    parser.add_argument("--quick", action="store_true", help="fewer settings, a quarter of the time")
    group = parser.add_argument_group("quality on labelled scans (default: agreement with a result of many steps)")
    group.add_argument("--dataset", metavar="DIR", help="folder with imagesTr, labelsTr and dataset.json")
    group.add_argument("--cases", type=int, metavar="N", help="validation cases to use (default 10)")
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Measures and prints."""
    from ..evaluation.benchmark.extent import FULL, QUICK
    from ..image.output import check_output

    if args.cases is not None and (args.dataset is None or args.cases < 1):
        raise RequestError("--cases takes a number above 0, with --dataset; leave it out, or give both")
    picture = None
    if args.report is not None:
        check_output(args.report, (".json",))
        picture = Path(args.report).with_suffix(".png")
        check_output(picture, (".png",))

    from ..evaluation.benchmark.plot import draw_plot
    from ..evaluation.benchmark.run import run_benchmark
    from ..evaluation.benchmark.table import as_markdown

    extent, count = QUICK if args.quick else FULL, args.cases or 10
    with ShareBar(args.quiet) as bar:
        report = run_benchmark(extent, dataset=args.dataset, count=count, peers=args.peers, progress=bar.note)
    with Outputs() as outputs:
        if picture is not None:
            write_json(outputs.path(args.report), report)
            draw_plot(report).save(outputs.path(picture))
    if not args.quiet:
        print(as_markdown(report))
