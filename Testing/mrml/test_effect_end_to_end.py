"""The effect's whole way without its widgets: sample, worker process, previews, rules, a click, segments, undo."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest


@pytest.mark.slow
def test_run_correct_and_apply(scene, make_volume):
    from medsegdiff.image import read_image
    from medsegdiff.models.store import shipped_resources
    from medsegdiff.worker.client import WorkerClient
    from MedSegDiffSlicerLib.jobs.controller import SegmentationJob
    from MedSegDiffSlicerLib.nodes.modifier_labelmap import write
    from MedSegDiffSlicerLib.jobs.background import Background
    from MedSegDiffSlicerLib.jobs.opinions_session import OpinionsSession
    from MedSegDiffSlicerLib.jobs.run_request import Choices, prepare
    from MedSegDiffSlicerLib.nodes.target_segments import one_each
    from segment_editor import LogicEditor, all_voxels

    sample = read_image(shipped_resources() / "SampleData" / "ICBM152_hippocampus_left.nii.gz")
    volume = make_volume(sample.array[0], sample.affine)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "segments")
    node.CreateDefaultDisplayNodes()
    editor, worker, jobs = LogicEditor(scene, node, volume), WorkerClient(sys.executable), []

    def start(image, request, progress, preview, finished, volumes):
        job = SegmentationJob(
            worker.submit(request, image, previews=True), volumes, lambda result: result, progress, finished, preview
        )
        jobs.append(job)
        return job

    def until(condition, timeout=100.0) -> float:
        began = time.perf_counter()
        while not condition():
            assert time.perf_counter() - began < timeout
            jobs[-1].pump()
            time.sleep(0.002)
        return time.perf_counter() - began

    session = OpinionsSession(start, lambda: None, Background(patience=60), Background(patience=60))
    volumes, box, request = prepare(Choices("hippocampus-medsegdiff", 8, 2), editor.node)
    try:
        session.run(volumes, box, request)
        cold = until(lambda: session.labelmap is not None)
        until(lambda: not session.running)
        session.run(volumes, box, request)
        warm = until(lambda: session.labelmap is not None)
        assert session.result is None and session.opinions < 8, "a preview comes before the result"
        total = warm + until(lambda: not session.running)
        print(f"MEASURED first opinion {cold:.2f} s cold, {warm:.2f} s warm; 8 opinions {total:.2f} s")
        shown = session.labelmap
        for fusion in ("majority", "staple", "multilabel-staple", "mean"):
            began = time.perf_counter()
            session.set_rule(fusion, 0.3)
            print(f"MEASURED {fusion} at another threshold {1000 * (time.perf_counter() - began):.0f} ms")
            assert session.labelmap.sum() >= shown.sum()
        index = np.argwhere(shown == 1)[0] - (3, 0, 0)
        place = (sample.affine @ [*index, 1])[:3]
        began = time.perf_counter()
        session.add_clicks([(*place.tolist(), 1)])
        print(f"MEASURED a click answered after {1000 * (time.perf_counter() - began):.0f} ms")
        assert session.labelmap[tuple(index)] == 1 and session.running
        again = until(lambda: not session.running)
        print(f"MEASURED new opinions with the click after {again:.2f} s")
        assert session.labelmap[tuple(index)] == 1 and session.error is None
        session.check_current()
        ids = write(editor, session.labelmap, session.box, volume, one_each(node, session.result.labels))
    finally:
        worker.close()
    now = all_voxels(node, volume)
    assert [np.array_equal(now[id], session.labelmap == n) for n, id in enumerate(ids, 1)] == [True, True]
    editor.logic.Undo()
    assert node.GetSegmentation().GetNumberOfSegments() == 0
