"""Timers of Qt that end with a widget: one without an owner keeps what it calls for good, as PythonQt holds on to
it."""

from __future__ import annotations

from collections.abc import Callable

import qt


def once(owner: qt.QWidget, milliseconds: int, slot: Callable[[], None]) -> qt.QTimer:
    """Calls slot() so long after each start; another start in between puts it off."""
    timer = every(owner, milliseconds, slot)
    timer.setSingleShot(True)
    return timer


def every(owner: qt.QWidget, milliseconds: int, slot: Callable[[], None]) -> qt.QTimer:
    """Calls slot() again and again from its start to its stop."""
    timer = qt.QTimer(owner)
    timer.setInterval(milliseconds)
    timer.connect("timeout()", slot)
    return timer
