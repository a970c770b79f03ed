"""Options of 'models import' for models that do not tell all: a network's published weights, and bundles."""

from __future__ import annotations

import argparse
import json
from typing import Any

NAMES = ("network", "labels", "spacing", "normalization", "modality", "orientation", "arguments", "source")


def add_weights_options(parser: argparse.ArgumentParser) -> None:
    """Those of models.state_dicts.write_state_dict."""
    group = parser.add_argument_group("what published weights, and some bundles, do not tell")
    group.add_argument("--network", metavar="NAME", 
                       help="PATH holds weights of stu_net, pct_net (MIS-FM), transunet or swin_unetr")  # fmt: skip
    group.add_argument("--labels", type=lambda text: text.split(","), metavar="A,B,...", help="names of the structures")
    group.add_argument("--spacing", type=_numbers, metavar="X,Y,Z", help="voxel size in mm of the images in training")
    group.add_argument("--normalization", type=_normalization, metavar="HOW",
                       help="of grey values: zscore, percentile, none, ..., or low,high,mean,deviation")  # fmt: skip
    group.add_argument("--modality", metavar="M", help="of the image's channels: CT, MR, ...")
    group.add_argument("--orientation", metavar="RAS", help="of the arrays it takes (default: as in its code)")
    group.add_argument("--arguments", type=_object, metavar="JSON",
                       help='of the network, as {"strides": [[1, 2, 2], 2, 2, 2, 2]}')  # fmt: skip
    group.add_argument("--source", metavar="TEXT", help="where the weights are from")


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not numbers with commas between them") from None


def _normalization(text: str) -> str | dict[str, float]:
    if "," not in text:
        return text
    numbers = _numbers(text)
    if len(numbers) != 4:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a name nor low,high,mean,deviation")
    return dict(zip(("low", "high", "mean", "deviation"), numbers))


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON object")
    return value
