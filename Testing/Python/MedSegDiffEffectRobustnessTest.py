"""What ends a run of the Segment Editor effect midway, and what makes its opinions void, in the real application."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from unittest.mock import Mock, patch

import numpy as np
import slicer
from effect_case import EffectCase
from in_slicer import node_ids, screenshot, turn_until
from medsegdiff.models.package import Label


class MedSegDiffEffectRobustnessTest(EffectCase):
    def test_cancel_leaves_nothing(self):
        before = node_ids()
        self.start_long_run()
        screenshot("effect-running")
        self.ui.cancel.click()
        self.assertFalse(self.session.running)
        self.assertEqual(self.props(), [])
        self.assertEqual(node_ids(), before)
        self.assertTrue(self.ui.run.enabled and not self.ui.apply.enabled)

    def test_one_installation_at_a_time_and_cancel_ends_it(self):
        from MedSegDiffSlicerLib.setup import dependencies, packages_gate

        programs = []
        self.addCleanup(slicer.app.userSettings().remove, "MedSegDiff/UnfinishedInstallation")
        with (
            patch.object(dependencies, "missing", lambda: ["monai"]),
            patch.object(packages_gate, "Program", lambda *told: programs.append(Mock(ended=False)) or programs[-1]),
            patch("slicer.util.confirmOkCancelDisplay", return_value=True),
        ):
            self.ui.run.click()
            self.assertEqual((len(programs), self.ui.run.enabled, self.ui.cancel.enabled), (1, False, True))
            self.controller.onRun()
            other = packages_gate.PackagesGate(lambda text, isError=False: told.append(text), lambda: None)
            told = []
            other.ensure(lambda: told.append("done"))
            self.assertEqual((len(programs), len(told)), (1, 1))
            self.assertIn("wait until that has ended", told[0])
            self.ui.cancel.click()
            programs[0].kill.assert_called_once()
            self.assertEqual((self.ui.run.enabled, self.ui.cancel.enabled), (True, False))
            self.assertIn("when you press Run again", self.ui.message.text)
            programs[0].ended = True
            slicer.app.processEvents()

    def kill_worker(self) -> None:
        os.killpg(slicer.util.getModuleLogic("MedSegDiffSlicer").workerPid, signal.SIGKILL)
        turn_until(lambda: self.session.error is not None)
        self.assertIn("ended unexpectedly", self.ui.message.text)

    def test_error_of_a_new_run_is_over_once_the_opinions_are_applied(self):
        self.run_and_wait(16)  # so that the new run is still under way when its worker is killed
        self.session.add_clicks([(*self.place_of(np.argwhere(self.session.labelmap == 0)[0]), 1)])
        self.settle()  # the new run begins once the click is answered
        self.kill_worker()
        self.ui.apply.click()
        self.assertIn("2 segment(s) written", self.ui.message.text)

    def test_structures_of_a_run_that_failed_are_not_offered_for_another_model(self):
        self.start_long_run()
        self.kill_worker()
        other = SimpleNamespace(name="other", foreground=[Label(1, "liver", (1, 2, 3))], sampling={"samples": 3})
        self.ui.listModels([other])
        self.assertEqual([self.ui.structure.itemText(n) for n in range(self.ui.structure.count)], ["liver"])
        self.assertEqual((self.ui.samples.value, self.ui.steps.value), (3, 1), "as that model wants to be asked")
        effect = self.editor.activeEffect()
        self.assertEqual((effect.parameter("Model"), effect.parameter("Samples")), ("other", "3"))

    def test_other_effect_midway_leaves_nothing(self):
        before = node_ids()
        self.start_long_run()
        self.editor.setActiveEffectByName("Paint")
        self.assertFalse(self.session.running)
        self.assertEqual(self.props(), [])
        self.assertEqual(node_ids(), before)
        self.editor.setActiveEffectByName("MedSegDiff")
        self.run_and_wait(2)

    def test_deleting_the_volume_midway(self):
        self.start_long_run()
        slicer.mrmlScene.RemoveNode(self.volume)
        turn_until(lambda: not self.session.running)
        self.assertEqual(self.props(), [])

    def test_deleting_the_segmentation_midway(self):
        self.start_long_run()
        slicer.mrmlScene.RemoveNode(self.segmentation)
        self.ui.cancel.click()
        turn_until(lambda: not self.session.running)
        self.assertEqual(self.props(), [])

    def test_closing_the_scene_midway(self):
        self.start_long_run()
        slicer.mrmlScene.Clear(0)
        turn_until(lambda: not self.session.running)
        self.assertEqual(self.props(), [])

    def test_changing_the_voxels_discards_the_opinions(self):
        self.run_and_wait(2)
        slicer.util.arrayFromVolume(self.volume)[:] += 1
        slicer.util.arrayFromVolumeModified(self.volume)
        turn_until(lambda: self.session.result is None)
        self.assertIn("has changed since the run", self.ui.message.text)

    def test_changing_the_voxels_stops_a_run(self):
        self.start_long_run()
        slicer.util.arrayFromVolume(self.volume)[:] += 1
        slicer.util.arrayFromVolumeModified(self.volume)
        turn_until(lambda: not self.session.running, 10)  # a small part of the run
        self.assertIn("has changed since the run", self.ui.message.text)
        self.run_and_wait(2)

    def test_another_source_volume_discards_the_opinions(self):
        self.run_and_wait(2)
        other = slicer.modules.volumes.logic().CloneVolume(self.volume, "other")
        self.editor.setSourceVolumeNode(other)
        self.assertIsNone(self.session.result)
        self.assertEqual(self.props(), [])
