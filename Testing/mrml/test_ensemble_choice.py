"""An ensemble among the models: what it says of itself, and what choosing it asks for."""

from __future__ import annotations

import json
import shutil

import pytest
from medsegdiff.errors import RequestError
from medsegdiff.models.ensembles import ENSEMBLE, find_ensemble

MEMBERS = [{"model": "hippocampus-medsegdiff", "samples": 8, "weight": 3}, {"model": "hippocampus-unet", "samples": 1}]


@pytest.fixture
def ensemble(tmp_path, monkeypatch):
    path = tmp_path / "pair" / ENSEMBLE
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"format": 1, "name": "pair", "description": "Two & more", "members": MEMBERS}))
    monkeypatch.setenv("MEDSEGDIFF_MODELS", str(tmp_path))
    return find_ensemble("pair")


def test_it_is_described_as_models_are(scene, ensemble):
    from MedSegDiffSlicerLib.panel import model_browser

    text = model_browser.describe(ensemble)
    for words in ("Two &amp; more", "anterior hippocampus", "hippocampus-medsegdiff, hippocampus-unet", "CC-BY-SA-4.0"):
        assert words in text, words
    assert model_browser.picture_of(ensemble) is None and not model_browser.is_removable(ensemble)


def test_the_request_names_the_folders_of_its_members(scene, ensemble):
    from MedSegDiffSlicerLib.jobs.run_request import request_of

    request = request_of("pair", {"samples": 4, "steps": 2})
    assert [name.rpartition("/")[2] for name in request.models] == ["hippocampus-medsegdiff", "hippocampus-unet"]
    assert (request.samples, request.weights, request.ensemble) == ((4, 1), (3, 1), str(ensemble.folder))
    assert request_of(["hippocampus-unet", "hippocampus-medsegdiff"], {}).ensemble is None
    with pytest.raises(RequestError, match="asked alone"):
        request_of(["pair", "hippocampus-unet"], {})


def test_a_folder_where_slicer_was_started_is_not_taken_for_an_installed_model(scene, tmp_path, monkeypatch):
    from MedSegDiffSlicerLib.jobs.run_request import request_of
    from medsegdiff.models.store import shipped_resources

    shipped, name = shipped_resources().resolve() / "Models", "hippocampus-unet"
    shutil.copytree(shipped / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert request_of(name, {}).model == str(shipped / name)
    assert request_of(["hippocampus-ensemble"], {}).others[0] == str(shipped / name)
    assert request_of(tmp_path / name, {}).model == request_of(f"./{name}", {}).model == str(tmp_path / name)


def test_the_effect_asks_it_with_the_source_volume(scene, ensemble, make_volume):
    import numpy as np
    from MedSegDiffSlicerLib.jobs.run_request import Choices, prepare

    editor = scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    editor.SetAndObserveSourceVolumeNode(make_volume(np.zeros((12, 10, 8), np.int16)))
    volumes, _box, request = prepare(Choices("pair", 8, 2), editor)
    assert volumes == [editor.GetSourceVolumeNode()] and request.samples == (8, 1)
