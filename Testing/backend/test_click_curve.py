"""medsegdiff evaluate --clicks: clicks into the largest error, one after another, and what comes of them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import SimpleITK as sitk
from block_dataset import write_blocks
from command_line import fails
from medsegdiff.cli.click_curve import read_counts
from medsegdiff.cli.main import main
from medsegdiff.errors import RequestError
from tiny_models import write_tiny_model


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """The folder of a run over two cases."""
    folder = tmp_path_factory.mktemp("clicks")
    data, model = write_blocks(folder / "data", 3, [1, 2]), write_tiny_model(folder / "tiny").folder
    outputs = ["--report", folder / "r.json", "--csv", folder / "c.csv", "--html", folder / "h.html"]
    asked = ["evaluate", "--dataset", data, "-m", model, "--clicks", "3,1", "--samples", "2", *outputs]
    assert main([str(a) for a in asked]) == 0
    return folder


def test_the_curve_rises_in_both_ways(written: Path):
    """A network that knows nothing is told all by clicks."""
    report = json.loads((written / "r.json").read_text())
    assert report["clicks"] == [0, 1, 3] and report["split"] == "val" and len(report["runs"]) == 1
    run = report["runs"][0]
    assert [way["way"] for way in run["ways"]] == ["at once", "asked again"]
    for way in run["ways"]:
        means = [point["mean"]["mean"] for point in way["curve"]]
        assert [point["clicks"] for point in way["curve"]] == [0, 1, 3] and means[0] < means[2]
        assert way["curve"][2]["gain"]["mean"] == pytest.approx(means[2] - means[0])
        assert set(way["curve"][0]["dice"]) == {"one", "two"} and way["curve"][0]["seconds"]["cases"] == 0
        for case in way["cases"]:
            assert len(case["dice"]) == 3 and 3 <= len(case["click"]) <= 6
            assert len({tuple(click["index"]) for click in case["click"]}) == len(case["click"])
    first = [way["cases"][0]["click"][:2] for way in run["ways"]]
    assert first[0] == first[1], "both begin with the same errors"


def test_table_and_page(written: Path):
    with open(written / "c.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 3 * 2 and {row["way"] for row in rows} == {"at once", "asked again"}
    assert all(0 <= float(row["dice"]) <= 1 for row in rows)
    page = (written / "h.html").read_text()
    assert "<svg" in page and "asked again" in page and page.count("<tr>") == 1 + 2 * 3


def test_unusable_numbers_are_refused(written: Path, capsys):
    assert read_counts("5,1,1") == (0, 1, 5)
    for text in ("a", "0", "-1,2", "51", ""):
        with pytest.raises(RequestError, match="--clicks"):
            read_counts(text)
    asked = ["evaluate", "--dataset", written / "data", "-m", written / "tiny"]
    fails(capsys, 2, "--clicks x", *asked, "--clicks", "x")
    fails(
        capsys,
        2,
        "--clicks: of use with --model only",
        "evaluate",
        "--pred",
        written,
        "--ref",
        written,
        "--clicks",
        "1",
    )


def test_labels_that_the_model_does_not_know_are_refused(written: Path, tmp_path, capsys):
    case = next((written / "data" / "labelsTr").iterdir())
    image = sitk.ReadImage(str(case))
    data = shutil.copytree(written / "data", tmp_path / "data")
    for name in json.loads((data / "dataset.json").read_text())["val"]:
        sitk.WriteImage(image * 3, str(next((data / "labelsTr").glob(f"{name}.*"))))
    asked = ["evaluate", "--dataset", data, "-m", written / "tiny", "--clicks", "1", "--report", tmp_path / "r.json"]
    fails(capsys, 2, "which the model does not know", *asked)
    assert not (tmp_path / "r.json").exists()


@pytest.mark.slow
def test_a_click_helps_the_shipped_model_on_cases_that_it_never_saw(shared_data, tmp_path):
    data = shared_data / "msd_hippocampus"
    described = json.loads((data / "dataset.json").read_text())
    described["val"] = described["val"][:6]
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    for name in ("imagesTr", "labelsTr"):
        (tmp_path / name).symlink_to(data / name)
    asked = ["evaluate", "--dataset", tmp_path, "-m", "hippocampus-medsegdiff", "--clicks", "1", "--samples", "4"]
    assert main([str(a) for a in [*asked, "--report", tmp_path / "r.json"]]) == 0
    (run,) = json.loads((tmp_path / "r.json").read_text())["runs"]
    for way in run["ways"]:
        before, after = (point["mean"]["mean"] for point in way["curve"])
        assert after > before + 0.002, way["way"]
