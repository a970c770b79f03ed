"""The section 'Models' of the panel, its widgets being stand-ins: when it imports, and what it tells then."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest


@pytest.fixture
def section(scene, monkeypatch):
    """The section with the steps that wait for the packages in `waiting`, and the paths imported in `imported`."""
    monkeypatch.setitem(sys.modules, "qt", MagicMock())
    monkeypatch.setitem(sys.modules, "slicer.util", MagicMock())
    for name in ("models", "fitting_label"):
        monkeypatch.delitem(sys.modules, f"MedSegDiffSlicerLib.panel.{name}", raising=False)
    from MedSegDiffSlicerLib.panel.models import ModelsSection

    waiting, imported = [], []
    package = SimpleNamespace(name="mine", folder="store/mine")
    logic = SimpleNamespace(importModel=lambda path, _options: imported.append(path) or package)
    ui = MagicMock()
    ui.importOptionsEdit.text = ""
    made = ModelsSection(ui, logic, waiting.append, lambda: None)
    yield SimpleNamespace(it=made, ui=ui, waiting=waiting, imported=imported, package=package)
    for name in ("models", "fitting_label"):
        sys.modules.pop(f"MedSegDiffSlicerLib.panel.{name}", None)


def test_model_is_imported_once_the_packages_are_there(section):
    section.it.import_model("model.zip")
    assert section.imported == [] and len(section.waiting) == 1
    section.waiting[0]()
    assert section.imported == ["model.zip"]


@pytest.mark.parametrize(
    ("folder", "words"),
    [(None, ""), ("store/mine", "replaced the model 'mine'"), ("shipped/mine", "the model in shipped/mine: only one")],
)
def test_model_of_the_same_name_is_told_of(section, monkeypatch, folder, words):
    told = []
    monkeypatch.setattr(section.it, "_tell", lambda text, is_error=False: told.append(text))
    monkeypatch.setattr(section.it, "look_at", lambda _name: None)
    section.it._packages = {} if folder is None else {"mine": SimpleNamespace(folder=folder)}
    section.it.import_model("model.zip")
    section.waiting[0]()
    assert told[-1].startswith("Imported to store/mine.") and words in told[-1]
    assert words or told[-1] == "Imported to store/mine."


def test_a_model_that_cannot_be_read_is_told(section, monkeypatch, tmp_path):
    (tmp_path / "half/configs").mkdir(parents=True)
    (tmp_path / "half/configs/segmenter.json").write_text("{")
    monkeypatch.setenv("MEDSEGDIFF_MODELS", str(tmp_path))
    section.ui.modelsList.currentItem.return_value, told = None, []
    monkeypatch.setattr(section.it, "_tell", lambda text, is_error=False: told.append((text, is_error)))
    section.it.list_models({})
    assert str(tmp_path / "half") in told[-1][0] and told[-1][1]
