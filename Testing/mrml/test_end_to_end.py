"""The whole way without the application: sample, volume node, worker process, trained model, nodes."""

from __future__ import annotations

import sys

import numpy as np
import pytest


@pytest.mark.slow
def test_sample_is_segmented_into_nodes(scene, make_volume):
    import slicer
    from medsegdiff.image import read_image
    from medsegdiff.inference.request import SegmentRequest
    from medsegdiff.models.store import find_model, shipped_resources
    from medsegdiff.worker.client import WorkerClient
    from MedSegDiffSlicerLib.jobs.controller import SegmentationJob
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result
    from MedSegDiffSlicerLib.nodes.volume_to_image import image_from_volumes

    sample = read_image(shipped_resources() / "SampleData" / "ICBM152_hippocampus_left.nii.gz")
    volume = make_volume(sample.array[0], sample.affine)
    model = find_model("hippocampus-medsegdiff")
    worker, told = WorkerClient(sys.executable), []
    try:
        job = SegmentationJob(
            worker.submit(SegmentRequest(model=model.name, samples=2, seed=1), image_from_volumes([volume])), [volume],
            lambda result: add_result(scene, result, volume), lambda *progress: told.append(progress),
        )  # fmt: skip
        added = job.wait(timeout=120)
    finally:
        worker.close()
    assert told[-1][0] == 1.0
    assert [s["name"] for s in added.report["segments"]] == [label.name for label in model.foreground]
    segmentation = added.segmentationNode.GetSegmentation()
    for index, entry in enumerate(added.report["segments"]):
        array = slicer.util.arrayFromSegmentBinaryLabelmap(
            added.segmentationNode, segmentation.GetNthSegmentID(index), volume
        )
        assert np.count_nonzero(array) == pytest.approx(entry["volume_mm3"])
        assert array.any()
    assert added.segmentationNode.GetAttribute("MedSegDiff.ModelSHA256") == model.weights_sha256
