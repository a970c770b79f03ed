"""What users do around effect and panel, at random, in a state that may be any; each tells whether it took effect."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import slicer
import vtk
from in_slicer import MODEL, load_sample, turn_until
from random_panel_actions import PanelActions

REVIEW = "MedSegDiffReview"
BINARY = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()


class RandomActions(PanelActions):
    """The methods `do_...` return whether what they stand for happened.

    prepares: whether an action that needs something first (a run, say) sees to it; else it takes things as they are.
    """

    def __init__(self, choices: random.Random, folder: Path):
        self.random, self._folder, self.prepares = choices, folder, True
        self.closed = 0  # scenes
        self.close_scene()

    @classmethod
    def names(cls) -> list[str]:
        """Of all actions."""
        return [name for name in dir(cls) if name.startswith("do_")]

    @property
    def controller(self):
        effect = self.editor.activeEffect()
        return effect.self().controller if effect and effect.name == "MedSegDiff" else None

    def enter(self) -> None:
        """Into the effect, with a volume and a segmentation."""
        slicer.util.selectModule("SegmentEditor")
        self.editor = slicer.util.getModuleWidget("SegmentEditor").editor
        if self.editor.sourceVolumeNode() is None:
            self.editor.setSourceVolumeNode(self.scans()[0])
        if self.editor.segmentationNode() is None:
            self.editor.setSegmentationNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode"))
        self.editor.setActiveEffectByName("MedSegDiff")

    def close_scene(self) -> None:
        """A new one, with the sample."""
        self.clear()
        load_sample()
        self.enter()

    def clear(self) -> None:
        """No scene at all."""
        slicer.mrmlScene.Clear(0)
        self.closed += 1

    def docks(self) -> list:
        return slicer.util.findChildren(slicer.util.mainWindow(), name=REVIEW)

    def do_run(self) -> bool:
        if self.controller is None:
            self.enter()
        options = self.controller.options
        options.model.currentText = MODEL
        options.samples.value = self.random.choice((1, 2, 4))
        options.run.click()
        return self.controller.session.running

    def do_run_to_the_end(self) -> bool:
        self.do_run()
        self.wait()
        return self.controller.session.result is not None

    def do_cancel(self) -> bool:
        if self.prepares:
            self.do_run()
        if self.controller is None or not self.controller.options.cancel.enabled:
            return False
        self.controller.options.cancel.click()
        return not self.controller.session.running

    def do_apply(self) -> bool:
        if self.prepares:
            self.do_run_to_the_end()
        if self.controller is None or not self.controller.options.apply.enabled:
            return False
        labelmap, node = self.controller.session.labelmap, self.editor.segmentationNode()
        self.controller.options.apply.click()
        if node is None or not labelmap.any():
            return False
        assert node.GetSegmentation().GetNumberOfSegments() > 0
        return True

    def do_review(self) -> bool:
        if self.prepares and (self.controller is None or not self.controller.options.review.enabled):
            self.do_run_to_the_end()
            self.do_apply()
        if self.controller is None or not self.controller.options.review.enabled:
            return False
        self.controller.options.review.click()
        if self.prepares:
            self.wait()
            turn_until(lambda: self.docks() or not self.controller.options.review.enabled)  # undone a moment ago
        return bool(self.docks())

    def do_verdict(self) -> bool:
        if self.prepares and not self.docks():
            self.do_review()
        if not self.docks():
            return False
        slicer.util.findChild(self.docks()[0], f"key{self.random.choice('NPKLU')}").click()
        return True

    def do_click(self) -> bool:
        if self.prepares and (self.controller is None or self.controller.session.result is None):
            self.do_run_to_the_end()
        if self.controller is None or self.controller.session.result is None:
            return False
        session = self.controller.session
        widget = slicer.app.layoutManager().sliceWidget(self.random.choice(("Red", "Green", "Yellow")))
        view = widget.sliceView()
        x, y = (self.random.randrange(max(1, n)) for n in (view.width, view.height))
        if self.prepares:  # else it may well be beside the scan
            bounds = [0.0] * 6
            session.volume.GetRASBounds(bounds)
            middle = [(low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2])]
            widget.mrmlSliceNode().JumpSliceByCentering(*middle)
            x, y = view.width // 2, view.height // 2
        before, interactor = len(session.clicks), view.interactor()
        interactor.SetEventInformation(x, y, 0, self.random.randrange(2))
        interactor.InvokeEvent(vtk.vtkCommand.LeftButtonPressEvent)
        interactor.SetEventInformation(x + self.random.randrange(5), y, 0, 0)
        interactor.InvokeEvent(vtk.vtkCommand.MouseMoveEvent)
        interactor.InvokeEvent(vtk.vtkCommand.LeftButtonReleaseEvent)
        return len(session.clicks) > before

    def do_undo_click(self) -> bool:
        if self.prepares:
            self.do_click()
        if self.controller is None:
            return False
        before = len(self.controller.session.clicks)
        self.controller.clicks.undo()
        return len(self.controller.session.clicks) < before

    def do_rule(self) -> bool:
        if self.prepares and self.controller is None:
            self.enter()
        if self.controller is None:
            return False
        session, options = self.controller.session, self.controller.options
        before = session.fusion, session.threshold
        options.fusion.currentIndex = self.random.randrange(options.fusion.count)
        options.useThreshold.checked = self.random.random() < 0.5
        options.threshold.value = self.random.uniform(0.05, 0.95)
        options.measure.currentIndex = self.random.randrange(options.measure.count)
        return before != (session.fusion, session.threshold) or options.rule() == before

    def do_undo(self) -> bool:
        if self.prepares:
            self.do_apply()
        return self._changes_segments(self.editor.undo)

    def do_redo(self) -> bool:
        if self.prepares:
            self.do_undo()
        return self._changes_segments(self.editor.redo)

    def _changes_segments(self, action) -> bool:
        before = self._segments()
        action()
        return self._segments() != before

    def _segments(self) -> list[tuple]:
        """IDs and times of change."""
        node = self.editor.segmentationNode()
        segmentation = node.GetSegmentation() if node is not None else None
        segments = (
            [(id, segmentation.GetSegment(id)) for id in segmentation.GetSegmentIDs()] if node is not None else []
        )
        images = [segment.GetRepresentation(BINARY) for _id, segment in segments]
        return [(id, s.GetMTime(), image and image.GetMTime()) for (id, s), image in zip(segments, images)]

    def do_switch_effect(self) -> bool:
        # Not to Threshold, whose preview raises TypeError where the segments are undone.
        others = ("Paint", "Islands", "Margin") if self.editor.currentSegmentID() else ()
        name = self.random.choice((*others, "MedSegDiff"))
        self.editor.setActiveEffectByName(name)
        effect = self.editor.activeEffect()
        return effect is not None and effect.name == name

    def do_leave_effect(self) -> bool:
        self.editor.setActiveEffect(None)
        return True

    def do_scroll(self) -> bool:
        controller = slicer.app.layoutManager().sliceWidget("Red").sliceController()
        controller.setSliceOffsetValue(self.random.uniform(-20, 20))
        return True

    def do_switch_volume(self) -> bool:
        volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if len(volumes) < 2:
            volumes.append(load_sample())
        before = self.editor.sourceVolumeNode()
        self.editor.setSourceVolumeNode(self.random.choice([node for node in volumes if node is not before]))
        return self.editor.sourceVolumeNode() is not before

    def do_new_segmentation(self) -> bool:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        node.CreateDefaultDisplayNodes()
        self.editor.setSegmentationNode(node)
        return True

    def do_delete_a_node(self) -> bool:
        kind = self.random.choice(("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode"))
        nodes = slicer.util.getNodesByClass(kind)
        if nodes:
            slicer.mrmlScene.RemoveNode(self.random.choice(nodes))
        self.enter()
        return bool(nodes)

    def do_close_scene(self) -> bool:
        self.close_scene()
        return True

    def do_leave_and_come_back(self) -> bool:
        slicer.util.selectModule("Data")
        self.enter()
        return True

    def do_reload_module(self) -> bool:
        slicer.util.reloadScriptedModule("MedSegDiffSlicer")
        return True

    def do_kill_worker(self) -> bool:
        if self.prepares:
            self.do_run()
        pid = slicer.util.getModuleLogic("MedSegDiffSlicer").workerPid
        if pid is not None:
            os.killpg(pid, signal.SIGKILL)
        return pid is not None

    def save_and_load(self) -> bool:
        """The scene as it is; whether it could be saved."""
        path = self._folder / "scene.mrb"
        if not slicer.util.saveScene(str(path)):
            return False
        self.clear()
        slicer.util.loadScene(str(path))
        path.unlink()
        return True

    def do_save_and_load(self) -> bool:
        counts = segment_counts()
        if not self.save_and_load():
            return False
        assert segment_counts() == counts, "a segment is lost"
        self.enter()
        return True


def segment_counts() -> list[int]:
    """How many segments the segmentations have."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return sorted(len(node.GetSegmentation().GetSegmentIDs()) for node in nodes)
