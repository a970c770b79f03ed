"""python -m medsegdiff.worker.probe: prints which devices there are, as one line of JSON, for a caller without
torch."""

from __future__ import annotations

import json
import sys

if __name__ == "__main__":
    try:
        from ..inference.device_report import report_devices
    except ImportError as error:
        json.dump(
            {"torch": None, "kind": "cpu", "names": [], "memory": [], "reason": "no-torch", "details": str(error)},
            sys.stdout,
        )
    else:
        json.dump(report_devices(), sys.stdout)
    print(flush=True)
