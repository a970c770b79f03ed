"""Slice views drawn without a display, as fixtures."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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
    """slice_view(volume, k, name) draws slice k of the volume as name.png and returns at(i, j), the colour of a voxel.

    volume None: what the view shows already is drawn, where it looks; k then is where at() looks. slice_view.node is
    the slice node, slice_view.folder where the pictures are.
    """
    import slicer
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    app = scene.application_logic
    factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
    factory.SetMRMLApplicationLogic(app)
    for kind in ("vtkMRMLSegmentationsDisplayableManager2D", "vtkMRMLModelSliceDisplayableManager",
                 "vtkMRMLColorLegendDisplayableManager"):  # fmt: skip
        if not factory.IsDisplayableManagerRegistered(kind):
            factory.RegisterDisplayableManager(kind)
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
        if volume is not None:
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

    draw.node, draw.folder = node, tmp_path
    yield draw
    managers.SetMRMLDisplayableNode(None)
    app.GetSliceLogics().RemoveAllItems()
