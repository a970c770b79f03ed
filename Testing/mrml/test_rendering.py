"""A slice view draws scan, segments and uncertainty: looked at pixel by pixel, without a display."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

SHAPE = (24, 20, 16)
SIZE = 480  # pixels of the square view; the scan's 24 mm fill its width
PROBE = "import vtk; w = vtk.vtkRenderWindow(); w.SetOffScreenRendering(1); w.SetSize(8, 8); w.Render()"


@pytest.fixture(scope="module")
def offscreen():
    """Makes VTK draw without a display; skips where neither EGL nor OSMesa works (tried in a process of its own)."""
    pytest.importorskip("vtk", reason="vtk is not installed")
    for window in ("vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow"):
        environment = dict(os.environ, VTK_DEFAULT_OPENGL_WINDOW=window)
        environment.pop("DISPLAY", None)
        if subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True).returncode == 0:
            before = os.environ.get("VTK_DEFAULT_OPENGL_WINDOW")
            os.environ["VTK_DEFAULT_OPENGL_WINDOW"] = window
            yield
            if before is None:
                del os.environ["VTK_DEFAULT_OPENGL_WINDOW"]
            else:
                os.environ["VTK_DEFAULT_OPENGL_WINDOW"] = before
            return
    pytest.skip("neither EGL nor OSMesa works (apt-get install libegl1 libgl1-mesa-dri libosmesa6)")


@pytest.fixture
def slice_view(offscreen, scene, tmp_path):
    """slice_view(volume, k) draws slice k of the volume and returns (SIZE, SIZE, 3) uint8, first row on top."""
    import slicer
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    app = scene.application_logic
    factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
    factory.SetMRMLApplicationLogic(app)
    if not factory.IsDisplayableManagerRegistered("vtkMRMLSegmentationsDisplayableManager2D"):
        factory.RegisterDisplayableManager("vtkMRMLSegmentationsDisplayableManager2D")
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(app)
    logic.SetMRMLScene(scene)
    logic.AddSliceNode("Red")
    app.GetSliceLogics().AddItem(logic)
    node = logic.GetSliceNode()
    node.SetDimensions(SIZE, SIZE, 1)
    node.SetLayoutName("Red")
    renderer, window = vtk.vtkRenderer(), vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetSize(SIZE, SIZE)
    window.AddRenderer(renderer)
    interactor = vtk.vtkRenderWindowInteractor()
    interactor.SetRenderWindow(window)
    mapper, actor = vtk.vtkImageMapper(), vtk.vtkActor2D()
    mapper.SetColorWindow(255)
    mapper.SetColorLevel(127.5)
    actor.SetMapper(mapper)
    renderer.AddViewProp(actor)
    managers = factory.InstantiateDisplayableManagers(renderer)
    managers.SetMRMLDisplayableNode(node)

    def draw(volume, k, name):
        logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
        node.SetOrientation("Axial")
        node.SetFieldOfView(24, 24, 1)
        node.SetXYZOrigin(0, 0, 0)
        node.JumpSliceByCentering(11.5, 9.5, k)
        node.UpdateMatrices()
        logic.UpdatePipeline()
        mapper.SetInputConnection(logic.GetImageDataConnection())
        window.Render()
        grab, writer = vtk.vtkWindowToImageFilter(), vtk.vtkPNGWriter()
        grab.SetInput(window)
        grab.ReadFrontBufferOff()
        grab.Update()
        writer.SetFileName(str(tmp_path / f"{name}.png"))
        writer.SetInputConnection(grab.GetOutputPort())
        writer.Write()
        assert (tmp_path / f"{name}.png").stat().st_size > 0
        pixels = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars()).reshape(SIZE, SIZE, -1)[::-1, :, :3]

        def at(i, j):
            """The colour in the middle of voxel (i, j), as 0 - 255 floats."""
            to_xy, xy = vtk.vtkMatrix4x4(), [0.0] * 4
            vtk.vtkMatrix4x4.Invert(node.GetXYToRAS(), to_xy)
            to_xy.MultiplyPoint([i, j, k, 1.0], xy)
            return pixels[SIZE - 1 - int(round(xy[1])), int(round(xy[0]))].astype(float)

        return at

    yield draw
    managers.SetMRMLDisplayableNode(None)
    app.GetSliceLogics().RemoveAllItems()


def colourfulness(rgb) -> float:
    return float(max(rgb) - min(rgb))


def test_segments_and_uncertainty_are_drawn_where_they_are(slice_view, scene, make_volume, make_result):
    from MedSegDiffSlicerLib.nodes_from_result import add_result
    from MedSegDiffSlicerLib.overlay import show_overlay

    rng = np.random.default_rng(5)
    volume, result, k = make_volume(rng.integers(90, 110, SHAPE).astype(np.int16)), make_result(SHAPE), 7
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevelMinMax(0, 200)
    bare = slice_view(volume, k, "bare")
    added = add_result(scene, result, volume)
    segments = slice_view(volume, k, "segments")
    added.segmentationNode.GetDisplayNode().SetVisibility(False)
    show_overlay(scene, added.uncertaintyVolumeNodes[0], opacity=0.7)
    overlay = slice_view(volume, k, "overlay")
    entropy = result.uncertainty("entropy")
    seen = {"inside": 0, "sure": 0, "doubtful": 0}
    for i in range(1, SHAPE[0] - 1):
        for j in range(1, SHAPE[1] - 1):
            assert colourfulness(bare(i, j)) == 0 and 100 < bare(i, j)[0] < 150
            label, doubt = result.labelmap[i, j, k], entropy[i, j, k]
            same = (result.labelmap[i - 1 : i + 2, j - 1 : j + 2, k] == label).all()
            if same and label:  # away from outlines: the fill, a mixture of grey and the label's colour
                color = np.array(result.labels[label - 1].color, float)
                mixed = segments(i, j) - bare(i, j)
                assert np.dot(mixed, color - 100) > 0 and colourfulness(segments(i, j)) > 20, (i, j)
                seen["inside"] += 1
            elif same:
                assert colourfulness(segments(i, j)) == 0, (i, j)
            if doubt < 0.01:
                assert np.abs(overlay(i, j) - bare(i, j)).max() <= 1, (i, j)
                seen["sure"] += 1
            elif doubt > 0.5:
                assert colourfulness(overlay(i, j)) > 60, (i, j)
                seen["doubtful"] += 1
    assert min(seen.values()) > 10, seen
