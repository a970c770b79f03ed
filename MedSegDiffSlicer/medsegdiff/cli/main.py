"""The command `medsegdiff`: reads the arguments, runs a sub-command, turns errors into one line and a status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import takewhile

from .. import __version__
from ..errors import Cancelled, RequestError
from . import batch, benchmark, calibrate, demo, evaluate, models, segment, train
from .interrupts import FAILED, INTERRUPTED, listen
from .messages import is_unusable, one_line
from .options import join_lists
from .streams import usable_streams

DONE, UNUSABLE = 0, 2
_COMMANDS = (segment, batch, models, evaluate, train, calibrate, benchmark, demo)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line."""

    def error(self, message: str) -> None:
        self.exit(UNUSABLE, f"medsegdiff: {message}; see {self.prog} --help\n")

    def parse_known_args(self, args=None, namespace=None) -> tuple[argparse.Namespace, list[str]]:
        """Like its base, but a sub-command's parser complains itself of what it does not know: its --help tells."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:  # what is beside an unknown option may be its value, or have lost its place to that
            options = [one for one in takewhile(lambda one: one != "--", unknown) if one.startswith("-")]
            self.error(f"unrecognized arguments: {' '.join(options or unknown)}")
        return found, unknown


def build_parser() -> argparse.ArgumentParser:
    """The parser with all sub-commands; each sets `run`, called with the parsed arguments."""
    parser = _Parser(
        prog="medsegdiff",
        description="Segments medical images with several opinions and maps where they disagree.",
        epilog="'medsegdiff demo' shows all of it on a shipped sample. Exit status: 0 done, 1 the job failed, 2 the "
        "request was unusable.",
    )
    parser.add_argument("--version", action="version", version=f"medsegdiff {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    for command in _COMMANDS:
        command.add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit status: 0 done, 1 the job failed, 2 the request was unusable."""
    with usable_streams() as lost:
        status = _run(sys.argv[1:] if arguments is None else arguments)
    return _complain(one_line(lost[0]), FAILED) if lost and status == DONE else status


def _run(arguments: Sequence[str]) -> int:
    parser = build_parser()
    if "" in arguments:
        parser.error("an argument is empty; is a variable unset?")
    args = parser.parse_args(join_lists(arguments))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while they wait are slow on a busy machine
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # what a Mac's GPU lacks, PyTorch then does on the CPU
    args.signals = listen()
    if not args.debug:
        _silence_libraries()
    try:
        return args.run(args) or DONE
    except (Exception, KeyboardInterrupt) as error:
        if args.debug:
            raise
        if args.signals or isinstance(error, (KeyboardInterrupt, Cancelled)):
            return _complain(getattr(args, "interrupted", INTERRUPTED), FAILED)
        return _complain(one_line(error), UNUSABLE if is_unusable(error) else FAILED)


def _silence_libraries() -> None:
    import warnings

    warnings.simplefilter("ignore")


def _complain(line: str, status: int) -> int:
    print(f"medsegdiff: {line}", file=sys.stderr)
    return status
