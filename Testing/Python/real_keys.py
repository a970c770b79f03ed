"""Keys as the X server sends them, which go through Qt's shortcuts and the focus as a user's do."""

from __future__ import annotations

import ctypes
import time
import unittest

import slicer


class Keyboard:
    """Types into the main window. Skips the test where there is no X server with the extension XTEST."""

    def __init__(self):
        try:
            self._x, self._test = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libXtst.so.6")
        except OSError as error:
            raise unittest.SkipTest(f"no keys can be sent: {error}") from error
        self._x.XOpenDisplay.restype = ctypes.c_void_p
        self._x.XStringToKeysym.restype = ctypes.c_ulong
        self._x.XKeysymToKeycode.argtypes = [ctypes.c_void_p, ctypes.c_ulong]
        self._x.XSetInputFocus.argtypes = [ctypes.c_void_p, ctypes.c_ulong, ctypes.c_int, ctypes.c_ulong]
        self._x.XFlush.argtypes = self._x.XCloseDisplay.argtypes = [ctypes.c_void_p]
        self._test.XTestFakeKeyEvent.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_ulong]
        self._display = self._x.XOpenDisplay(None)
        if not self._display:
            raise unittest.SkipTest("no keys can be sent: there is no X server")
        window = slicer.util.mainWindow()
        window.activateWindow()
        self._live()
        self._x.XSetInputFocus(self._display, window.winId(), 1, 0)  # no window manager does that here
        self._live()

    def press(self, name: str, held: str = "") -> None:
        """Presses and releases a key, by its X name ("n"), while another one is held ("Control_L"), and lets the
        application answer."""
        codes = [
            self._x.XKeysymToKeycode(self._display, self._x.XStringToKeysym(key.encode()))
            for key in (held, name)
            if key
        ]
        for code, down in [*((code, 1) for code in codes), *((code, 0) for code in reversed(codes))]:
            self._test.XTestFakeKeyEvent(self._display, code, down, 0)
        self._live()

    def close(self) -> None:
        """Gives the connection up."""
        self._x.XCloseDisplay(self._display)

    def _live(self) -> None:
        self._x.XFlush(self._display)
        for _ in range(30):
            slicer.app.processEvents()
            time.sleep(0.01)
