"""What the tests of the Segment Editor effect share."""

from __future__ import annotations

import unittest

import numpy as np
import qt
import slicer
import vtk
from in_slicer import LONG, MODEL, ObserverErrors, load_sample, turn_until


def voxels(segmentation_node, segment_id: str, volume) -> np.ndarray:
    """(K, J, I) bool of a segment on the volume's grid."""
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation_node, segment_id, volume)
    return np.zeros(slicer.util.arrayFromVolume(volume).shape, bool) if array is None else array > 0


class EffectCase(unittest.TestCase):
    """The effect is active on the sample, in an empty segmentation."""

    def setUp(self):
        slicer.util.mainWindow().resize(1500, 940)
        slicer.mrmlScene.Clear(0)
        slicer.util.getModuleLogic("MedSegDiffSlicer").getParameterNode()  # the module's, made when it is first used
        self.volume = load_sample()
        slicer.util.selectModule("Data")  # so that the Segment Editor is entered anew, and makes a segmentation
        slicer.util.selectModule("SegmentEditor")
        self.editor = slicer.util.getModuleWidget("SegmentEditor").editor
        self.segmentation = self.editor.segmentationNode()
        self.editor.setSourceVolumeNode(self.volume)
        self.errors = self.enterContext(ObserverErrors())
        self.editor.setActiveEffectByName("MedSegDiff")
        self.controller = self.editor.activeEffect().self().controller
        self.ui, self.session = self.controller.options, self.controller.session
        self.ui.model.currentText = MODEL

    def tearDown(self):
        self.editor.setActiveEffect(None)
        self.assertEqual(self.errors, [])
        self.assertEqual(self.props(), [])

    def props(self) -> list:
        """What is drawn in the slice views beside Slicer's own."""
        return list(self.controller.views._previews.values())

    def labels_drawn(self) -> bool:
        return any(preview._labels.actor.GetVisibility() for preview in self.props())

    def run_and_wait(self, samples: int = 4) -> None:
        self.ui.samples.value = samples
        self.ui.run.click()
        turn_until(lambda: not self.session.running, 100)
        self.settle()
        self.assertIsNone(self.session.error)

    def start_long_run(self) -> None:
        self.ui.samples.value = LONG
        self.ui.run.click()
        turn_until(lambda: self.session.labelmap is not None)

    def settle(self) -> None:
        """Waits for what is computed beside the GUI."""
        turn_until(lambda: not self.controller.computing)

    def segments(self) -> dict:
        """Voxels by segment ID."""
        ids = self.segmentation.GetSegmentation().GetSegmentIDs()
        return {id: voxels(self.segmentation, id, self.volume) for id in ids}

    def click_into(self, ras, shift: bool = False) -> None:
        """A real mouse click into the red slice view, at a place in its slice."""
        view = slicer.app.layoutManager().sliceWidget("Red")
        node = view.mrmlSliceNode()
        node.JumpSliceByOffsetting(*ras)
        to_xy = np.linalg.inv(slicer.util.arrayFromVTKMatrix(node.GetXYToRAS()))
        x, y = (int(round(n)) for n in (to_xy @ [*ras, 1])[:2])
        interactor = view.sliceView().interactor()
        interactor.SetEventInformation(x, y, 0, int(shift))
        interactor.InvokeEvent(vtk.vtkCommand.LeftButtonPressEvent)
        interactor.InvokeEvent(vtk.vtkCommand.LeftButtonReleaseEvent)

    def place_of(self, ijk) -> np.ndarray:
        matrix = vtk.vtkMatrix4x4()
        self.volume.GetIJKToRASMatrix(matrix)
        return (slicer.util.arrayFromVTKMatrix(matrix) @ [*ijk, 1])[:3]

    def review(self) -> qt.QTableWidget:
        """Asks for the review; the list of its places."""
        for _ in range(2):  # impatient
            self.ui.review.click()
        turn_until(lambda: slicer.util.findChildren(slicer.util.mainWindow(), name="placeTable"))
        self.assertFalse(self.controller.computing, "what is shown is what was asked for last")
        return slicer.util.findChild(slicer.util.mainWindow(), "placeTable")

    def review_is_open(self) -> bool:
        return bool(slicer.util.findChildren(slicer.util.mainWindow(), name="MedSegDiffReview"))
