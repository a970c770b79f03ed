"""The arrays of a result in the order and layout that nodes want them; without Slicer, so that a thread can make
them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from medsegdiff.inference.result import SegmentResult
from medsegdiff.uncertainty.aggregation import bounding_box
from medsegdiff.uncertainty.likeliest import LikeliestLabels
from medsegdiff.uncertainty.map_range import Span
from medsegdiff.uncertainty.packing import unpack_labelmap


PATIENCE = 0.01  # seconds that an item is waited for


@dataclass(frozen=True)
class Part:
    """One array of a result.

    kind: "map" (name: the measure), "probability" (name: the label's), "sample" (name: its number) or "labelmap".
    array: (I, J, K) of its own, in Fortran order, which is VTK's; of the label map the part that holds all structures.
    start: the first voxel of that part.  span: of a map, the values that its colours span.
    """

    kind: str
    name: str
    array: np.ndarray
    start: tuple[int, int, int] = (0, 0, 0)
    span: Span | None = None


def parts_of(
    result: SegmentResult, measures: Sequence[str], probabilities: bool = True, samples: bool = True
) -> Iterator[Part]:
    """The arrays one by one; the label map is the last. Images too large for the probabilities of all labels have no
    maps of these."""
    for measure in measures:
        values = np.array(result.uncertainty(measure), order="F")
        yield Part("map", measure, values, span=result.span(measure, values))
    if probabilities and not isinstance(result.probability, LikeliestLabels):
        for label in result.labels:
            yield _part("probability", label.name, result.probability[label.value])
    if samples:
        for number, bits in enumerate(result.packed_samples, 1):
            yield _part("sample", str(number), unpack_labelmap(bits, result.labelmap.shape))
    box = bounding_box(result.labelmap > 0, 1)
    if box[0].start == box[0].stop:
        box = (slice(0, 1),) * 3
    start = tuple(side.start for side in box)
    yield Part("labelmap", "", np.array(result.labelmap[box], order="F"), start)


def _part(kind: str, name: str, array: np.ndarray) -> Part:
    return Part(kind, name, np.array(array, order="F"))


class ReadAhead:
    """Runs an iterator in a thread, at most two items ahead of who takes them."""

    def __init__(self, items: Iterator):
        self._ready: queue.Queue = queue.Queue(maxsize=2)
        self._stop = threading.Event()
        threading.Thread(target=self._run, args=(items,), daemon=True).start()

    def take(self):
        """The next item, None where it is not ready yet. Raises what the iterator raised.

        Waits a moment: in Slicer's event loop the thread has Python only while the GUI's thread waits for it.
        """
        try:
            item = self._ready.get(timeout=PATIENCE)
        except queue.Empty:
            return None
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        """Ends the thread."""
        self._stop.set()

    def _run(self, items: Iterator) -> None:
        try:
            for item in items:
                self._put(item)
                if self._stop.is_set():
                    return
        except Exception as error:  # whatever it is, who takes the items gets it
            self._put(error)

    def _put(self, item) -> None:
        while not self._stop.is_set():
            try:
                self._ready.put(item, timeout=0.1)
                return
            except queue.Full:
                continue
