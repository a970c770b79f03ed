"""What is missing is found without importing it, and an installation cannot replace Slicer's own packages."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import types
from pathlib import Path

import pytest
from medsegdiff.errors import JobError, RequestError
from MedSegDiffSlicerLib.setup import dependencies


@pytest.fixture
def installed(monkeypatch):
    """A table of installed versions that a test may change; pip_install fills it and is remembered."""
    versions, calls = {"torch": "2.13.0+cpu", "monai": "1.6.1", "safetensors": "0.8.0", "numpy": "2.4.6"}, []

    def version(name):
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    def pip_install(arguments):
        calls.append([Path(a).read_text() if a.endswith("constraints.txt") else a for a in arguments])
        versions.update({a.partition(">=")[0]: "99" for a in arguments if ">=" in a})

    monkeypatch.setattr(dependencies.importlib.metadata, "version", version)
    monkeypatch.setattr(dependencies.importlib.util, "find_spec", lambda name: name if name in versions else None)
    slicer = types.SimpleNamespace(util=types.SimpleNamespace(pip_install=pip_install))
    monkeypatch.setitem(sys.modules, "slicer", slicer)
    return types.SimpleNamespace(versions=versions, calls=calls)


def test_nothing_is_missing_where_all_is_there(installed):
    assert dependencies.missing() == []
    dependencies.require()


@pytest.mark.parametrize(("name", "version"), [("torch", "2.3.1"), ("monai", "1.4"), ("safetensors", None)])
def test_absent_or_old_packages_are_found(installed, name, version):
    installed.versions.pop(name)
    if version:
        installed.versions[name] = version
    assert dependencies.missing() == [name]
    with pytest.raises(RequestError, match=name):
        dependencies.require()


def test_package_whose_metadata_are_gone_is_missing(installed, monkeypatch):
    del installed.versions["monai"]
    monkeypatch.setattr(dependencies.importlib.util, "find_spec", lambda name: name)
    assert dependencies.missing() == ["monai"]


@pytest.mark.parametrize("record", [None, "", "Metadata-Version: 2.1\nName: monai\n"])
def test_package_whose_record_is_damaged_is_missing(monkeypatch, tmp_path, record):
    (tmp_path / "monai.py").touch()
    folder = tmp_path / "monai-1.6.1.dist-info"
    folder.mkdir()
    if record is not None:
        (folder / "METADATA").write_text(record)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(dependencies, "PROTECTED", ("monai",))
    assert "monai" in dependencies.missing()
    assert dependencies.pins([]) == []


def test_installation_holds_what_slicer_has(installed):
    del installed.versions["monai"], installed.versions["safetensors"]
    dependencies.install(dependencies.missing())
    ((flag, constraints, *packages),) = installed.calls
    assert flag == "-c" and packages == ["monai>=1.5", "safetensors>=0.4"]
    assert constraints.split() == ["numpy==2.4.6", "torch==2.13.0+cpu"]


def test_without_the_pytorch_extension_the_user_is_told_what_to_do(installed):
    del installed.versions["torch"]
    with pytest.raises(JobError, match="install the extension 'PyTorch'"):
        dependencies.install(["torch"])
    assert installed.calls == []


def test_pytorch_comes_through_the_pytorch_extension(installed, monkeypatch):
    del installed.versions["torch"]
    asked = []

    class PyTorchUtilsLogic:
        def installTorch(self, **options):
            asked.append(options)
            installed.versions["torch"] = "2.13"
            return types.ModuleType("torch")

    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace(PyTorchUtilsLogic=PyTorchUtilsLogic))
    dependencies.install(["torch"])
    assert asked == [{"askConfirmation": False, "torchVersionRequirement": ">=2.4"}]


def test_installation_that_did_not_help_is_an_error(installed):
    del installed.versions["monai"]
    sys.modules["slicer"].util.pip_install = lambda arguments: None
    with pytest.raises(JobError, match="monai could not be installed"):
        dependencies.install(["monai"])


def test_looking_imports_nothing_heavy():
    folder = str(Path(dependencies.__file__).resolve().parents[2])
    code = (
        f"import sys; sys.path.insert(0, {folder!r}); from MedSegDiffSlicerLib.setup import dependencies as d; "
        "d.missing(); print([m for m in ('torch', 'monai', 'slicer', 'vtk') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
