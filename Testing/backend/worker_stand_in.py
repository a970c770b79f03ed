"""A worker whose work is a few lines, to test the process boundary alone: python -m worker_stand_in.

The request's seed says how it behaves: see `run`.
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np

from medsegdiff.errors import Cancelled, RequestError
from medsegdiff.inference.progress import Progress
from medsegdiff.inference.result import SegmentResult
from medsegdiff.models.package import Label
from medsegdiff.uncertainty.accumulator import OpinionAccumulator
from medsegdiff.uncertainty.packing import pack_labelmap
from medsegdiff.worker.server import Server

OBEYING, DEAF, REFUSING, FAILING, DYING, PRINTING = 1, 2, 3, 4, 5, 6


def run(request, image, progress, cancelled, hear) -> SegmentResult:
    """Thresholds the image at its mean; its opinions on the way are at higher and higher values."""
    if request.seed == REFUSING:
        raise RequestError("refused; choose another image")
    if request.seed == FAILING:
        raise ZeroDivisionError("a fault of the engine")
    if request.seed == DYING:
        print("last words", file=sys.stderr, flush=True)
        os.abort()
    if request.seed == PRINTING:
        print('{"type": "result", "job": 1}')
        os.write(1, b'{"stray": "bytes"}\n')
        os.system("echo from a child")
    opinions = OpinionAccumulator(2, image.shape)
    for step in range(300 if request.seed in (OBEYING, DEAF) else 3):
        if hear is not None:
            opinion = (image.array[0] > image.array[0].mean() + 100 * step).astype(np.uint8)
            opinions.add(np.stack([1.0 - opinion, opinion]).astype(np.float32), opinion)
            hear(opinions)
        progress(Progress(step / 3, f"step {step}", None))
        if cancelled() and request.seed != DEAF:
            raise Cancelled
        time.sleep(0.05)
    labelmap = (image.array[0] > image.array[0].mean()).astype(np.uint8)
    probability = np.stack([1.0 - labelmap, labelmap]).astype(np.float32)
    zeros = np.zeros(labelmap.shape, np.float32)
    packed = pack_labelmap(labelmap, 2)[np.newaxis]
    report = {"pid": os.getpid(), "segments": [], "channels": image.channel_names}
    report |= {name: getattr(image, name) for name in ("placed", "notes", "missing", "modalities")}
    return SegmentResult(
        labelmap, probability, packed, np.ones(1), zeros, zeros, image.affine, (Label(1, "bright"),), {}, report
    )


if __name__ == "__main__":
    print('{"from": "a launcher"}', "[1]", "{broken}", sep="\n", flush=True)  # before the worker takes its streams
    Server(run).serve()
