"""Clicks: what a request takes, which voxels they mean, and what the command line and the report say of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import AFFINE, fails, noise
from medsegdiff.cli.main import main
from medsegdiff.errors import RequestError
from medsegdiff.image import Image
from medsegdiff.image.writing import write_volume
from medsegdiff.inference.clicks import VoxelClick, voxel_clicks
from medsegdiff.inference.engine import segment_image
from medsegdiff.inference.request import SegmentRequest
from medsegdiff.models.package import Label
from tiny_models import write_tiny_model

SHAPE = (18, 20, 16)
LABELS = (Label(1, "one"), Label(2, "two"))


def test_a_request_with_clicks_survives_json():
    request = SegmentRequest("m", clicks=[[1, 2.5, np.float32(-3), np.int64(2)], (0, 0, 0, 0)])
    assert request.clicks == ((1.0, 2.5, -3.0, 2), (0.0, 0.0, 0.0, 0))
    assert SegmentRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request


@pytest.mark.parametrize("clicks", [
    5, "1 2 3 1", [(1, 2, 3)], [(1, 2, 3, 1.5)], [(1, 2, "x", 1)], [(1, 2, float("nan"), 1)], [(1, 2, 3, -1)],
    [(1, 2, 3, 255)], [(1, 2, 3, True)], [7],
])  # fmt: skip
def test_what_is_no_click_is_refused(clicks):
    with pytest.raises(RequestError, match="click"):
        SegmentRequest("m", clicks=clicks)


def test_clicks_are_found_in_any_geometry(affine):
    index = np.array([3, 4, 5])
    place = affine[:3, :3] @ (index + [0.4, -0.4, 0.3]) + affine[:3, 3]
    assert voxel_clicks(((*place, 2),), affine, SHAPE, LABELS) == [VoxelClick((3, 4, 5), 2)]


def test_of_several_clicks_into_one_voxel_the_last_one_counts():
    clicks = ((1, 1, 1, 1), (5, 5, 5, 2), (1.2, 0.9, 1, 0))
    assert voxel_clicks(clicks, np.eye(4), SHAPE, LABELS) == [VoxelClick((5, 5, 5), 2), VoxelClick((1, 1, 1), 0)]


@pytest.mark.parametrize(("click", "about"), [
    ((-0.6, 0, 0, 1), "outside the image.*17.5, 19.5, 15.5"), ((0, 19.6, 0, 1), "outside"),
    ((0, 0, 0, 3), "label 3.*2"),
])  # fmt: skip
def test_clicks_that_mean_nothing_are_refused_before_inference(model, click, about):
    image = Image(noise((1, *SHAPE), 0), np.eye(4))

    def progress(report):
        assert report.fraction == 0, "the work has begun"

    with pytest.raises(RequestError, match=about):
        segment_image(SegmentRequest("tiny", clicks=[click]), image, model=model, progress=progress)


def test_the_report_names_the_clicks(tmp_path: Path, capsys):
    scan, report, folder = tmp_path / "scan.nii.gz", tmp_path / "r.json", write_tiny_model(tmp_path / "tiny").folder
    write_volume(scan, noise(SHAPE, 0), AFFINE)
    inside, other = ((AFFINE @ [*index, 1])[:3] for index in ((4, 5, 6), (9, 9, 9)))
    asked = ["segment", scan, "-m", folder, "-o", tmp_path / "o.nii.gz", "--samples", "2", "--report", report]
    clicks = ["--click", *inside, "two", "--click", *other, "background"]
    assert main([str(a) for a in (*asked, *clicks)]) == 0
    told = json.loads(report.read_text())
    assert [(click["label"], click["name"]) for click in told["clicks"]] == [(2, "two"), (0, "background")]
    np.testing.assert_allclose([click["position"] for click in told["clicks"]], [inside, other])
    capsys.readouterr()
    fails(capsys, 2, "label 'three'", *asked, "--click", *inside, "three")
    fails(capsys, 2, "R, A, S in mm", *asked, "--click", "a", "2", "3", "one")
    fails(capsys, 2, "outside the image", *asked, "--click", "1e4", "2", "3", "1")
