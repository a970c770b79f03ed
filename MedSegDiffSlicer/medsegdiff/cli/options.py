"""Options that several sub-commands share."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence

from ..inference.ensemble_request import request_for
from ..inference.request import PLANES, PRECISIONS, QUALITY, SAMPLERS, VARIANTS, SegmentRequest
from ..models.store import DEFAULT_MODEL
from ..uncertainty.rules import FUSIONS, MEASURES



def add_common_options(parser: argparse.ArgumentParser) -> None:
    """--quiet and --debug."""
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def add_models_option(parser: argparse.ArgumentParser) -> None:
    """-m, once or several times."""
    parser.add_argument("-m", "--model", required=True, action="append", metavar="MODEL",
                        help=f"name or folder of a model or ensemble, for example {DEFAULT_MODEL}; "
                             "several models (-m A -m B) are all asked")  # fmt: skip


def add_request_options(parser: argparse.ArgumentParser) -> None:
    """Every option of a SegmentRequest but the model."""
    group = parser.add_argument_group("how to segment (default: what the model recommends)")
    group.add_argument("--samples", type=_numbers(int), metavar="N [N ...]",
                       help="opinions to draw; several: of each model")  # fmt: skip
    group.add_argument("--steps", type=int, metavar="K", help="denoising steps of each sample")
    group.add_argument("--sampler", choices=SAMPLERS, help="how noise is turned into a segmentation")
    group.add_argument("--eta", type=float, default=0.0, metavar="E", help="fresh noise in ddim, 0 - 1 (default 0)")
    group.add_argument(
        "--truncation",
        type=float,
        default=1.0,
        metavar="F",
        help="walk this share of the diffusion, from a noised first guess (default 1: from pure noise)",
    )
    group.add_argument("--guess", metavar="MODEL", help="model that makes the first guess (default: the model itself)")
    group.add_argument("--seed", type=int, default=0, metavar="S", help="same seed, same result (default 0)")
    group.add_argument("--fusion", choices=FUSIONS, default="mean", help="how opinions become one (default mean)")
    group.add_argument("--threshold", type=float, metavar="T",
                       help="foreground where its probability reaches T (default: the likeliest label)")  # fmt: skip
    group.add_argument("--tta", action=argparse.BooleanOptionalAction, help="also ask for opinions on a mirrored copy")
    group.add_argument("--variants", type=lambda text: tuple(text.split(",")), metavar="V [V ...]",
                       help=f"changed copies of the image to ask about, too: {', '.join(VARIANTS)}")  # fmt: skip
    group.add_argument("--mc-dropout", action="store_true",
                       help="opinions of thinned networks (Monte-Carlo dropout), where they have dropout")  # fmt: skip
    group.add_argument("--weights", type=_weights, metavar="W [W ...]",
                       help=f"what each model counts: numbers, or '{QUALITY}': by its Dice in validation "
                            "(default: the same)")  # fmt: skip
    group.add_argument("--settle", type=float, metavar="E",
                       help="ask no more once an opinion changes the mask by less than E "
                            "(1 - Dice, twice in a row)")  # fmt: skip
    group.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda, cuda:I or mps (default auto)")
    group.add_argument("--precision", choices=PRECISIONS, default="auto", help="number format (default auto)")
    group.add_argument("--overlap", type=float, default=0.125, metavar="F",
                       help="share of a tile that its neighbour covers too, 0 - 0.9 (default 0.125)")  # fmt: skip
    group.add_argument("--missing", type=lambda text: tuple(text.split(",")), default=(), metavar="C[,C...]",
                       help="channels of the model that there is no image of, where it can do without")  # fmt: skip
    group.add_argument("--plane", choices=PLANES,
                       help="slices that a 2D model looks at (default: as it was trained)")  # fmt: skip
    group.add_argument("--tile", type=int, metavar="V", help="edge of a tile in voxels (default: what fits)")
    group.add_argument("--sample-batch", type=int, metavar="B", help="samples computed at once (default: what fits)")


def add_volume_options(parser: argparse.ArgumentParser, where: str) -> None:
    """Optional outputs. `where` says in the help how the names are understood."""
    group = parser.add_argument_group(f"more outputs{where}")
    group.add_argument("--probability", metavar="P.nrrd", help="probability of each label, background first")
    group.add_argument("--uncertainty", metavar="U.nrrd", help="where the opinions disagree")
    group.add_argument("--measure", choices=MEASURES, default="entropy", help="kind of uncertainty (default entropy)")
    group.add_argument("--label", metavar="NAME", help="measure of this structure alone (default: over all labels)")
    group.add_argument("--normalised", action="store_true",
                       help="measure beyond what is usual at that distance from a boundary")  # fmt: skip
    group.add_argument("--samples-out", metavar="S.nrrd", help="one label map a sample")
    group.add_argument(
        "--alternatives-out",
        metavar="A.nrrd",
        help="one label map for each distinct alternative among the samples, the likeliest first",
    )
    group.add_argument("--preview", metavar="V.png", help="picture: slices with contours and uncertainty")


def request_from(args: argparse.Namespace) -> SegmentRequest:
    """The request that the arguments describe, see ensemble_request. Raises RequestError where a value is out of its
    range, or an ensemble cannot be asked."""
    names = ("samples", "steps", "sampler", "eta", "truncation", "guess", "seed", "fusion", "threshold", "tta",
             "device", "precision", "overlap", "tile", "sample_batch", "plane", "variants", "weights", "settle",
             "missing")  # fmt: skip
    models = [args.model] if isinstance(args.model, str) else args.model
    return request_for(models, dropout=args.mc_dropout, **{name: getattr(args, name) for name in names})


def join_lists(arguments: Sequence[str]) -> list[str]:
    """The arguments with `--samples 8 4` written as `--samples 8,4`, so that an INPUT may follow: after the first one,
    what names a file or folder that exists is none of the list. `--normalization -175,250,...` is written with `=`, as
    argparse would take what begins with a minus for an option."""
    joined: list[str] = []
    goes_on = None  # whether an argument belongs to the list in hand
    for argument in arguments:
        first = bool(joined) and joined[-1] in _LISTS
        if argument in _LISTS:
            goes_on = _LISTS[argument]
        elif goes_on and not (goes_on(argument) and (first or not os.path.exists(argument))):
            goes_on = None
        if joined and joined[-1] == "--normalization" and re.match(r"-[\d.]", argument):
            joined[-1] += f"={argument}"
        elif goes_on and argument not in _LISTS and not first:
            joined[-1] += f",{argument}"
        else:
            joined.append(argument)
    return joined


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()


def _is_name(text: str) -> bool:
    """Whether it may name a channel: no option, no path."""
    return not re.match("-", text) and not re.search(r"[/\\]|\.[a-zA-Z]", text)


_LISTS = {"--samples": _is_number, "--weights": _is_number, "--variants": VARIANTS.__contains__, "--missing": _is_name}


def _numbers(kind: type) -> Callable[[str], tuple]:
    def read(text: str) -> tuple:
        try:
            return tuple(kind(part) for part in text.split(","))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no number, nor several") from None

    return read


def _weights(text: str) -> str | tuple[float, ...]:
    return text if text == QUALITY else _numbers(float)(text)
