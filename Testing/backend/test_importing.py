"""Packages taken into the user's store: whole, checked, data only."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from medsegdiff.cli.main import main
from medsegdiff.errors import JobError, RequestError
from medsegdiff.models import importing, json_file, store
from medsegdiff.models.ensembles import ENSEMBLE, Ensemble, find_installed, list_installed
from medsegdiff.models.importing import import_package, remove_package
from medsegdiff.models.released import convert_released
from tiny_models import write_tiny_model


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "user_store", lambda: tmp_path / "store")
    monkeypatch.setattr(store, "user_store", lambda: tmp_path / "store")
    package = write_tiny_model(tmp_path / "source" / "tiny", "unet")
    (package.folder / "run_me.py").write_text("print('code')")
    return package


@pytest.mark.parametrize("zipped", [False, True])
def test_imported_model_is_found_by_name_without_its_code(package, tmp_path, zipped):
    path = package.folder
    if zipped:
        path = shutil.make_archive(str(tmp_path / "tiny"), "zip", tmp_path / "source")
    imported = import_package(path)
    assert imported.folder == tmp_path / "store" / "tiny"
    assert store.find_model("tiny").weights_path.read_bytes() == package.weights_path.read_bytes()
    names = sorted(p.name for p in imported.folder.rglob("*") if p.is_file())
    assert names == ["metadata.json", "model.safetensors", "segmenter.json"]


def test_weights_whose_name_looks_like_a_pattern_are_taken(package):
    package.weights_path.rename(package.folder / "models" / "a[b].safetensors")
    config = package.folder / "configs" / "segmenter.json"
    config.write_text(config.read_text().replace(package.weights, "models/a[b].safetensors"))
    assert import_package(package.folder).weights_path.is_file()


def test_importing_again_replaces(package, tmp_path):
    import_package(package.folder)
    (tmp_path / "store" / "tiny" / "stale.txt").write_text("old")
    assert not (import_package(package.folder).folder / "stale.txt").exists()
    assert [p.name for p in (tmp_path / "store").iterdir()] == ["tiny"]


def test_an_ensemble_of_that_name_stays_and_a_model_goes_before_it(package, tmp_path, monkeypatch):
    members = [{"model": name, "samples": 1} for name in ("hippocampus-unet", "hippocampus-transformer")]
    config = tmp_path / "store" / "tiny" / ENSEMBLE
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps({"format": 1, "name": "tiny", "description": "two", "members": members}))
    with pytest.raises(RequestError, match="holds an ensemble, which would be lost"):
        import_package(package.folder)
    assert isinstance(find_installed("tiny"), Ensemble)
    deep = {**json.loads(config.read_text()), "name": "deep", "validation": {"a": json.loads("[" * 700 + "]" * 700)}}
    (tmp_path / "store/deep/configs").mkdir(parents=True)
    (tmp_path / "store/deep" / ENSEMBLE).write_text(json.dumps(deep))
    assert "deep" not in [one.name for one in list_installed()]
    monkeypatch.setenv("MEDSEGDIFF_MODELS", str(tmp_path / "source"))
    assert find_installed("tiny").folder == package.folder
    assert [one.folder for one in list_installed() if one.name == "tiny"] == [package.folder]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["model.pt", "model.zip", "model.onnx", "model"])
def test_pipes_and_devices_are_refused_before_anybody_waits_for_them(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(RequestError, match="is a device or a pipe"):
        import_package(tmp_path / name)


def test_damaged_or_foreign_packages_are_refused_and_leave_nothing(package, tmp_path):
    package.weights_path.write_bytes(b"changed")
    with pytest.raises(RequestError, match="damaged"):
        import_package(package.folder)
    with pytest.raises(RequestError, match="neither a folder nor a .zip"):
        import_package(tmp_path / "nothing.zip")
    whole = shutil.make_archive(str(tmp_path / "whole"), "zip", tmp_path / "source")
    (tmp_path / "half.zip").write_bytes(Path(whole).read_bytes()[:-1000])
    with pytest.raises(RequestError, match="half.zip is damaged or incomplete"):
        import_package(tmp_path / "half.zip")
    empty = shutil.make_archive(str(tmp_path / "empty"), "zip", tmp_path / "source" / "tiny" / "models")
    for path in (empty, tmp_path / "source" / "tiny" / "models"):
        with pytest.raises(RequestError, match="holds no model; give a model package, .* nnU-Net"):
            import_package(path)
    assert not (tmp_path / "store").exists()


def test_damaged_files_are_refused(package, tmp_path):
    (tmp_path / "cut.pt").write_bytes(b"\x80\x02.")
    with pytest.raises(RequestError, match="damaged"):
        import_package(tmp_path / "cut.pt")
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("configs/segmenter.json", b"unmistakable")
    path.write_bytes(path.read_bytes().replace(b"unmistakable", b"mistakenable", 1))
    with pytest.raises(RequestError, match="is damaged"):
        import_package(path)
    with pytest.raises(RequestError, match="no checkpoint"):
        convert_released({"input_blocks.0.0.weight": torch.tensor(1.0), "out.2.weight": torch.tensor(1.0)}, "x.pt")


def test_folder_of_licences_is_passed_over(package):
    (package.folder / "LICENSES").mkdir()
    assert not (import_package(package.folder).folder / "LICENSES").exists()


@pytest.mark.parametrize("heads", [0, -1])
def test_impossible_heads_are_refused(tmp_path, heads):
    with pytest.raises(RequestError, match="attention heads"):
        import_package(tmp_path / "any.pt", heads=heads)


def test_broken_model_is_removed_and_nothing_outside(package, tmp_path):
    imported = import_package(package.folder)
    (imported.folder / "configs" / "segmenter.json").write_text("{")
    for name in ("..", "../source", "", str(package.folder)):
        with pytest.raises(RequestError):
            remove_package(name)
    assert package.folder.is_dir()
    with pytest.raises(RequestError, match="came with medsegdiff and stays"):
        remove_package("hippocampus-unet")
    remove_package("tiny")
    assert not imported.folder.exists()


def test_a_broken_model_with_the_name_of_a_shipped_one_is_removed(package, tmp_path):
    folder = tmp_path / "store" / "hippocampus-unet"
    shutil.copytree(package.folder, folder)
    (folder / "configs" / "segmenter.json").write_text("{")
    assert remove_package("hippocampus-unet") == folder and not folder.exists()


def test_of_two_models_of_a_name_the_one_that_is_used_is_removed(package, tmp_path):
    imported = import_package(package.folder)
    shutil.copytree(imported.folder, tmp_path / "store" / "a copy of mine")
    used = find_installed("tiny").folder
    assert remove_package("tiny") == used and not used.exists()
    assert find_installed("tiny").folder != used


def test_what_is_left_of_a_removed_model_is_no_model(package, monkeypatch):
    """Where its folder cannot be emptied."""
    import_package(package.folder)
    monkeypatch.setattr(shutil, "rmtree", lambda *_arguments, **_options: None)
    folder = remove_package("tiny")
    assert not folder.exists() and list(folder.parent.glob(".removing-*"))
    with pytest.raises(RequestError, match="not known"):
        find_installed("tiny")


def test_a_full_disk_leaves_the_configuration_as_it_was(package, monkeypatch):
    import errno

    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = package.folder / "configs" / "segmenter.json"
    before, files = path.read_text(), sorted(path.parent.iterdir())
    for broken in ("os.replace", "pathlib.Path.write_text"):
        with monkeypatch.context() as disk, pytest.raises(JobError, match="segmenter.json: cannot be written .*room"):
            disk.setattr(broken, full)
            json_file.write_json(path, {"format": 1})
        assert path.read_text() == before and sorted(path.parent.iterdir()) == files


def test_a_model_that_hides_another_one_says_so(package, tmp_path, monkeypatch, capsys):
    shipped = write_tiny_model(tmp_path / "shipped" / "tiny", "unet")
    monkeypatch.setattr(store, "model_folders", lambda: [tmp_path / "store", tmp_path / "shipped"])
    assert main(["models", "list"]) == 0 and "instead of" not in capsys.readouterr().out
    assert main(["models", "import", str(package.folder)]) == 0
    assert f"instead of {shipped.folder}" in capsys.readouterr().err
    assert main(["models", "list"]) == 0 and f"instead of {shipped.folder}" in capsys.readouterr().out


def test_only_what_is_not_found_is_hidden(package, tmp_path, monkeypatch):
    """Whatever the folders are called."""
    write_tiny_model(tmp_path / "first" / "tiny", "unet")
    other = tmp_path / "first" / "tiny" / "configs" / "segmenter.json"
    other.write_text(other.read_text().replace('"tiny"', '"mine"'))
    elsewhere = write_tiny_model(tmp_path / "second" / "tiny", "unet")
    (tmp_path / "second" / "tiny").rename(tmp_path / "second" / "named otherwise")
    again = write_tiny_model(tmp_path / "third" / "tiny", "unet")
    folders = [tmp_path / name for name in ("first", "second", "third")]
    monkeypatch.setattr(store, "model_folders", lambda: folders)
    assert store.hidden_by(store.find_model("mine")) == []
    assert store.find_model("tiny").folder == elsewhere.folder.with_name("named otherwise")
    assert store.hidden_by(store.find_model("tiny")) == [again.folder]


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), KeyboardInterrupt()])
def test_all_or_none_take_their_places(package, tmp_path, monkeypatch, error):
    two = [store.load_package(package.folder), store.load_package(write_tiny_model(tmp_path / "two", "unet").folder)]
    importing._install(two[:1])
    before = (tmp_path / "store" / "tiny" / "configs" / "segmenter.json").stat().st_ino
    rename, failing = Path.rename, []

    def full(self, target):
        if target.name == "two" and self.name == "new":
            failing.append(target)
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(type(error)):
        importing._install(two)
    assert failing and [path.name for path in (tmp_path / "store").iterdir()] == ["tiny"]
    assert (tmp_path / "store" / "tiny" / "configs" / "segmenter.json").stat().st_ino == before


def test_full_disk_is_told_where_weights_are_written(package, tmp_path):
    resource = pytest.importorskip("resource", reason="no file size limits on this system")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(JobError, match="cannot be written .*; make room, and try again"):
            write_tiny_model(tmp_path / "large", "unet")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("name", ["missing.ts", "missing.onnx", "missing.pt"])
def test_mistyped_name_is_told(package, tmp_path, name):
    told = {"labels": ["a"], "channels": ["T1"], "spacing": [1, 1, 1], "normalization": "zscore"}
    with pytest.raises(RequestError, match="check (its|the) name"):
        import_package(tmp_path / name, **({} if name.endswith(".pt") else {**told, "trust": True}))
