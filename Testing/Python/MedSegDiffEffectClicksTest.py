"""Clicks and keys of the Segment Editor effect, as mouse and keyboard send them, in the real application."""

from __future__ import annotations

import time

import numpy as np
import slicer
import vtk
from effect_case import EffectCase
from in_slicer import screenshot, turn_until
from MedSegDiffSlicerLib.view.shortcuts import Shortcuts
from real_keys import Keyboard


class MedSegDiffEffectClicksTest(EffectCase):
    def test_click_is_answered_and_steers_a_new_run(self):
        self.run_and_wait()
        missing = np.argwhere((self.session.labelmap == 0) & (self.session.result.probability[1] > 0.02))[0]
        place = self.place_of(missing)
        self.ui.structure.currentText = self.session.result.labels[0].name
        began = time.perf_counter()
        self.click_into(place)
        turn_until(lambda: not self.session.computing)
        print(f"MEASURED effect: click answered after {1000 * (time.perf_counter() - began):.0f} ms")
        self.assertEqual(self.session.labelmap[tuple(missing)], 1)
        self.assertEqual(len(self.session.clicks), 1)
        self.assertLess(np.linalg.norm(self.session.clicks[0][:3] - place), 1.0)
        turn_until(lambda: not self.session.running)
        self.assertEqual(self.session.labelmap[tuple(missing)], 1)
        self.click_into(place, shift=True)
        self.settle()
        self.assertEqual(self.session.labelmap[tuple(missing)], 0)
        screenshot("effect-clicks")
        self.ui.undoClick.click()
        self.settle()
        self.assertEqual(self.session.labelmap[tuple(missing)], 1)
        turn_until(lambda: not self.session.running)
        self.ui.cancel.click()
        self.assertEqual(self.session.clicks, ())

    def test_second_of_two_quick_clicks_is_a_click_too(self):
        self.run_and_wait(2)
        self.click_into(self.place_of((20, 20, 20)))
        interactor = slicer.app.layoutManager().sliceWidget("Red").sliceView().interactor()
        interactor.InvokeEvent(vtk.vtkCommand.LeftButtonDoubleClickEvent)
        interactor.InvokeEvent(vtk.vtkCommand.LeftButtonReleaseEvent)
        self.assertEqual(len(self.session.clicks), 2)
        views = [slicer.app.layoutManager().sliceWidget(name) for name in ("Red", "Green", "Yellow")]
        self.assertTrue(all(view.visible for view in views), "no view fills the layout")

    def test_shortcuts_are_there_only_while_the_effect_is(self):
        def keys():
            found = slicer.util.findChildren(slicer.util.mainWindow(), className="QShortcut")
            return sorted(shortcut.key.toString() for shortcut in found)

        active = keys()
        self.editor.setActiveEffect(None)
        slicer.app.processEvents()
        idle = keys()
        self.assertIn("Ctrl+Return", active)
        self.assertNotIn("Ctrl+Return", idle)
        self.assertEqual(len(active) - len(idle), 4)

    def test_a_key_of_two_editors_is_that_of_the_last_one(self):
        keyboard = Keyboard()
        self.addCleanup(keyboard.close)
        self.run_and_wait(1)
        told = []
        other = Shortcuts({"X": lambda: told.append("x")})
        other.install()
        keyboard.press("x")
        self.assertEqual((told, self.ui.notIt.checked), (["x"], False))
        other.remove()
        keyboard.press("x")
        self.assertEqual((told, self.ui.notIt.checked), (["x"], True))
        keyboard.press("x")
        self.assertFalse(self.ui.notIt.checked)

    def test_keys_of_a_keyboard_run_correct_and_apply(self):
        keyboard = Keyboard()
        self.addCleanup(keyboard.close)
        self.ui.samples.value = 2
        keyboard.press("Return", "Control_L")
        turn_until(lambda: not self.session.running, 100)
        self.settle()
        self.assertIsNotNone(self.session.result)
        keyboard.press("x")
        self.assertTrue(self.ui.notIt.checked)
        self.click_into(self.place_of(np.argwhere(self.session.labelmap)[0]))
        self.assertEqual([value for *_place, value in self.session.clicks], [0])
        keyboard.press("x")
        self.assertFalse(self.ui.notIt.checked)
        keyboard.press("BackSpace", "Control_L")
        self.assertEqual(self.session.clicks, ())
        turn_until(lambda: not self.session.running, 100)
        self.settle()
        keyboard.press("Return", "Shift_L")
        self.assertEqual(len(self.segments()), 2)
        keyboard.press("x")
        self.editor.setActiveEffect(None)
        self.assertFalse(self.ui.notIt.checked, "the next clicks are not about these opinions")
        keyboard.press("Return", "Control_L")
        self.assertFalse(self.session.running)
