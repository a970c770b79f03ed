"""The benchmark's report as a Markdown table that is readable as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .extent import DEFAULT_STEPS

Row = dict[str, Any]

_TITLES = {
    "masks": "one mask",
    "samples": f"number of samples, {DEFAULT_STEPS} steps",
    "volume": f"size of the volume, 1 sample, {DEFAULT_STEPS} steps",
    "labels": f"number of labels, random weights, {{samples}} samples, {DEFAULT_STEPS} steps",
    "peers": "other programs, 1 sample of {peer_steps} DDIM steps, 64 x 64 x 16 voxels",
}
_FIGURES: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("seconds", lambda row: _number(row["seconds"]["median"], 3)),
    ("times the first", lambda row: _number(row["ratio"], 2)),
    ("ms an evaluation", lambda row: _number(1000 * row["seconds_per_evaluation"], 1)),
    ("end-to-end / network", lambda row: _number(row["overhead"], 3)),
    ("peak memory, MB", lambda row: _number(row["peak_memory_bytes"], 0, 1e-6)),
)


def as_markdown(report: dict[str, Any]) -> str:
    """The machine, the table, what it amounts to, and what was not measured."""
    several = len(_devices(report)) > 1
    lines = [_growth(entry) + _on(entry, several) for entry in report["growth"] if entry["exponent"] is not None]
    lines += [_target(entry, _on(entry, several)) for entry in report["targets"]]
    lines += report["notes"]
    head, said = _machine(report["machine"], report["extent"]), "\n".join(f"- {line}" for line in lines)
    return f"{head}\n\n{_table(report)}\n\n{said}"


def _machine(machine: dict[str, Any], extent: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    gpus = "".join(f", {name}" for name in machine["gpus"])
    rounds = f"medians of {extent['rounds']} rounds ({extent['growth_rounds']} below the masks) that take turns"
    return f"{machine['cpu']}, cores: {machine['cores']}, threads: {machine['threads']}{gpus}; {versions}; {rounds}"


def _devices(report: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["device"] for row in report["rows"]))


def _table(report: dict[str, Any]) -> str:
    devices = _devices(report)
    suffixes = [f", {device}" if len(devices) > 1 else "" for device in devices]
    titles = [title + suffix for suffix in suffixes for title, _ in _FIGURES]
    header = ["", "network evaluations", *titles, report["quality"]]
    lines: dict[tuple[str, str], dict[str, Row]] = {}
    for row in report["rows"]:
        lines.setdefault((row["part"], row["what"]), {})[row["device"]] = row
    cells, part = [header], None
    for (current, what), by_device in lines.items():
        if current != part:
            part = current
            cells.append([f"**{_TITLES[part].format(**report['extent'])}**", *[""] * (len(header) - 1)])
        row = next(iter(by_device.values()))
        parameters = f", {row['parameters'] / 1e6:.1f} M parameters" if "parameters" in row else ""
        figures = [write(by_device[d]) if d in by_device else "-" for d in devices for _, write in _FIGURES]
        cells.append([what + parameters, str(row["network_evaluations"]), *figures, _number(row["quality"], 4)])
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lined = []
    for line in (header, rule, *cells[1:]):
        aligned = [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))]
        lined.append(f"| {' | '.join(aligned)} |")
    return "\n".join(lined)


def _growth(entry: dict[str, Any]) -> str:
    base = {"volume": "voxels", "samples": "samples", "labels": "labels"}[entry["part"]]
    return f"time grows as {base}^{entry['exponent']:.2f}, from {entry['from']} to {entry['to']} {base}"


def _target(entry: dict[str, Any], where: str) -> str:
    verdict = "met" if entry["met"] else "missed"
    return f"{entry['what']}{where}: {entry['measured']:.3f}, wanted {entry['wanted']}: {verdict}"


def _on(entry: dict[str, Any], several: bool) -> str:
    return f" ({entry['device']})" if several else ""


def _number(value: float | None, digits: int, scale: float = 1.0) -> str:
    return "-" if value is None else f"{value * scale:.{digits}f}"
