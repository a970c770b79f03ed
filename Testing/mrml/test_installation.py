"""Packages are installed by programs beside Slicer: in order, held back by constraints, resumed, and failing in
words."""

from __future__ import annotations

import ast
import importlib.metadata
import sys
import tempfile
import types
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest
from medsegdiff.errors import Cancelled, JobError
from MedSegDiffSlicerLib.setup import dependencies


class Settings(dict):
    """As QSettings."""

    value, setValue = dict.get, dict.__setitem__

    def remove(self, key):
        self.pop(key, None)


class Launched:
    """A program whose output and end a test decides."""

    def __init__(self, command, onLine, onDone):
        self.command, self.say, self.end, self.killed = command, onLine, onDone, False
        self.constraints = None
        if "-c" in command:
            self.constraints = Path(command[command.index("-c") + 1]).read_text().split()

    def kill(self):
        self.killed = True


@pytest.fixture
def made(monkeypatch):
    """Versions installed, programs launched, settings, what was told, and begin(names)."""
    from MedSegDiffSlicerLib.setup.installation import Installation

    versions, launched, told, ends, settings = {"numpy": "2.0.2", "SimpleITK": "2.5.0"}, [], [], [], Settings()

    def version(name):
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    def launch(*arguments):
        launched.append(Launched(*arguments))
        return launched[-1]

    def begin(names, wheels=""):
        return Installation(names, launch, settings, "python", "Slicer", wheels, told.append, ends.append).begin()

    monkeypatch.setattr(dependencies.importlib.metadata, "version", version)
    monkeypatch.setattr(dependencies.importlib.util, "find_spec", lambda name: name if name in versions else None)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace())
    return types.SimpleNamespace(**locals())


def test_pytorch_by_its_extension_in_another_slicer_then_the_others_by_pip(made, monkeypatch, tmp_path):
    (tmp_path / "spare room").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "spare room"))
    installation = made.begin(["torch", "monai", "safetensors"])
    (first,) = made.launched
    assert first.command[0] == "Slicer" and "--no-main-window" in first.command
    assert first.command[-2] == "--python-script"
    script = Path(first.command[-1]).read_text()
    assert "installTorch(askConfirmation=False, torchVersionRequirement='>=2.4')" in script
    compile(script, "script", "exec")
    held_back = next(line for line in script.splitlines() if "PIP_CONSTRAINT" in line).split(" = ")[1]
    address = ast.literal_eval(held_back)
    assert " " not in address and "spare%20room" in address
    assert Path(url2pathname(urlparse(address).path)).read_text().split() == ["numpy==2.0.2", "SimpleITK==2.5.0"]
    assert not any("\n" in argument for argument in first.command), "which some Slicers refuse"
    first.say("addToolBar: no main window is available")
    first.say("  Downloading torch")
    made.versions["torch"] = "2.13.0"
    first.end(0)
    second = made.launched[1]
    assert second.command[:5] == ["python", "-P", "-m", "pip", "install"] and second.command[-2:] == [
        "monai>=1.5",
        "safetensors>=0.4",
    ]
    assert second.constraints == ["numpy==2.0.2", "SimpleITK==2.5.0", "torch==2.13.0"]
    made.versions.update(monai="1.6", safetensors="0.8")
    second.end(0)
    assert installation.finished and made.ends == [None] and made.settings == {}
    assert made.told == ["Installing PyTorch...", "Downloading torch", "Installing monai, safetensors..."]


def test_what_was_broken_off_is_remembered_until_it_is_there(made):
    from MedSegDiffSlicerLib.setup.installation import unfinished

    made.versions.update(torch="2.13", safetensors="0.8")
    assert unfinished(made.settings) == []
    made.begin(["monai"]).cancel()
    assert made.launched[0].killed and isinstance(made.ends[0], Cancelled)
    assert unfinished(made.settings) == ["monai"]  # also after a restart, as the settings stay
    made.launched[0].end(-9)
    assert len(made.ends) == 1
    made.begin(["monai"])
    made.versions["monai"] = "1.6"
    made.launched[1].end(0)
    assert unfinished(made.settings) == [] and made.settings == {}


def test_failure_says_what_pip_said_and_without_a_connection_what_to_do(made):
    made.versions.update(torch="2.13", safetensors="0.8")
    made.begin(["monai"])
    made.launched[0].say("ERROR: Could not find a version")
    made.launched[0].say("ERROR: No matching distribution found for monai>=1.5")
    made.launched[0].end(1)
    (error,) = made.ends
    assert isinstance(error, JobError)
    for words in ("monai could not be installed", "pip download 'torch>=2.4' 'monai>=1.5'", "No matching distribution"):
        assert words in str(error)
    made.begin(["monai"])
    made.launched[1].say("disk full")
    made.launched[1].end(1)
    assert "pip download" not in str(made.ends[1]) and "disk full" in str(made.ends[1])


def test_folder_with_wheels_needs_no_index_and_no_extension(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    made.versions.update(torch="2.0", safetensors="0.8")
    made.begin(["torch", "monai"], wheels="/media/stick")
    (only,) = made.launched
    assert only.command[only.command.index("--no-index") + 1 :][:2] == ["--find-links", "/media/stick"]
    assert only.command[-2:] == ["torch>=2.4", "monai>=1.5"]
    assert not any(line.startswith("torch") for line in only.constraints)


def test_without_the_pytorch_extension_nothing_begins(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(JobError, match="install the extension 'PyTorch'"):
        made.begin(["torch"])
    assert made.launched == [] and made.settings == {}


def test_program_that_ends_well_without_having_helped_is_an_error(made):
    made.versions.update(torch="2.13", safetensors="0.8")
    made.begin(["monai"])
    made.launched[0].end(0)
    assert "monai could not be installed; restart Slicer" in str(made.ends[0])


def test_program_that_cannot_be_started_ends_it_with_the_reason(made, monkeypatch):
    made.begin(["torch", "monai"])
    made.versions["torch"] = "2.13"

    def refuse(*_told):
        raise OSError("no memory")

    monkeypatch.setattr(sys.modules[__name__], "Launched", refuse)
    made.launched[0].end(0)
    (error,) = made.ends
    assert isinstance(error, JobError) and "monai could not be installed: no memory" in str(error)
    assert made.begin(["monai"]).finished and len(made.ends) == 2


def test_real_python_is_asked_for_its_devices():
    import time

    from MedSegDiffSlicerLib.setup.device_question import DeviceQuestion, in_words

    question = DeviceQuestion(sys.executable)
    deadline = time.monotonic() + 100
    while question.answer is None and time.monotonic() < deadline:
        time.sleep(0.1)
    import torch

    assert question.answer["torch"] == torch.__version__
    assert (question.answer["kind"] == "cuda") == torch.cuda.is_available()
    text = in_words(question.answer)
    assert text.startswith("GPU found" if question.answer["kind"] != "cpu" else "No GPU is used")


def test_python_without_torch_is_told():
    import time

    from MedSegDiffSlicerLib.setup.device_question import DeviceQuestion, in_words

    question = DeviceQuestion(sys.executable, environment={"PYTHONNOUSERSITE": "1", "PYTHONHOME": "/nowhere"})
    deadline = time.monotonic() + 60
    while question.answer is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "PyTorch cannot be loaded" in in_words(question.answer)


@pytest.mark.parametrize(
    ("reason", "words"), [("cpu-build", "build for CPUs"), ("no-driver", "no NVIDIA driver"), ("old-driver", "too old")]
)
def test_why_there_is_no_gpu(reason, words):
    from MedSegDiffSlicerLib.setup.device_question import in_words

    answer = {"torch": "2", "kind": "cpu", "names": [], "memory": [], "reason": reason, "details": "torch's words"}
    assert words in in_words(answer) and in_words(answer).endswith("(torch's words)")
    gpu = {**answer, "kind": "cuda", "names": ["NVIDIA H200"], "memory": [150e9], "reason": "", "details": ""}
    assert in_words(gpu) == "GPU found: NVIDIA H200 (150 GB). It is used."
