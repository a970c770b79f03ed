"""Which devices there are, and why there is no GPU where there is none; as plain data, for those without torch."""

from __future__ import annotations

import torch

from .device import choose_devices


def report_devices() -> dict:
    """What "auto" would run on.

    {"torch": version, "kind": "cuda" | "mps" | "cpu", "names": [of the devices], "memory": [bytes each],
    "reason": why no GPU: "cpu-build" | "no-driver" | "old-driver" | "no-gpu", else "", "details": torch's words}.
    """
    devices = choose_devices("auto")
    kind = devices[0].type
    told = {"torch": torch.__version__, "kind": kind, "names": [], "memory": [], "reason": "", "details": ""}
    if kind == "cuda":
        found = [torch.cuda.get_device_properties(device) for device in devices]
        return {**told, "names": [each.name for each in found], "memory": [each.total_memory for each in found]}
    if kind == "mps":
        return told
    reason, details = _why_no_gpu()
    return {**told, "reason": reason, "details": details}


def _why_no_gpu() -> tuple[str, str]:
    if torch.version.cuda is None and getattr(torch.version, "hip", None) is None:
        return "cpu-build", ""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        text = str(error)
        known = {"too old": "old-driver", "no nvidia driver": "no-driver"}
        return next((reason for words, reason in known.items() if words in text.lower()), "no-gpu"), text
    return "no-gpu", ""
