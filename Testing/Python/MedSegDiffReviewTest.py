"""Uncertainty in view and the review, as a user has them: in the real application, by their widgets and keys."""

from __future__ import annotations

import re
import tempfile
import time
import unittest
from pathlib import Path

import numpy as np
import qt
import slicer
from in_slicer import MODEL, OTHER_SAMPLE, ObserverErrors, load_sample, node_ids, screenshot, turn_until
from MedSegDiffSlicerLib.nodes.overlay import OPAQUE_ABOVE
from real_keys import Keyboard

DOCK = "MedSegDiffReview"


def labels_of(result) -> list[np.ndarray]:
    """Every segment's voxels."""
    node, volume = result.segmentationNode, result.volumeNode
    ids = node.GetSegmentation().GetSegmentIDs()
    return [slicer.util.arrayFromSegmentBinaryLabelmap(node, id_, volume).copy() for id_ in ids]


def same(one, other) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def shortcuts() -> dict:
    """The main window's keys."""
    return {
        child.key.toString(): child
        for child in slicer.util.findChildren(slicer.util.mainWindow(), className="QShortcut")
    }


def child(name: str):
    """A widget of the review's dock."""
    return slicer.util.findChild(dock(), name)


def dock():
    """The review's dock widget, None where there is none."""
    found = slicer.util.findChildren(slicer.util.mainWindow(), name=DOCK)
    return found[0] if found else None


class MedSegDiffReviewTest(unittest.TestCase):
    def setUp(self):
        from MedSegDiffSlicerLib.review.widget import ReviewWidget
        from MedSegDiffSlicerLib.view.view_controls import ViewControls

        slicer.util.mainWindow().resize(1500, 940)
        slicer.mrmlScene.Clear(0)
        slicer.util.selectModule("MedSegDiffSlicer")
        self.errors = self.enterContext(ObserverErrors())
        volume = load_sample()
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        self.result = slicer.util.getModuleLogic("MedSegDiffSlicer").segment(
            volume, model=MODEL, samples=8, steps=2, seed=1
        )
        self.keysBefore = set(shortcuts())
        self.view = ViewControls()
        self.review = ReviewWidget(lambda painting: self.view.setMapAside(painting, "painting"))
        self.window = qt.QDockWidget("Result")  # stands for the panel
        content = qt.QWidget()
        column = qt.QVBoxLayout(content)
        column.addWidget(self.view)
        column.addWidget(self.review)
        column.addStretch(1)
        self.window.setWidget(content)
        slicer.util.mainWindow().addDockWidget(qt.Qt.RightDockWidgetArea, self.window)
        self.review.setResult(self.result)
        self.view.setResult(self.result)

    def tearDown(self):
        self.review.cleanup()
        self.view.cleanup()
        slicer.util.mainWindow().removeDockWidget(self.window)
        self.window.deleteLater()
        slicer.app.processEvents()
        self.assertEqual(self.errors, [])

    def start(self) -> None:
        """Begins the review, or goes on with it."""
        self.review.startButton.click()
        turn_until(lambda: self.review.isActive)

    def settle(self) -> None:
        """Waits for what is computed beside the GUI."""
        turn_until(lambda: not self.view.computing)

    def press(self, key: str) -> None:
        """What a key press sets off."""
        shortcuts()[key].activated()
        slicer.app.processEvents()

    def test_places_are_seen_though_another_scan_was_loaded(self):
        self.start()
        self.assertEqual(dock().windowTitle, "Review of doubtful places")
        load_sample(OTHER_SAMPLE)  # which takes the views
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "of the other")
        self.press("N")
        views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
        self.assertEqual({view.GetBackgroundVolumeID() for view in views}, {self.result.volumeNode.GetID()})
        self.assertIn(f"'{self.result.segmentationNode.GetName()}'", dock().windowTitle)
        parameters = slicer.util.getModuleLogic("MedSegDiffSlicer").getParameterNode()
        turn_until(lambda: parameters.resultSegmentation is self.result.segmentationNode)  # which the panel shows, too
        other = slicer.modules.volumes.logic().CloneVolume(self.result.volumeNode, "of the same head")
        slicer.util.setSliceViewerLayers(background=other)
        self.press("N")
        self.assertEqual({view.GetBackgroundVolumeID() for view in views}, {other.GetID()})

    def test_review_by_keys(self):
        before = node_ids()
        self.start()
        self.assertTrue(self.review.isActive)
        self.assertEqual(set(shortcuts()) - self.keysBefore, set("NPKLEU"))
        table = child("placeTable")
        count = table.rowCount
        self.assertGreater(count, 3)
        screenshot("review-started")
        positions = []
        for _ in range(3):
            matrix = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode().GetSliceToRAS()
            positions.append(tuple(matrix.GetElement(i, 3) for i in range(3)))
            self.press("N")
        self.assertEqual(len(set(positions)), 3)
        self.press("P")
        self.assertEqual(table.currentRow(), 2)
        was = labels_of(self.result)
        began = time.perf_counter()
        self.press("L")
        print(f"MEASURED taking another opinion: {time.perf_counter() - began:.2f} s")
        taken = labels_of(self.result)
        self.assertFalse(same(was, taken))
        self.assertIn("voxels changed", child("messageLabel").text)
        screenshot("review-alternative")
        self.press("U")
        self.assertTrue(same(labels_of(self.result), was))
        self.press("K")
        self.assertEqual((table.item(2, 2).text(), table.currentRow()), ("✓", 3))
        self.assertEqual(self.review.progressLabel.text, f"1 of {count} places judged")
        child("leaveButton").click()
        slicer.app.processEvents()
        self.assertFalse(self.review.isActive)
        self.assertFalse(self.review.startButton.checked)
        self.assertIsNone(dock())
        self.assertEqual(set(shortcuts()), self.keysBefore)
        left = {slicer.mrmlScene.GetNodeByID(each).GetName() for each in node_ids() - before}
        self.assertEqual({name for name in left if "place" in name or "review" in name},
                         {f"{self.result.volumeNode.GetName()} doubtful places",
                          f"{self.result.volumeNode.GetName()} review"})  # fmt: skip
        self.assertFalse([n for n in slicer.mrmlScene.GetNodes() if n.GetAttribute("MedSegDiff.Temporary")])

    def test_window_does_not_grow_for_the_review(self):
        window, layouts = slicer.util.mainWindow(), slicer.app.layoutManager()
        self.addCleanup(layouts.setLayout, layouts.layout)
        layouts.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        for width, area in ((1280, qt.Qt.BottomDockWidgetArea), (2000, qt.Qt.RightDockWidgetArea)):
            window.resize(width, 940)
            slicer.app.processEvents()
            before = window.width  # more than that where Slicer itself needs it
            self.start()
            self.settle()
            self.assertEqual((window.width, window.dockWidgetArea(dock())), (before, area))
            separator = "\n" if area == qt.Qt.RightDockWidgetArea else ": "
            self.assertIn(separator, child("placeTable").item(0, 0).text())
            screenshot(f"review-{width}")
            child("leaveButton").click()

    def test_list_has_the_segments_names_and_tells_where_nothing_is_to_be_seen(self):
        self.start()
        places, segmentation = child("placeTable"), self.result.segmentationNode.GetSegmentation()
        name = re.split("\n|: ", places.item(0, 0).text())[0]
        segmentation.GetSegment(segmentation.GetSegmentIdBySegmentName(name)).SetName("mine")
        turn_until(lambda: re.match("mine(\n|: )", places.item(0, 0).text()))
        layout = slicer.app.layoutManager()
        self.addCleanup(layout.setLayout, layout.layout)
        layout.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUp3DView)
        slicer.app.processEvents()
        self.press("N")
        self.assertIn("No slice view is open", child("messageLabel").text)
        layout.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
        slicer.app.processEvents()
        self.press("N")
        self.assertEqual(child("messageLabel").text, "")

    def test_keys_of_a_keyboard_work_beside_the_segment_editor_and_not_while_typing(self):
        keyboard = Keyboard()
        self.addCleanup(keyboard.close)
        self.start()
        table = child("placeTable")
        keyboard.press("e")
        self.assertEqual(slicer.util.selectedModule(), "SegmentEditor")  # whose own keys are in effect, too
        for key, row, verdict in (("n", 1, ""), ("n", 2, ""), ("p", 1, ""), ("l", 1, "⇄"), ("u", 1, ""), ("k", 2, "")):
            keyboard.press(key)
            self.assertEqual((table.currentRow(), table.item(row, 2).text()), (row, verdict), key)
        self.assertEqual([table.item(row, 2).text() for row in range(3)], ["✎", "✓", ""])
        screenshot("review-keys")
        line = qt.QLineEdit()
        self.window.widget().layout().addWidget(line)
        line.setFocus()
        keyboard.press("n")
        self.assertEqual((line.text, table.currentRow()), ("n", 2))
        child("leaveButton").click()
        slicer.util.mainWindow().setFocus()
        keyboard.press("n")
        self.assertFalse(self.review.isActive)

    def test_verdict_goes_with_what_the_segment_editor_undoes(self):
        self.start()
        self.press("K")
        self.press("L")
        table, editor = child("placeTable"), slicer.modules.segmenteditor.widgetRepresentation().self().editor
        self.assertEqual([table.item(row, 2).text() for row in range(2)], ["✓", "⇄"])
        editor.undo()
        turn_until(lambda: table.item(1, 2).text() == "")
        self.assertIn("undone", child("messageLabel").text)
        self.assertEqual(table.item(0, 2).text(), "✓")
        self.assertIn("1 of", self.review.progressLabel.text)
        self.press("U")
        self.assertEqual(table.item(0, 2).text(), "")

    def test_verdict_goes_with_what_is_undone_after_the_review_was_left(self):
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        for is_open in (True, False):
            self.start()
            self.press("L")
            child("leaveButton").click()
            if not is_open:
                editor.undo()
            self.start()
            if is_open:
                editor.undo()
            turn_until(lambda: child("placeTable").item(0, 2).text() == "")
            editor.redo()
            turn_until(lambda: child("placeTable").item(0, 2).text() == "⇄")
            self.press("U")
            self.assertEqual(child("placeTable").item(0, 2).text(), "")
            child("leaveButton").click()

    def test_repaint_opens_paint_there_and_the_segment_editor_undoes(self):
        self.start()
        was = labels_of(self.result)
        self.press("L")
        taken = labels_of(self.result)
        self.press("E")
        self.assertRegex(self.review.progressLabel.text, r"^0 of \d+ places judged, 1 to repaint$")
        self.assertEqual(slicer.util.selectedModule(), "SegmentEditor")
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        self.assertEqual(editor.activeEffect().name, "Paint")
        self.assertIs(editor.segmentationNode(), self.result.segmentationNode)
        name = self.result.segmentationNode.GetSegmentation().GetSegment(editor.currentSegmentID()).GetName()
        self.assertEqual(name, re.split("\n|: ", child("placeTable").item(0, 0).text())[0])
        self.assertTrue(self.review.isActive)
        screenshot("review-repaint")
        editor.undo()
        self.assertTrue(same(labels_of(self.result), was))
        editor.redo()
        self.assertTrue(same(labels_of(self.result), taken))
        self.press("K")
        self.assertEqual(child("placeTable").currentRow(), 1)
        slicer.util.selectModule("MedSegDiffSlicer")
        self.assertTrue(self.review.isActive)

    def test_the_brush_is_put_away_when_the_review_goes_on(self):
        self.start()
        editor = slicer.util.getModuleWidget("SegmentEditor").editor
        for key, said in (("N", ""), ("U", "what was painted, if anything, stays")):
            self.press("E")
            self.assertEqual(editor.activeEffect().name, "Paint")
            self.press(key)
            self.assertIsNone(editor.activeEffect())
            self.assertIn(said, child("messageLabel").text)
        child("leaveButton").click()

    def test_map_makes_room_for_what_is_painted_unless_it_is_asked_for(self):
        def laid() -> bool:
            self.settle()
            red, green, yellow = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
            self.assertEqual(
                len({red.GetForegroundVolumeID(), green.GetForegroundVolumeID(), yellow.GetForegroundVolumeID()}), 1
            )
            return red.GetForegroundVolumeID() is not None

        self.view.setMapVisible(True)
        self.assertTrue(laid())
        self.start()
        self.assertTrue(laid())
        for _ in range(2):  # once more: it is still being painted
            self.press("E")
            self.assertFalse(laid())
        screenshot("review-repaint-map")
        self.press("K")
        self.assertTrue(laid())
        screenshot("review-repaint-map-back")
        self.press("E")
        self.view.setMapVisible(True)
        self.view.setMapVisible(False)
        self.press("N")
        self.assertFalse(laid(), "the user decided so")
        self.view.setMapVisible(True)
        self.press("E")
        child("leaveButton").click()
        self.assertTrue(laid())

    def test_closing_the_scene_or_deleting_nodes_ends_the_review(self):
        self.start()
        slicer.mrmlScene.RemoveNode(self.result.segmentationNode)
        slicer.app.processEvents()
        self.assertFalse(self.review.isActive)
        self.assertEqual(set(shortcuts()), self.keysBefore)
        self.assertFalse(self.view.enabled)
        volume = self.result.volumeNode
        result = slicer.util.getModuleLogic("MedSegDiffSlicer").segment(volume, model=MODEL, samples=3, steps=1)
        self.review.setResult(result)
        self.view.setResult(result)
        self.view.setMapVisible(True)
        self.view.opinions.fanBox.click()
        self.settle()
        self.start()
        self.assertTrue(self.review.isActive)
        slicer.mrmlScene.Clear(0)
        slicer.app.processEvents()
        self.assertFalse(self.review.isActive)
        self.assertIsNone(dock())
        self.assertEqual(set(shortcuts()), self.keysBefore)

    def test_review_goes_on_in_a_saved_scene(self):
        from MedSegDiffSlicerLib.nodes.scene_result import find_result

        self.start()
        self.press("K")
        self.press("L")
        row, name = child("placeTable").currentRow(), self.result.segmentationNode.GetName()
        labels = labels_of(self.result)
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "review.mrb")
            self.assertTrue(slicer.util.saveScene(path))
            slicer.mrmlScene.Clear(0)
            slicer.util.loadScene(path)
        found = find_result(slicer.mrmlScene, slicer.util.getNode(name))
        self.assertTrue(same(labels_of(found), labels))
        self.review.setResult(found)
        self.view.setResult(found)
        self.assertRegex(self.review.progressLabel.text, "^2 of [0-9]+ places judged$")
        self.start()
        self.assertTrue(self.review.isActive, self.review.progressLabel.text)
        self.assertEqual(self.review.progressLabel.text, f"2 of {child('placeTable').rowCount} places judged")
        self.assertNotEqual(child("placeTable").currentRow(), row)
        self.press("L")
        self.assertFalse(same(labels_of(found), labels))
        screenshot("review-loaded")

    def test_view_controls(self):
        before = node_ids()
        view = self.view
        view.setMapVisible(True)
        for name in ("legendBox", "fanBox"):
            slicer.util.findChild(view, name).click()
            self.settle()
        screenshot("view-legend-fan")
        composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
        maps = set()
        for measure in ("expected-entropy", "mutual-information", "variance", "entropy"):
            began = time.perf_counter()
            view.measureBox.currentText = measure
            self.settle()
            print(f"MEASURED {measure} shown in {time.perf_counter() - began:.3f} s")
            node = slicer.mrmlScene.GetNodeByID(composite.GetForegroundVolumeID())
            self.assertTrue(node.GetName().endswith(f" {measure}"), node.GetName())
            high = node.GetDisplayNode().GetWindowLevelMax()
            self.assertAlmostEqual(view.thresholdSlider.maximum, high)
            seen = np.count_nonzero(slicer.util.arrayFromVolume(node) > OPAQUE_ABOVE * high)
            self.assertGreater(seen, 300, f"voxels of the {measure} that cover the scan")
            maps.add(node.GetID())
        self.assertEqual(len(maps), 4)
        view.opinions.fanBox.click()
        began = time.perf_counter()
        view.thresholdSlider.value = 0.4
        slicer.util.forceRenderAllViews()
        print(f"MEASURED threshold drawn in {time.perf_counter() - began:.3f} s")
        self.assertEqual(view.view.map_node.GetDisplayNode().GetLowerThreshold(), 0.4)
        screenshot("view-threshold")
        view.thresholdSlider.value = 0
        view.opacitySlider.value = 0.3
        self.assertAlmostEqual(composite.GetForegroundOpacity(), 0.3)
        view.setMapVisible(False)
        self.assertIsNone(composite.GetForegroundVolumeID())
        was = labels_of(self.result)
        view.opinions.nextButton.click()
        self.settle()
        self.assertIn("%", view.opinions.messageLabel.text)
        screenshot("view-alternative")
        view.opinions.previousButton.click()
        self.settle()
        view.opinions.takeButton.click()
        self.assertIn("voxels changed", view.opinions.messageLabel.text)
        self.assertFalse(same(labels_of(self.result), was))
        slicer.modules.segmenteditor.widgetRepresentation().self().editor.undo()
        self.assertTrue(same(labels_of(self.result), was))
        view.opinions.hideButton.click()
        view.setResult(None)
        added = {slicer.mrmlScene.GetNodeByID(each).GetClassName() for each in node_ids() - before}
        self.assertFalse({name for name in added if "Segmentation" in name or "Legend" in name}, added)

    def test_fan_stays_quick(self):
        red = slicer.app.layoutManager().sliceWidget("Red")
        offset = red.sliceLogic().GetSliceOffset()
        seconds = {}
        for name in ("without", "with"):
            began = time.perf_counter()
            for step in range(20):
                red.sliceLogic().SetSliceOffset(offset + 0.5 * (step - 10))
                slicer.util.forceRenderAllViews()
            seconds[name] = (time.perf_counter() - began) / 20
            self.view.opinions.fanBox.checked = True
            self.settle()
        print(f"MEASURED a slice step {1000 * seconds['without']:.0f} ms, with the outlines of 8 opinions "
              f"{1000 * seconds['with']:.0f} ms")  # fmt: skip
        fans = [n for n in slicer.mrmlScene.GetNodes() if n.GetAttribute("MedSegDiff.Temporary") == "contour fan"]
        self.assertEqual(len(fans), 4)  # a node and its display node for each structure
        self.view.opinions.fanBox.checked = False
        turn_until(lambda: not [n for n in slicer.mrmlScene.GetNodes() if n.GetAttribute("MedSegDiff.Temporary")])
