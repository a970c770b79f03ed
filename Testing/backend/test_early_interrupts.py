"""Ctrl-C while the command is still starting: one line, the status of a failed job, no traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # comes with pytest

# The signal comes when the module is looked for that the first argument names; then the command starts.
INTERRUPTING = """
import importlib, runpy, signal, sys
_, module, number, entry = sys.argv
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            signal.raise_signal(int(number))
sys.meta_path.insert(0, Interrupting())
sys.argv[1:] = ["models", "list"]
if ":" in entry:
    name, function = entry.split(":")
    sys.exit(getattr(importlib.import_module(name), function)())
runpy.run_module(entry, run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "module", ["argparse", "medsegdiff.cli.main", "medsegdiff.cli.batch", "medsegdiff.models.package"]
)
@pytest.mark.parametrize("installed", [False, True])
def test_an_interrupt_between_the_imports(project_root: Path, subprocess_environment, number, module, installed):
    settings = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))
    entry = settings["project"]["scripts"]["medsegdiff"] if installed else "medsegdiff"
    command = [sys.executable, "-c", INTERRUPTING, module, str(int(number)), entry]
    done = subprocess.run(command, env=subprocess_environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "medsegdiff: interrupted; nothing was written\n")
