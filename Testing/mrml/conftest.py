"""A real MRML scene (slicer-core) for tests of the code between Slicer and the backend; no application, no Qt."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE_FOLDER = ROOT / "MedSegDiffSlicer"
LOGICS = {
    "colors": "vtkSlicerColorLogic",
    "volumes": "vtkSlicerVolumesLogic",
    "terminologies": "vtkSlicerTerminologiesModuleLogic",
    "segmentations": "vtkSlicerSegmentationsModuleLogic",
    "subjecthierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "markups": "vtkSlicerMarkupsLogic",
}

if str(MODULE_FOLDER) not in sys.path:
    sys.path.insert(0, str(MODULE_FOLDER))


@pytest.fixture
def scene(tmp_path, monkeypatch):
    """An empty scene with the module logics that segmentations and volumes need; errors in observers fail the test."""
    slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (pip install slicer-core)")
    vtk = pytest.importorskip("vtk")
    failures = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: failures.append(error))
    scene = slicer.vtkMRMLScene()
    slicer.mrmlScene = scene
    cache = slicer.vtkCacheManager()
    cache.SetRemoteCacheDirectory(str(tmp_path))
    cache.SetMRMLScene(scene)
    scene.SetCacheManager(cache)
    data_io = slicer.vtkDataIOManager()
    data_io.SetCacheManager(cache)
    scene.SetDataIOManager(data_io)
    app = slicer.vtkSlicerApplicationLogic()
    app.SetMRMLScene(scene)
    app.SetTemporaryPath(str(tmp_path))
    app.GetColorLogic().SetMRMLScene(scene)
    app.GetColorLogic().AddDefaultColorNodes()
    app.SetSliceLogics(vtk.vtkCollection())
    app.SetViewLogics(vtk.vtkCollection())
    slicer.modules = types.SimpleNamespace()
    logics = [_register(slicer, app, scene, name, kind, tmp_path) for name, kind in LOGICS.items()]
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    scene.application_logic = app
    yield scene
    assert not failures, f"errors inside VTK observers: {failures}"
    scene.Clear(1)
    del logics
    slicer.mrmlScene = None


def _register(slicer, app, scene, name, kind, folder):
    logic = getattr(slicer, kind)()
    if name == "terminologies":
        logic.SetModuleShareDirectory(str(folder))
    logic.SetMRMLApplicationLogic(app)
    logic.SetMRMLScene(scene)
    app.SetModuleLogic(name, logic)
    setattr(slicer.modules, name, types.SimpleNamespace(logic=lambda: logic))
    return logic
