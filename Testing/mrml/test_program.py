"""Programs beside Slicer: what they print is told, and they end with all that they started."""

from __future__ import annotations

import os
import sys
import time

import pytest
from MedSegDiffSlicerLib.setup.program import Program


def pump_until(program: Program, condition) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < 60
        program.pump()
        time.sleep(0.01)


def test_lines_and_exit_status_are_told():
    lines, ended = [], []
    program = Program(
        [sys.executable, "-c", "print('one'); print('two'); raise SystemExit(3)"], lines.append, ended.append
    )
    pump_until(program, lambda: ended)
    program.pump()
    assert (lines, ended) == (["one", "two"], [3])


@pytest.mark.skipif(os.name == "nt", reason="looks for processes as POSIX does")
def test_a_killed_program_takes_its_children_along():
    child = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)']); "
    lines, ended = [], []
    program = Program([sys.executable, "-u", "-c", child + "print(p.pid); p.wait()"], lines.append, ended.append)
    pump_until(program, lambda: lines)
    program.kill()
    program.pump()
    assert ended == []
    began = time.monotonic()
    while is_running(int(lines[0])):
        assert time.monotonic() - began < 10
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_that_is_not_there_is_an_error():
    with pytest.raises(OSError):
        Program(["/no/such/program"], print, print)
