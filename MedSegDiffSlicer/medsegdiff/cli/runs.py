"""Options of the runs that medsegdiff evaluate compares."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ..errors import RequestError
from ..inference.ensemble_request import request_for
from .options import add_request_options, join_lists, request_from

if TYPE_CHECKING:
    from ..evaluation.model_quality import Run
    from ..inference.request import SegmentRequest


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a --compare."""

    def error(self, message: str) -> NoReturn:
        raise RequestError(f"--compare: {message}")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Every option of a request but the models. The parser's conflict_handler has to be "resolve"."""
    add_request_options(parser)
    group = parser.add_argument_group("what to compare")
    group.add_argument("--steps", metavar="K[,K...]",
                       help="denoising steps of each sample, several to compare (default: the model's)")  # fmt: skip
    group.add_argument("--uncalibrated", action="store_true", help="leave the models' calibration out")


def run_options_given(args: argparse.Namespace) -> list[str]:
    """The options of add_run_options that are not what they are when nobody gives them."""
    parser = argparse.ArgumentParser(add_help=False, conflict_handler="resolve")
    add_run_options(parser)
    usual = vars(parser.parse_args([]))
    return [f"--{name.replace('_', '-')}" for name, value in usual.items() if getattr(args, name) != value]


def runs_from(args: argparse.Namespace) -> list[Run]:
    """One run for each number of steps, of the options themselves and of each --compare. Raises RequestError where one
    cannot be understood."""
    runs = _runs(args)
    for text in args.compare:
        parser = _Parser(prog="--compare", add_help=False, conflict_handler="resolve")
        parser.add_argument("model", nargs="+", metavar="MODEL")
        add_run_options(parser)
        try:
            words = join_lists(shlex.split(text))
        except ValueError as error:
            raise RequestError(f"--compare {text}: {error}") from None
        runs += _runs(parser.parse_args(words))
    return runs


def _runs(args: argparse.Namespace) -> list[Run]:
    from ..evaluation.model_quality import Run

    requests = []
    for steps in _steps(args.steps):
        one = copy(args)
        one.steps = steps
        requests.append(request_from(one))
    models = [args.model] if isinstance(args.model, str) else args.model
    usual = request_for(models[:1])
    return [
        Run(_name(models, request, usual, args.uncalibrated), request, not args.uncalibrated) for request in requests
    ]


def _name(models: Sequence[str], request: SegmentRequest, usual: SegmentRequest, uncalibrated: bool) -> str:
    """The models, and the options that are not their usual ones (steps have a column of their own)."""
    usual, parts = usual.to_dict(), [" + ".join(Path(model).name for model in models)]
    for name, value in request.to_dict().items():
        if value != usual[name] and name not in ("others", "steps", "device", "precision"):
            told = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
            parts.append(name if value is True else f"no {name}" if value is False else f"{name} {told}")
    return ", ".join(parts + ["uncalibrated"] * uncalibrated)


def _steps(text: str | None) -> list[int | None]:
    if text is None:
        return [None]
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise RequestError(f"--steps {text}: give whole numbers with commas between, for example 1,2,4,8") from None
