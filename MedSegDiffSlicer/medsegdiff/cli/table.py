"""Small tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..image.volume_text import in_ml


def format_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns of text; the first is aligned left, the others right."""
    cells = [[str(c) for c in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = ["  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))).rstrip()
             for row in cells]  # fmt: skip
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def format_segments(segments: Sequence[dict[str, Any]]) -> str:
    """The segments of a report: volumes with intervals, agreement of the samples, expected Dice or why there is none.

    Where there is none, the interval was not calibrated for such a case either, and has parentheses.
    """
    rows, reasons, doubtful = [], {}, False
    for segment in segments:
        low, high = segment["volume_interval_mm3"]
        # a single opinion, not calibrated
        interval = "-" if low == high > 0 else f"{in_ml(low)} - {in_ml(high)}"
        if segment["expected_dice_withheld"] and interval != "-":
            interval, doubtful = f"({interval})", True
        rows.append((segment["name"], in_ml(segment["volume_mm3"]), interval,
                     _number(segment["sample_agreement"]), _number(segment["expected_dice"])))  # fmt: skip
        if why := segment["expected_dice_withheld"]:
            reasons.setdefault(why, []).append(segment["name"])
    table = format_table(("structure", "volume, ml", "95 % interval", "agreement", "expected Dice"), rows)
    notes = [f"no expected Dice of {', '.join(names)}: {why}" for why, names in reasons.items()]
    if doubtful:
        notes.append("(interval): not calibrated for this, it may miss the volume more often than in 5 %")
    return "\n".join([table, *notes])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
