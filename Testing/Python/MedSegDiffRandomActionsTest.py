"""Random sequences of what users do around the Segment Editor effect: nothing may be lost, left behind or grow.

MEDSEGDIFF_ACTIONS: how many actions (50); MEDSEGDIFF_SEED: of the sequence (0).
"""

from __future__ import annotations

import ctypes
import gc
import os
import random
import signal
import sys
import tempfile
import time
import unittest
from collections import Counter
from pathlib import Path

import slicer
import vtk
from in_slicer import MODEL, ObserverErrors, delete_what_was_given_up, load_sample, turn_until

ACTIONS = int(os.environ.get("MEDSEGDIFF_ACTIONS", "50"))
SEED = int(os.environ.get("MEDSEGDIFF_SEED", "0"))
WORKERS = "medsegdiff.worker"
RARELY = {"do_reload_module": 0.2}  # of developers only
WARM = 100  # actions, after which all that is used is loaded
GROWTH = 1.05  # of memory, from then to the end, each time with the scene closed


class MedSegDiffRandomActionsTest(unittest.TestCase):
    def setUp(self):
        slicer.util.mainWindow().resize(1200, 800)
        self.errors = self.enterContext(ObserverErrors())
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.random, self.done = random.Random(SEED), Counter()
        self.begin()

    def begin(self):
        slicer.mrmlScene.Clear(0)
        load_sample()
        self.enter()

    def enter(self):
        slicer.util.selectModule("SegmentEditor")
        self.editor = slicer.util.getModuleWidget("SegmentEditor").editor
        volume = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if volume and self.editor.sourceVolumeNode() is None:
            self.editor.setSourceVolumeNode(volume[0])
        if self.editor.segmentationNode() is None:
            self.editor.setSegmentationNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode"))
        self.editor.setActiveEffectByName("MedSegDiff")

    @property
    def controller(self):
        effect = self.editor.activeEffect()
        return effect.self().controller if effect and effect.name == "MedSegDiff" else None

    def test_random_actions(self):
        actions = [name for name in dir(self) if name.startswith("do_")]
        memory, weights = [], [RARELY.get(name, 1) for name in actions]
        for number in range(ACTIONS):
            if number == WARM:
                memory.append(self.memory_when_closed())
            (name,) = self.random.choices(actions, weights)
            getattr(self, name)()
            self.done[name] += 1
            for _ in range(self.random.choice((0, 1, 20))):
                slicer.app.processEvents()
            delete_what_was_given_up()
            self.assertEqual(self.errors, [], (number, name))
            self.assertLessEqual(len(workers()), 1, (number, name))
        if self.controller is not None:
            turn_until(lambda: not self.controller.session.running, 200)
        memory.append(self.memory_when_closed())
        told = ", ".join(f"{size / 2**20:.0f} MiB" for size in memory)
        print(f"MEASURED {ACTIONS} random actions, memory with the scene closed {told}; {dict(self.done)}")
        if ACTIONS >= 2 * WARM:
            self.assertLess(memory[1], GROWTH * memory[0])
        slicer.util.getModuleLogic("MedSegDiffSlicer").close()
        turn_until(lambda: not workers())

    def memory_when_closed(self) -> int:
        """Memory of this process in a state that is always alike: nothing is loaded, and freed memory is given back."""
        if self.controller is not None:
            turn_until(lambda: not self.controller.session.running, 200)
        self.editor.setActiveEffect(None)
        slicer.mrmlScene.Clear(0)
        end = time.monotonic() + 0.5
        turn_until(lambda: time.monotonic() > end)
        delete_what_was_given_up()
        gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)
        size = resident_bytes()
        load_sample()
        self.enter()
        return size

    def do_run(self):
        if self.controller is None:
            self.enter()
        self.controller.options.model.currentText = MODEL
        self.controller.options.samples.value = self.random.choice((1, 2, 4))
        self.controller.options.run.click()

    def do_run_to_the_end(self):
        self.do_run()
        turn_until(lambda: not self.controller.session.running, 200)

    def do_cancel(self):
        if self.controller is not None:
            self.controller.options.cancel.click()

    def do_apply(self):
        if self.controller is None or not self.controller.options.apply.enabled:
            return
        labelmap, node = self.controller.session.labelmap, self.editor.segmentationNode()
        self.controller.options.apply.click()
        if node is not None and labelmap.any():
            self.assertGreater(node.GetSegmentation().GetNumberOfSegments(), 0)

    def do_review(self):
        if self.controller is None or not self.controller.options.review.enabled:
            self.do_run_to_the_end()
            self.do_apply()
        self.controller.options.review.click()

    def do_verdict(self):
        docks = slicer.util.findChildren(slicer.util.mainWindow(), name="MedSegDiffReview")
        if docks:
            slicer.util.findChild(docks[0], f"key{self.random.choice('NPKLU')}").click()

    def do_click(self):
        if self.controller is None or self.controller.session.result is None:
            return
        view = slicer.app.layoutManager().sliceWidget(self.random.choice(("Red", "Green", "Yellow"))).sliceView()
        x, y = (self.random.randrange(max(1, n)) for n in (view.width, view.height))
        interactor = view.interactor()
        interactor.SetEventInformation(x, y, 0, self.random.randrange(2))
        interactor.InvokeEvent(vtk.vtkCommand.LeftButtonPressEvent)
        interactor.SetEventInformation(x + self.random.randrange(30), y, 0, 0)
        interactor.InvokeEvent(vtk.vtkCommand.MouseMoveEvent)
        interactor.InvokeEvent(vtk.vtkCommand.LeftButtonReleaseEvent)

    def do_undo_click(self):
        if self.controller is not None:
            self.controller.clicks.undo()

    def do_rule(self):
        if self.controller is not None:
            options = self.controller.options
            options.fusion.currentIndex = self.random.randrange(options.fusion.count)
            options.useThreshold.checked = self.random.random() < 0.5
            options.threshold.value = self.random.uniform(0.05, 0.95)
            options.measure.currentIndex = self.random.randrange(options.measure.count)

    def do_undo(self):
        self.editor.undo()

    def do_redo(self):
        self.editor.redo()

    def do_switch_effect(self):  # not to Threshold, whose preview raises TypeError where the segments are undone
        others = ("Paint", "Islands", "Margin") if self.editor.currentSegmentID() else ()
        self.editor.setActiveEffectByName(self.random.choice((*others, "MedSegDiff")))

    def do_leave_effect(self):
        self.editor.setActiveEffect(None)

    def do_scroll(self):
        controller = slicer.app.layoutManager().sliceWidget("Red").sliceController()
        controller.setSliceOffsetValue(self.random.uniform(-20, 20))

    def do_switch_volume(self):
        volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if len(volumes) < 2:
            volumes.append(load_sample())
        self.editor.setSourceVolumeNode(self.random.choice(volumes))

    def do_new_segmentation(self):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        node.CreateDefaultDisplayNodes()
        self.editor.setSegmentationNode(node)

    def do_delete_a_node(self):
        kind = self.random.choice(("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode"))
        nodes = slicer.util.getNodesByClass(kind)
        if nodes:
            slicer.mrmlScene.RemoveNode(self.random.choice(nodes))
        if not slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
            load_sample()
        self.enter()

    def do_close_scene(self):
        slicer.mrmlScene.Clear(0)
        load_sample()
        self.enter()

    def do_leave_and_come_back(self):
        slicer.util.selectModule("Data")
        self.enter()

    def do_reload_module(self):
        slicer.util.reloadScriptedModule("MedSegDiffSlicer")

    def do_kill_worker(self):
        pid = slicer.util.getModuleLogic("MedSegDiffSlicer").workerPid
        if pid is not None:
            os.killpg(pid, signal.SIGKILL)

    def do_save_and_load(self):
        path = self.folder / f"scene{self.done['do_save_and_load']}.mrb"
        counts = segment_counts()
        if not slicer.util.saveScene(str(path)):
            return
        slicer.mrmlScene.Clear(0)
        slicer.util.loadScene(str(path))
        path.unlink()
        self.assertEqual(segment_counts(), counts, "no segment is lost")
        self.enter()


def segment_counts() -> list[int]:
    """How many segments the segmentations have."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return sorted(len(node.GetSegmentation().GetSegmentIDs()) for node in nodes)


def workers() -> list[int]:
    """Process ids of living workers that this application has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status, command = (folder / "stat").read_text(), (folder / "cmdline").read_text("utf-8", "replace")
        except OSError:
            continue
        if WORKERS in command and status.rpartition(")")[2].split()[0] != "Z" and is_child(folder, os.getpid()):
            found.append(int(folder.name))
    return found


def is_child(folder: Path, parent: int) -> bool:
    return int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent


def resident_bytes() -> int:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
