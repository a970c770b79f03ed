"""Metrics on cases small enough to reckon by hand, and the command around them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image as Picture
from scipy.ndimage import gaussian_filter
from scipy.stats import binomtest

from medsegdiff.cli.main import main
from medsegdiff.errors import RequestError
from medsegdiff.evaluation import volumes
from medsegdiff.evaluation.error_detection import error_auroc
from medsegdiff.evaluation.files import evaluate_pairs
from medsegdiff.evaluation.metrics import compare, mean_dice
from medsegdiff.evaluation.pairs import find_pairs
from medsegdiff.evaluation.summary import FEWEST, proportion, summarise
from medsegdiff.image import Image, read_image
from medsegdiff.image.labels import read_labels
from medsegdiff.image.writing import write_labelmap, write_volume
from medsegdiff.models.package import Label


def block(start: int, stop: int, shape: tuple[int, ...] = (20, 10, 10)) -> np.ndarray:
    """A bar of label 1 along the first axis, 4 x 4 across."""
    labels = np.zeros(shape, np.uint8)
    labels[start:stop, 3:7, 3:7] = 1
    return labels


def measure(predicted: np.ndarray, reference: np.ndarray, spacing=(1, 1, 1)) -> dict:
    """The comparison of label 1."""
    return compare(predicted, reference, Image(reference[None], np.diag([*spacing, 1.0])), [1])[0]


def test_metrics_of_a_bar_that_is_two_voxels_too_long():
    measured = measure(block(5, 13), block(5, 11), (2.0, 1.0, 1.0))
    assert measured["dice"] == pytest.approx(2 * 6 / (8 + 6))
    assert measured["iou"] == pytest.approx(6 / 8)
    assert measured["volume_mm3"] == 8 * 16 * 2 and measured["reference_volume_mm3"] == 6 * 16 * 2
    assert measured["volume_error_mm3"] == 2 * 16 * 2
    assert measured["volume_error_percent"] == pytest.approx(100 * 2 / 6)
    assert measured["hd95_mm"] == pytest.approx(4.0)  # two voxels of 2 mm: the far end
    # Surface voxels: predicted 8 layers of 12 and two caps' inner 4, reference likewise with 6. Farther than 1 mm: of
    # the predicted the far cap (16) and the layer before it (12); of the reference the inner 4 of its cap, 1 mm away:
    # none.
    assert measured["surface_dice"] == pytest.approx(1 - (16 + 12) / ((8 * 12 + 8) + (6 * 12 + 8)))


def test_volumes_on_a_sheared_grid():
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[0, 1] = 0.8  # leaves the volume of a voxel as it is, and makes its second edge longer
    measured = compare(block(5, 13), block(5, 11), Image(block(5, 11)[None], affine), [1])[0]
    assert measured["reference_volume_mm3"] == pytest.approx(6 * 16 * 6)


def test_equal_masks_agree_fully():
    measured = measure(block(5, 11), block(5, 11))
    agreed = (measured["dice"], measured["iou"], measured["surface_dice"], measured["hd95_mm"])
    assert agreed == (1, 1, 1, 0)
    assert measured["volume_error_percent"] == 0


def test_absent_structures():
    nothing = np.zeros((20, 10, 10), np.uint8)
    both = measure(nothing, nothing)
    assert (both["dice"], both["surface_dice"], both["hd95_mm"], both["volume_error_percent"]) == (1, 1, 0, None)
    for predicted, reference in ((block(2, 6), nothing), (nothing, block(2, 6))):
        one = measure(predicted, reference)
        assert (one["dice"], one["iou"], one["surface_dice"], one["hd95_mm"]) == (0, 0, 0, None)


def test_flat_images_are_compared_in_their_plane():
    predicted, reference = np.zeros((2, 12, 12, 1), np.uint8)
    predicted[2:8, 2:8], reference[2:8, 2:6] = 1, 1
    measured = measure(predicted, reference, (0.5, 0.5, 1))
    assert measured["dice"] == pytest.approx(2 * 24 / (36 + 24))
    assert measured["hd95_mm"] == pytest.approx(1.0)


def test_the_order_of_the_axes_changes_nothing():
    """Neither of a 2D image nor of a structure that lies in one slice of a volume, which is as MONAI has the whole."""
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    distance = np.hypot(*(np.indices((30, 30)) - 15))
    disc, ring = distance < 9, (distance < 9) & (distance >= 4)
    for depth in (1, 7):
        predicted, reference = np.zeros((2, 30, 30, depth), np.uint8)
        predicted[..., depth // 2], reference[..., depth // 2] = disc, ring
        found = []
        for order in ((0, 1, 2), (0, 2, 1), (2, 0, 1)):
            spacing = np.array([0.5, 0.5, 2.0])[list(order)]
            found.append(measure(predicted.transpose(order), reference.transpose(order), spacing))
        for other in found[1:]:
            assert other == pytest.approx(found[0])
    pair = [torch.from_numpy(mask)[None, None].float() for mask in (predicted, reference)]
    more = {"include_background": True, "spacing": [0.5, 0.5, 2.0]}
    assert found[0]["hd95_mm"] == pytest.approx(float(compute_hausdorff_distance(*pair, percentile=95, **more)))
    assert found[0]["surface_dice"] == pytest.approx(float(compute_surface_dice(*pair, [1.0], **more)))


def test_mean_dice_by_hand():
    ours, reference = np.zeros((2, 10, 1, 1), np.uint8)
    ours[0:4], reference[2:4], reference[8] = 1, 1, 2
    assert mean_dice(ours, reference, [1]) == pytest.approx(2 * 2 / (4 + 2))
    assert mean_dice(ours, reference, [1, 2, 3]) == pytest.approx((2 / 3 + 0 + 1) / 3)


@pytest.mark.parametrize("shape", [(14, 12, 10), (14, 12, 1)])
def test_metrics_are_those_of_simpleitk_and_of_the_distances_themselves(shape: tuple[int, int, int]):
    import SimpleITK as sitk
    from scipy.ndimage import binary_erosion

    rng = np.random.default_rng(5)
    spacing = (0.7, 1.1, 2.5)
    predicted, reference = (gaussian_filter(rng.normal(size=shape), 1.5) > 0.02 for _ in range(2))
    measured = measure(predicted.astype(np.uint8), reference.astype(np.uint8), spacing)
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*(sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (reference, predicted)))
    assert measured["dice"] == pytest.approx(overlap.GetDiceCoefficient())
    assert measured["iou"] == pytest.approx(overlap.GetJaccardCoefficient())
    axes = 3 if shape[2] > 1 else 2
    surfaces = []
    for mask in (predicted, reference):
        plane = mask if axes == 3 else mask[..., 0]
        surfaces.append(np.argwhere(plane & ~binary_erosion(plane)) * spacing[:axes])
    apart = np.linalg.norm(surfaces[0][:, None] - surfaces[1][None], axis=2)
    to_reference, to_predicted = apart.min(1), apart.min(0)
    hd95 = max(np.percentile(distances, 95) for distances in (to_reference, to_predicted))
    assert measured["hd95_mm"] == pytest.approx(hd95, rel=1e-5)
    close = (to_reference <= 1).sum() + (to_predicted <= 1).sum()
    assert measured["surface_dice"] == pytest.approx(close / (len(to_reference) + len(to_predicted)), rel=1e-5)


def test_tolerance_of_the_surface_dice():
    predicted, reference = block(5, 13), block(5, 11)
    grid = Image(reference[None], np.eye(4))
    loose = compare(predicted, reference, grid, [1], tolerance=2)[0]
    assert loose["surface_dice"] == 1 > measure(predicted, reference)["surface_dice"]


def test_bootstrap_interval():
    constant = summarise([0.5] * FEWEST)
    assert constant == {"mean": 0.5, "interval": [0.5, 0.5], "cases": FEWEST}
    values = np.random.default_rng(3).normal(10, 2, 100)
    summary = summarise([*values, None])
    half = 1.96 * values.std() / 10  # what the normal approximation gives
    assert summary["cases"] == 100 and summary["mean"] == pytest.approx(values.mean())
    low, high = summary["interval"]
    assert low == pytest.approx(values.mean() - half, abs=0.15)
    assert high == pytest.approx(values.mean() + half, abs=0.15)
    assert summarise([0.9, 1.0] * (FEWEST // 2 - 1))["interval"] is None  # so few say nothing of others
    assert summarise([None]) == {"mean": None, "interval": None, "cases": 0}


def test_exact_interval_of_a_share():
    for hits, count in ((2, 2), (0, 3), (38, 40)):
        found = proportion([1.0] * hits + [0.0] * (count - hits) + [None])
        exact = binomtest(hits, count).proportion_ci(0.95, method="exact")
        assert found["interval"] == pytest.approx([exact.low, exact.high])
        assert (found["mean"], found["cases"]) == (hits / count, count)
    half = proportion([1.0, 0.5])  # of two structures, for example
    assert half["mean"] == 0.75 and 0 < half["interval"][0] < half["interval"][1]
    assert proportion([None]) == {"mean": None, "interval": None, "cases": 0}


def test_auroc_by_hand():
    reference = np.zeros((20, 1, 1), np.uint8)
    reference[9:11] = 1
    predicted = reference.copy()
    predicted[11] = 1  # the one error
    uncertainty = np.zeros(reference.shape, np.float32)
    # Structure 9 - 11; within 5 voxels: 4 - 16, so 12 voxels without error, of which 3 are less sure than the error.
    uncertainty[[5, 6, 7]] = 0.9
    uncertainty[[11, 13]] = 0.5  # the error, and a tie
    assert error_auroc(uncertainty, predicted, reference) == pytest.approx((8 + 0.5) / 12)


def test_auroc_looks_only_near_the_structures():
    reference = np.zeros((40, 1, 1), np.uint8)
    reference[10:12] = 1
    predicted = reference.copy()
    predicted[12] = 1
    uncertainty = np.zeros(reference.shape, np.float32)
    uncertainty[12] = 1
    uncertainty[25:] = 5  # far away: does not count
    assert error_auroc(uncertainty, predicted, reference) == 1
    assert error_auroc(-uncertainty, predicted, reference) == 0
    assert error_auroc(uncertainty, reference, reference) is None
    assert error_auroc(uncertainty, np.zeros_like(reference), np.zeros_like(reference)) is None


class TestFolders:
    """Folders of label maps, matched by case."""

    @pytest.fixture
    def folders(self, tmp_path: Path) -> tuple[Path, Path]:
        """Segmentations and references of two cases in different formats; a dataset.json names the label."""
        predicted, reference = tmp_path / "predicted", tmp_path / "dataset" / "labelsTr"
        predicted.mkdir()
        reference.mkdir(parents=True)
        for case, stop in (("a", 11), ("b", 13)):
            write_volume(predicted / f"{case}.nrrd", block(5, stop), np.eye(4))
            write_volume(reference / f"{case}.nii.gz", block(5, 11), np.eye(4))
        (tmp_path / "dataset" / "dataset.json").write_text('{"labels": {"0": "background", "1": "bar"}}')
        return predicted, reference

    def test_report_and_page(self, folders, tmp_path: Path, capsys):
        report, page = tmp_path / "r.json", tmp_path / "h.html"
        predicted, reference = map(str, folders)
        command = ["evaluate", "--pred", predicted, "--ref", reference, "--report", str(report), "--html", str(page)]
        assert main(command) == 0
        assert "bar" in capsys.readouterr().out
        data = json.loads(report.read_text())
        assert [case["case"] for case in data["cases"]] == ["a", "b"]
        dice = [case["structures"][0]["dice"] for case in data["cases"]]
        assert dice == pytest.approx([1, 2 * 6 / 14])
        summary = data["summary"][0]
        assert summary["name"] == "bar" and summary["dice"]["mean"] == pytest.approx(np.mean(dice))
        html = page.read_text()
        assert "<td>b</td><td>0.857</td>" in html and "http" not in html
        assert html.index("<td>b</td>") < html.index("<td>a</td>")  # worst first

    def test_names_are_escaped(self, folders, tmp_path: Path):
        (tmp_path / "dataset" / "dataset.json").write_text('{"labels": {"<script>": 1}}')
        page = tmp_path / "h.html"
        assert main(["evaluate", "--pred", str(folders[0]), "--ref", str(folders[1]), "--html", str(page)]) == 0
        assert "<script>" not in page.read_text() and "&lt;script&gt;" in page.read_text()

    def test_two_files(self, folders):
        pairs, left_out, unread = find_pairs(folders[0] / "b.nrrd", folders[1] / "a.nii.gz")
        assert left_out == unread == []
        assert evaluate_pairs(pairs)["cases"][0]["structures"][0]["dice"] == pytest.approx(2 * 6 / 14)

    def test_what_is_not_compared_is_told(self, folders, capsys):
        doubt = np.full((20, 10, 10), 0.3, np.float32)
        for name in ("a_u.nrrd", "b_u.nrrd", "c.nrrd", "c_probability.nrrd"):
            write_volume(folders[0] / name, doubt, np.eye(4))
        for case in "ac":
            Picture.new("L", (4, 4)).save(folders[0] / f"{case}_preview.png")
        command = ["evaluate", "--pred", str(folders[0]), "--ref", str(folders[1])]
        assert main(command) == 0
        captured = capsys.readouterr()
        left_out, note = captured.err.splitlines()
        assert left_out == "warning: left out, without reference: c.nrrd"  # a map or a picture is no segmentation
        assert note.startswith("note: not read: CASE_u.nrrd; ") and "--probability u.nrrd" in note
        assert "errors found" not in captured.out and "2 case(s) (fewer than 10: " in captured.out

        assert main([*command, "--uncertainty", "u.nrrd"]) == 0
        assert capsys.readouterr().err == f"{left_out}\n"

    def test_a_repeated_scan_is_a_case_of_its_own(self, folders, capsys):
        """And no volume beside the scan whose name its name begins with."""
        shutil.copy(folders[0] / "a.nrrd", folders[0] / "a_2.nrrd")
        assert main(["evaluate", "--pred", str(folders[0]), "--ref", str(folders[1])]) == 0
        assert capsys.readouterr().err == "warning: left out, without reference: a_2.nrrd\n"

    def test_each_file_is_read_once(self, folders, monkeypatch):
        read = []
        monkeypatch.setattr(volumes, "read_labels", lambda path: read.append(path) or read_labels(path))
        pairs = find_pairs(*folders)[0]
        evaluate_pairs(pairs)
        assert sorted(read) == sorted(path for pair in pairs for path in (pair.predicted, *pair.references))

    def test_structures_that_only_some_cases_have(self, folders):
        write_volume(folders[0] / "b.nrrd", 2 * block(5, 11), np.eye(4))
        first, second = (case["structures"] for case in evaluate_pairs(find_pairs(*folders)[0])["cases"])
        assert [(s["label"], s["name"], s["dice"]) for s in first] == [(1, "bar", 1), (2, "label 2", 1)]
        assert [s["dice"] for s in second] == [0, 0] and first[1]["hd95_mm"] == 0

    def test_two_empty_files_agree(self, folders, tmp_path: Path):
        nothing = np.zeros((20, 10, 10), np.uint8)
        write_volume(folders[0] / "a.nrrd", nothing, np.eye(4))
        write_volume(tmp_path / "a.nii.gz", nothing, np.eye(4))
        write_volume(folders[1] / "a.nii.gz", nothing, np.eye(4))
        for reference, name in ((tmp_path / "a.nii.gz", "label 1"), (folders[1] / "a.nii.gz", "bar")):
            data = evaluate_pairs(find_pairs(folders[0] / "a.nrrd", reference)[0])
            assert [(entry["name"], entry["dice"]["mean"]) for entry in data["summary"]] == [(name, 1)]

    def test_a_segmentation_tells_its_names(self, tmp_path: Path):
        labels = (Label(1, "bar"), Label(2, "rod"))
        write_labelmap(tmp_path / "a.seg.nrrd", block(5, 11), np.eye(4), labels)
        write_volume(tmp_path / "b.nii.gz", block(5, 11) * 2, np.eye(4))
        for one, other in (("a.seg.nrrd", "b.nii.gz"), ("b.nii.gz", "a.seg.nrrd")):
            data = evaluate_pairs(find_pairs(tmp_path / one, tmp_path / other)[0])
            assert [entry["name"] for entry in data["summary"]] == ["bar", "rod"]

    def test_names_of_other_labels_are_refused(self, tmp_path: Path):
        for name, order in (("a", ("bar", "rod")), ("b", ("rod", "bar"))):
            labels = tuple(Label(value, label) for value, label in enumerate(order, 1))
            write_labelmap(tmp_path / f"{name}.seg.nrrd", block(5, 11), np.eye(4), labels)
        pairs = find_pairs(tmp_path / "a.seg.nrrd", tmp_path / "b.seg.nrrd")[0]
        write_labelmap(tmp_path / "c.nii.gz", block(5, 11), np.eye(4), [])
        segments = [{"label": 1, "name": "cube"}, {"label": 2, "name": "rod"}]
        (tmp_path / "c.json").write_text(json.dumps({"model_sha256": "0", "segments": segments}))
        own = find_pairs(tmp_path / "c.nii.gz", tmp_path / "b.seg.nrrd")[0]
        with pytest.raises(RequestError, match="'rod' is label 2 in .*c.nii.gz and 1 in .*b.seg.nrrd"):
            evaluate_pairs(own)
        with pytest.raises(RequestError, match="'rod' is label 2 in .*a.seg.nrrd and 1 in .*b.seg.nrrd"):
            evaluate_pairs(pairs)

    def test_layers_of_segments_are_no_raters(self, tmp_path: Path):
        image = sitk.Compose([sitk.GetImageFromArray(block(5, 11).T)] * 2)
        for number in range(2):
            for key, value in (("LabelValue", "1"), ("Layer", str(number)), ("Name", f"s{number}")):
                image.SetMetaData(f"Segment{number}_{key}", value)
        sitk.WriteImage(image, str(tmp_path / "b.seg.nrrd"))
        write_volume(tmp_path / "a.nii.gz", block(5, 11), np.eye(4))
        with pytest.raises(RequestError, match="lie in 2 layers.*export them"):
            evaluate_pairs(find_pairs(tmp_path / "a.nii.gz", tmp_path / "b.seg.nrrd")[0])

    def test_missing_cases_are_named(self, folders):
        (folders[0] / "b.nrrd").unlink()
        with pytest.raises(RequestError, match=r"lacks 1 of the cases \(b\)"):
            find_pairs(*folders)
        with pytest.raises(RequestError, match="does not exist"):
            find_pairs(folders[0] / "absent", folders[1])
        with pytest.raises(RequestError, match="both be"):
            find_pairs(folders[0] / "a.nrrd", folders[1])

    def test_other_grids_are_refused(self, folders):
        moved = np.eye(4)
        moved[0, 3] = 0.5
        write_volume(folders[0] / "a.nrrd", block(5, 11), moved)
        with pytest.raises(RequestError, match="a: .*0.5 mm apart"):
            evaluate_pairs(find_pairs(*folders)[0])
        write_volume(folders[0] / "a.nrrd", block(5, 11, (20, 10, 9)), np.eye(4))
        with pytest.raises(RequestError, match="differ in size"):
            evaluate_pairs(find_pairs(*folders)[0])

    def test_fractions_are_no_labels(self, folders):
        write_volume(folders[0] / "a.nrrd", block(5, 11).astype(np.float32) * 0.3, np.eye(4))
        with pytest.raises(RequestError, match="no label map"):
            evaluate_pairs(find_pairs(*folders)[0])

    def test_labels_below_zero_are_refused(self, folders):
        for folder, name in zip(folders, ("a.nrrd", "a.nii.gz")):
            before = (folder / name).read_bytes()
            write_volume(folder / name, block(5, 11) - 3 * block(12, 13).astype(np.int16), np.eye(4))
            with pytest.raises(RequestError, match=f"{name} has label -3"):
                evaluate_pairs(find_pairs(*folders)[0])
            (folder / name).write_bytes(before)

    def test_options_that_do_not_go_together(self, folders, capsys):
        files = ["--pred", str(folders[0]), "--ref", str(folders[1])]
        for options, said in (
            (files[:2], "--ref"), ([*files, "--model", "m"], "--dataset"), ([*files, "--compare", "m"], "--compare"),
            (["--model", "m", "--dataset", "d", "--images", "i"], "--images"),
            ([*files, "--tolerance", "0"], "above 0"), ([*files, "--tolerance", "nan"], "above 0"),
            ([*files, "--tolerance", "inf"], "above 0"), ([*files, "--failure-dice", "nan"], "from 0 to 1"),
        ):  # fmt: skip
            assert main(["evaluate", *options]) == 2
            assert said in capsys.readouterr().err
