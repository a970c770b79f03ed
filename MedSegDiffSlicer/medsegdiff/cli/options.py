"""Options that several sub-commands share."""

from __future__ import annotations

import argparse

from ..inference.request import PLANES, PRECISIONS, SAMPLERS, SegmentRequest
from ..uncertainty.rules import FUSIONS, MEASURES

DEFAULT_MODEL = "hippocampus-medsegdiff"


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """--quiet and --debug."""
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def add_request_options(parser: argparse.ArgumentParser) -> None:
    """Every option of a SegmentRequest but the model."""
    group = parser.add_argument_group("how to segment (default: what the model recommends)")
    group.add_argument("--samples", type=int, metavar="N", help="opinions to draw")
    group.add_argument("--steps", type=int, metavar="K", help="denoising steps of each sample")
    group.add_argument("--sampler", choices=SAMPLERS, help="how noise is turned into a segmentation")
    group.add_argument("--eta", type=float, default=0.0, metavar="E", help="fresh noise in ddim, 0 - 1 (default 0)")
    group.add_argument("--truncation", type=float, default=1.0, metavar="F",
                       help="walk this share of the diffusion, from a noised first guess (default 1: from pure noise)")  # fmt: skip
    group.add_argument("--guess", metavar="MODEL", help="model that makes the first guess (default: the model itself)")
    group.add_argument("--seed", type=int, default=0, metavar="S", help="same seed, same result (default 0)")
    group.add_argument("--fusion", choices=FUSIONS, default="mean", help="how opinions become one (default mean)")
    group.add_argument("--threshold", type=float, metavar="T",
                       help="foreground where its probability reaches T (default: the likeliest label)")  # fmt: skip
    group.add_argument("--tta", action=argparse.BooleanOptionalAction, help="also ask for opinions on a mirrored copy")
    group.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda, cuda:I or mps (default auto)")
    group.add_argument("--precision", choices=PRECISIONS, default="auto", help="number format (default auto)")
    group.add_argument("--overlap", type=float, default=0.125, metavar="F",
                       help="share of a tile that its neighbour covers too, 0 - 0.9 (default 0.125)")  # fmt: skip
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
    group.add_argument("--samples-out", metavar="S.nrrd", help="one label map a sample")
    group.add_argument("--preview", metavar="V.png", help="picture: slices with contours and uncertainty")


def request_from(args: argparse.Namespace) -> SegmentRequest:
    """The request that the arguments describe. Raises RequestError where a value is out of its range."""
    names = ("model", "samples", "steps", "sampler", "eta", "truncation", "guess", "seed", "fusion", "threshold",
             "tta", "device", "precision", "overlap", "tile", "sample_batch", "plane")  # fmt: skip
    return SegmentRequest(**{name: getattr(args, name) for name in names})
