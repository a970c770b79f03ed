"""What the panel tells of a model; the panel's choices as options; the run as Python and as a log."""

from __future__ import annotations

import re
import types
from dataclasses import replace

import numpy as np
import pytest
from medsegdiff.errors import Cancelled, JobError, RequestError
from medsegdiff.models.importing import import_package
from medsegdiff.models.store import find_model


@pytest.fixture
def package():
    return find_model("hippocampus-medsegdiff")


def test_model_is_described_with_all_that_matters(scene, package):
    from MedSegDiffSlicerLib.panel import model_browser

    text = model_browser.describe(package)
    red, green, blue = package.foreground[0].color
    assert f"rgb({red},{green},{blue})" in text
    for words in (
        "anterior hippocampus", "T1 (MR)", "CC-BY-SA-4.0", "160, then 140 cases", "arXiv:1902.09063", "0.893",
        "Calibration error",
        "96 %", "MB",
    ):  # fmt: skip
        assert words in text, words
    assert model_browser.picture_of(package).name == "reliability.png"
    assert model_browser.size_on_disk(package) > package.weights_path.stat().st_size


def test_what_a_package_says_is_text_and_what_it_lacks_is_left_out(scene, package):
    from MedSegDiffSlicerLib.panel import model_browser

    bare = replace(
        package, description="<b>x</b>", training={"validation": {"dice": "good"}}, licence="", attribution=""
    )
    text = model_browser.describe(bare)
    assert "&lt;b&gt;x" in text and "Measured quality" not in text and "not stated" in text
    assert "Dice, A &amp; B:" in model_browser.describe(
        replace(package, training={"validation": {"dice": {"A & B": 0.5}}})
    )


def test_imported_model_can_be_removed_a_shipped_one_not(scene, package, tmp_path, monkeypatch):
    from MedSegDiffSlicerLib.panel import model_browser

    monkeypatch.setattr("medsegdiff.models.store.user_store", lambda: tmp_path)
    for module in ("medsegdiff.models.importing", "MedSegDiffSlicerLib.panel.model_browser"):
        monkeypatch.setattr(f"{module}.user_store", lambda: tmp_path)
    assert not model_browser.is_removable(package)
    with pytest.raises(RequestError):
        model_browser.remove(package)
    imported = import_package(package.folder)
    assert model_browser.is_removable(imported)
    model_browser.remove(imported)
    assert not imported.folder.exists() and package.folder.exists()


def choices(**changes):
    usual = dict(model="m", samples=8, steps=2, seed=0, sampler="auto", fusion="mean", threshold=0.0, variants="auto",
                 settle=0.0, device="auto", precision="auto", tile=0, otherModels="")  # fmt: skip
    return types.SimpleNamespace(**{**usual, **changes})


def test_choices_left_alone_are_no_options(scene):
    from MedSegDiffSlicerLib.jobs.run_options import models_from, options_from

    assert options_from(choices()) == {"samples": 8, "steps": 2, "seed": 0}
    assert models_from(choices()) == "m" and models_from(choices(otherModels="m|n|o")) == ["m", "n", "o"]


def test_every_choice_is_an_option_that_a_request_takes(scene):
    from MedSegDiffSlicerLib.jobs.run_options import CHOICES, options_from
    from medsegdiff.inference.request import SegmentRequest

    options = options_from(
        choices(
            sampler="dpm++",
            fusion="staple",
            variants="mirror+rotation",
            settle=0.005,
            device="cpu",
            precision="bf16",
            tile=96,
        )
    )
    assert options == {
        "samples": 8, "steps": 2, "seed": 0, "sampler": "dpm++", "fusion": "staple", "variants": ["mirror", "rotation"],
        "settle": 0.005, "device": "cpu", "precision": "bf16", "tile": 96,
    }  # fmt: skip
    SegmentRequest.from_dict({"model": "m", **options})
    assert options_from(choices(variants="none"))["variants"] == []
    assert options_from(choices(threshold=0.4))["threshold"] == 0.4
    for name, values in CHOICES.items():
        for value in values:
            SegmentRequest.from_dict({"model": "m", **options_from(choices(**{name: value}))})


def test_call_finds_the_nodes_again_and_says_what_was_asked(scene, make_volume, monkeypatch):
    import slicer
    from MedSegDiffSlicerLib.jobs.copy_as_python import segment_call

    t1, flair = (
        make_volume(np.zeros((4, 5, 6), np.int16), name="T1 'x'"),
        make_volume(np.zeros((4, 5, 6)), name="[2] FLAIR"),
    )
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    arguments = {"samples": 8, "fusion": "staple", "segmentationNode": segmentation, "measures": ["entropy"]}
    text = segment_call([t1, flair], ["a", "b"], arguments)
    asked = []
    logic = types.SimpleNamespace(segment=lambda *inputs, **options: asked.append((inputs, options)))
    monkeypatch.setattr(slicer.util, "getModuleLogic", lambda name: logic)
    exec(text, {"slicer": slicer})
    assert asked == [(([t1, flair],), {"model": ["a", "b"], **arguments})]
    assert "getNode(\"T1 'x'\")" in text and f"getNode({flair.GetID()!r})" in text
    make_volume(np.zeros((4, 5, 6)), name="T1 'x'")
    assert f"logic.segment(slicer.util.getNode({t1.GetID()!r}), model='a')" in segment_call([t1], "a", {})


@pytest.mark.parametrize(
    ("names", "others", "kept"),
    [
        (["T1"], [], True), (["T1"], ["other"], True), (["T1"], ["T1"], False),
        (["T1", "FLAIR"], ["other"], True), (["T1", "FLAIR"], ["FLAIR"], False), (["T1", "FLAIR"], ["T1"], False),
        (["[1] T1"], [], True), (["[1] T1"], ["other"], False),
        (["T1", "[2] FLAIR"], ["other"], False), (["T1 'x'", 'FLAIR "y"'], ["other"], True),
    ],
)  # fmt: skip
def test_call_that_came_with_a_scene_is_told_where_it_names_the_same_nodes(
    scene, make_volume, make_result, tmp_path, monkeypatch, names, others, kept
):
    """names: of the channels.  others: of volumes that are there before the scene is."""
    import slicer
    from MedSegDiffSlicerLib.jobs.copy_as_python import recalled_call, segment_call
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result
    from MedSegDiffSlicerLib.nodes.slicer_result import CALL

    volumes = [make_volume(np.full((24, 20, 16), value, np.int16), name=name) for value, name in enumerate(names)]
    node = add_result(scene, make_result(), volumes[0]).segmentationNode
    node.SetAttribute(CALL, segment_call(volumes, "m", {"segmentationNode": node}))
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene.Clear(0)
    for name in others:
        make_volume(np.full((24, 20, 16), 9, np.int16), name=name)
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"), False)
    (node,) = [one for one in scene.GetNodes() if one.GetAttribute(CALL)]
    text, asked = recalled_call(node), []
    assert text == (node.GetAttribute(CALL) if kept else "")
    logic = types.SimpleNamespace(segment=lambda inputs, **options: asked.append((inputs, options)))
    monkeypatch.setattr(slicer.util, "getModuleLogic", lambda name: logic)
    exec(text, {"slicer": slicer})
    for inputs, options in asked:
        inputs = inputs if isinstance(inputs, list) else [inputs]
        assert [slicer.util.arrayFromVolume(one).max() for one in inputs] == list(range(len(names)))
        assert options["segmentationNode"] is node


def test_segmentation_without_a_call_has_none_to_tell(scene, make_volume, make_result):
    from MedSegDiffSlicerLib.jobs.copy_as_python import recalled_call
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    volume = make_volume(np.zeros((24, 20, 16), np.int16))
    node = add_result(scene, make_result(), volume).segmentationNode
    assert recalled_call(node) == ""
    scene.RemoveNode(volume)
    assert recalled_call(node) == ""


def test_call_without_a_volume_is_refused_by_the_logic_not_by_its_text(scene):
    from MedSegDiffSlicerLib.jobs.copy_as_python import segment_call

    assert "logic.segment(None, model='m')" in segment_call([None], "m", {})


def test_calls_of_batches(scene, make_volume):
    from MedSegDiffSlicerLib.jobs.copy_as_python import batch_call, sequence_call

    one, two = (make_volume(np.zeros((4, 5, 6)), name=name) for name in ("one", "two"))
    text = batch_call([[one], [one, two]], "m", {"seed": 1}, ("one", "one"))
    node = "slicer.util.getNode('{}')".format
    assert f"startBatch([{node('one')}, [{node('one')}, {node('two')}]], model='m', seed=1)" in text
    assert text.endswith("batch.wait()\n")
    browser = scene.AddNewNodeByClass("vtkMRMLTextNode", "beat")
    assert f"startSequenceBatch({node('beat')}, [{node('one')}], model='m')" in sequence_call(browser, [one], "m", {})
    browser.SetName("one")  # as a sequence has the name of the volume that shows its frames
    assert "[slicer.util.getFirstNodeByClassByName('vtkMRMLScalarVolumeNode', 'one')]" in sequence_call(
        browser, [one], "m", {}
    )
    browser.SetName("beat")
    named = batch_call([[one], [None, two]], "m", {"seed": 1}, ("Ann", "two"))
    assert f"startBatch([{node('one')}, [None, {node('two')}]], model='m', names=['Ann', 'two'], seed=1)" in named
    for text in (batch_call([[one]], "m", {}, ["one"]), sequence_call(browser, [one], "m", {})):
        compile(text, "call", "exec")


@pytest.mark.parametrize(
    ("error", "words"),
    [(None, "done in 1.5 s"), (JobError("no memory"), "failed: no memory"), (Cancelled(), "cancelled")],
)
def test_log_tells_versions_run_outcome_and_what_the_worker_said(scene, make_result, error, words):
    from MedSegDiffSlicerLib.jobs.run_log import log_text, outcome_of

    result = None if error else make_result()
    job = types.SimpleNamespace(error=error, result=result, seconds=1.5)
    lines = ["a line", "the last line"]
    text = log_text("Slicer 5.10", "result = logic.segment(...)", outcome_of(job), lines, "CPU", "no disk")
    assert text.startswith("# versions\nSlicer 5.10\nMedSegDiff ")
    assert re.search(r"^torch (\d|is not)", text, re.MULTILINE)
    assert "# device\nCPU\n" in text and "# last error shown\nno disk\n" in text
    assert "result = logic.segment(...)" in text and words in text and text.endswith("a line\nthe last line\n")
    if result:
        assert '"model": "toy"' in text
    assert "not started, or no run of the panel's own" in outcome_of()
