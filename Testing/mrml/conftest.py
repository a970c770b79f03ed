"""A real MRML scene (slicer-core) for tests of the code between Slicer and the backend; no application, no Qt."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
from drawing import offscreen, slice_view

__all__ = ["offscreen", "slice_view"]  # fixtures
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


@pytest.fixture(autouse=True)
def untranslated(monkeypatch):
    """slicer.i18n is the application's: without it texts stay as they are written."""
    module = types.ModuleType("slicer.i18n")
    module.tr, module.translate = lambda text: text, lambda _context, text: text
    module.getContext = lambda path: path
    monkeypatch.setitem(sys.modules, "slicer.i18n", module)


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


def grid(kind: str) -> np.ndarray:
    """Voxel index to RAS matrices of the sorts that real scans come in."""
    angle = np.deg2rad(25)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(0.3), -np.sin(0.3)], [0, np.sin(0.3), np.cos(0.3)]])
    directions = {
        "straight": np.diag([1.0, 1, 1]),
        "flipped": np.diag([-0.7, -0.7, 0.7]),
        "anisotropic": np.diag([0.4, 0.5, 3.0]),
        "oblique": turn @ tilt @ np.diag([0.8, 1.1, 2.5]),
        "left-handed": turn @ np.diag([1.0, -1.2, 0.9]),
    }[kind]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions, (12.5, -30.25, 7.0)
    return affine


GRIDS = ("straight", "flipped", "anisotropic", "oblique", "left-handed")


@pytest.fixture(params=GRIDS)
def affine(request) -> np.ndarray:
    """One grid after the other."""
    return grid(request.param)


@pytest.fixture
def make_volume(scene):
    """make_volume(array (I, J, K[, C]), affine, name) adds a volume node."""
    import slicer

    def make(array, affine=np.eye(4), name="scan"):
        kind = "vtkMRMLVectorVolumeNode" if array.ndim == 4 else "vtkMRMLScalarVolumeNode"
        node = scene.AddNewNodeByClass(kind, name)
        slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(array.swapaxes(0, 2)))
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine))
        node.CreateDefaultDisplayNodes()
        return node

    return make


@pytest.fixture
def make_transform(scene):
    """make_transform(node, matrix) puts the node under a linear transform."""
    import slicer

    def make(node, matrix):
        transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "transform")
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        node.SetAndObserveTransformNodeID(transform.GetID())
        return transform

    return make


@pytest.fixture
def make_result():
    """make_result(shape, affine) gives a backend result with two structures; "gamma" has no voxel."""
    from medsegdiff.inference.result import SegmentResult
    from medsegdiff.models.package import Label
    from medsegdiff.uncertainty.packing import pack_labelmap

    names = (("alpha", (220, 40, 30)), ("beta", (20, 90, 240)), ("gamma", (1, 2, 3)))
    terminology = "3D Slicer General Anatomy list~SCT^123037004^Structure~SCT^{}^{}~^^~~^^~^^"
    labels = tuple(Label(i + 1, name, color, terminology.format(i, name)) for i, (name, color) in enumerate(names))

    def make(shape=(24, 20, 16), affine=np.eye(4), seed=3):
        rng = np.random.default_rng(0)
        truth = np.zeros(shape, np.uint8)
        truth[3:10, 4:15, 2:12], truth[10:18, 4:15, 3:11] = 1, 2
        samples = [np.roll(truth, rng.integers(-1, 2, 3), (0, 1, 2)) for _ in range(4)]
        probability = np.mean([[sample == value for value in range(len(labels) + 1)] for sample in samples], axis=0)
        probability = probability.astype(np.float32)
        packed = np.stack([pack_labelmap(sample, len(labels) + 1) for sample in samples])
        variance = (probability * (1 - probability)).sum(0)
        report = {"model": "toy", "model_sha256": "ab" * 32, "version": "0.1", "seed": seed, "sampler": "ddim",
                  "steps": 4, "samples": 4, "ensemble": "toys"}  # fmt: skip
        calibration = {"expected_dice": {str(label.value): [0.0, 1.0] for label in labels}}
        return SegmentResult(
            probability.argmax(0).astype(np.uint8), probability, packed, np.full(4, 0.25),
            np.zeros(shape, np.float32), variance, affine, labels, calibration, report,
        ).with_statistics()  # fmt: skip

    return make


def node_ids(scene) -> list[str]:
    """Every node of the scene, to compare before and after."""
    return sorted(scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes()))


@pytest.fixture
def ids():
    """The function node_ids, for test files."""
    return node_ids


@pytest.fixture
def beating(scene, make_volume, make_transform):
    """A sequence of three volumes under a transform, its browser and proxy node."""
    import slicer

    logic = slicer.vtkSlicerSequencesLogic()
    logic.SetMRMLApplicationLogic(scene.application_logic)
    logic.SetMRMLScene(scene)
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "heart")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("ms")
    volume = make_volume(np.zeros((24, 20, 16), np.int16), np.diag([2.0, 1, 1, 1]), name="heart")
    for frame in range(3):
        slicer.util.updateVolumeFromArray(volume, np.full((16, 20, 24), frame, np.int16))
        sequence.SetDataNodeAtValue(volume, str(40 * frame))
    scene.RemoveNode(volume)
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.AddSynchronizedSequenceNode(sequence)
    logic.UpdateAllProxyNodes()
    proxy = browser.GetProxyNode(sequence)
    make_transform(proxy, np.array([[0, -1, 0, 5], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    return types.SimpleNamespace(sequence=sequence, browser=browser, proxy=proxy, logic=logic)
