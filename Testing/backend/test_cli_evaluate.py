"""medsegdiff evaluate: models on a dataset, files with opinions beside them, several raters, pages and tables."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from command_line import fails
from tiny_models import write_tiny_model

from medsegdiff.cli.main import main
from medsegdiff.image.writing import write_volume

SHAPE = (20, 12, 10)


def bar(start: int, stop: int, value: int = 1) -> np.ndarray:
    """A bar along the first axis, 4 x 4 across."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[start:stop, 3:7, 3:7] = value
    return labels


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Three cases, one to train with; noise in which no model finds the reference."""
    for kind in ("imagesTr", "labelsTr"):
        (tmp_path / "set" / kind).mkdir(parents=True)
    for number, case in enumerate("abc"):
        noise = np.random.default_rng(number).normal(size=SHAPE).astype(np.float32)
        write_volume(tmp_path / "set" / "imagesTr" / f"{case}.nii.gz", noise, np.eye(4))
        write_volume(tmp_path / "set" / "labelsTr" / f"{case}.nii.gz", bar(5, 11 + number) + bar(0, 4, 2), np.eye(4))
    (tmp_path / "set" / "dataset.json").write_text(json.dumps({"train": ["a"], "val": ["b", "c"]}))
    return tmp_path / "set"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A diffusion model and a plain one, of the same labels."""
    folder = tmp_path_factory.mktemp("models")
    line = [0.1, 0.8]
    write_tiny_model(folder / "diffusion", calibration={"temperature": 3.0, "expected_dice": {"1": line, "2": line}})
    write_tiny_model(folder / "plain", "unet")
    return str(folder / "diffusion"), str(folder / "plain")


def evaluate(*arguments: str | Path, report: Path) -> dict:
    """Runs the command and reads its report."""
    assert main(["evaluate", *map(str, arguments), "--report", str(report)]) == 0
    return json.loads(report.read_text())


class TestModels:
    """Models on the split of a dataset."""

    def test_several_numbers_of_steps(self, dataset: Path, models, tmp_path: Path, capsys):
        report = evaluate("--model", models[0], "--dataset", dataset, "--steps", "1,2", report=tmp_path / "r.json")
        accuracy, worth, written = (table.splitlines() for table in capsys.readouterr().out.split("\n\n"))
        assert written == [f"written: {tmp_path / 'r.json'}"]
        for table in (accuracy, worth):
            assert len(table) == 4 and len({line.count("|") for line in table}) == 1
        assert accuracy[0].startswith("| steps | samples | Dice, one | Dice, two |")
        assert "peak memory, MB" in accuracy[0]
        assert worth[0].startswith("| steps | samples | ECE | ")
        assert report["split"] == "val" and report["model"] == "diffusion"
        assert [run["steps"] for run in report["runs"]] == [1, 2]
        run = report["runs"][0]
        assert [case["case"] for case in run["cases"]] == ["b", "c"]
        assert run["summary"]["dice"].keys() == {"one", "two"}
        assert 0 <= run["summary"]["auroc"]["mean"] <= 1
        assert 0 <= run["summary"]["sample_agreement"]["mean"] <= 1
        ratios = [case["time_ratio"] for case in run["cases"]]
        assert run["summary"]["time_ratio"]["mean"] == pytest.approx(np.mean(ratios)) and min(ratios) > 1
        assert run["summary"]["warned"]["mean"] == np.mean([len(case["warnings"]) > 0 for case in run["cases"]])
        assert run["summary"]["peak_memory_bytes"] == max(case["peak_memory_bytes"] for case in run["cases"])
        assert set(run["overall"]["error_auroc"]) == {"entropy", "expected-entropy", "mutual-information", "variance"}

    def test_what_is_compared(self, dataset: Path, models, tmp_path: Path, capsys):
        diffusion, plain = models
        both, page, table = f"{diffusion} {plain} --samples 2", tmp_path / "h.html", tmp_path / "c.csv"
        options = ["--model", diffusion, "--dataset", dataset, "--samples", "3", "--compare", f"{plain} --no-tta"]
        options += ["--compare", both, "--html", page, "--csv", table]
        runs = evaluate(*options, report=tmp_path / "r.json")["runs"]
        names = ["diffusion, samples 3", "plain, no tta", "diffusion + plain, samples 2"]
        assert [run["name"] for run in runs] == names and [run["samples"] for run in runs][:2] == [3, 1]
        assert runs[2]["request"]["others"] == [plain]
        assert f"| {names[1]} |" in capsys.readouterr().out
        html = page.read_text()
        assert [html.count(part) for part in ("<h2>", "data:image/png;base64,")] == [3, 6] and "http" not in html
        rows = list(csv.DictReader(table.open()))
        assert len(rows) == 3 * 2 * 3  # runs, cases, two structures and the whole
        assert {row["run"] for row in rows} == set(names)
        case = runs[1]["cases"][0]
        row = next(r for r in rows if (r["run"], r["case"], r["structure"]) == (names[1], case["case"], "one"))
        assert float(row["dice"]) == case["structures"][0]["dice"]

    def test_several_raters(self, dataset: Path, models, tmp_path: Path):
        one = evaluate("--model", models[1], "--dataset", dataset, report=tmp_path / "r.json")["runs"][0]
        for case in "bc":
            path = dataset / "labelsTr" / f"{case}.nii.gz"
            write_volume(path.with_name(f"{case}_rater2.nii.gz"), np.zeros(SHAPE, np.uint8), np.eye(4))
            path.rename(path.with_name(f"{case}_rater1.nii.gz"))
        both = evaluate("--model", models[1], "--dataset", dataset, report=tmp_path / "r.json")["runs"][0]
        for ours, theirs in zip(both["cases"], one["cases"]):
            assert ours["dice"] == pytest.approx(theirs["dice"] / 2)  # nothing agrees with the second rater
            assert ours["rater_diversity"] == pytest.approx(0.5) and theirs["rater_diversity"] == 0

    def test_uncalibrated(self, dataset: Path, models, tmp_path: Path):
        options = ["--model", models[0], "--dataset", dataset, "--compare", f"{models[0]} --uncalibrated"]
        runs = evaluate(*options, report=tmp_path / "r.json")["runs"]
        assert [run["calibrated"] for run in runs] == [True, False]
        assert runs[1]["name"].endswith(", uncalibrated")
        first, second = (run["overall"]["nll"]["mean"] for run in runs)
        assert first != pytest.approx(second, rel=0.01)  # the temperature is 3

    @pytest.mark.parametrize(
        ("options", "said"), [(" --no-tta", "MODEL"), ("x --colour 3", "--colour"), ("'x", "'x: No closing quotation")]
    )
    def test_comparisons_that_cannot_be_understood(self, dataset: Path, models, options: str, said: str, capsys):
        assert main(["evaluate", "--model", models[0], "--dataset", str(dataset), "--compare", options]) == 2
        assert said in capsys.readouterr().err


class TestFiles:
    """What lies beside the segmentations."""

    @pytest.mark.parametrize("several", [False, True])
    def test_files_of_a_batch_tell_what_the_model_tells(self, dataset: Path, models, tmp_path: Path, several: bool):
        out = tmp_path / "out"
        options = ["-m", models[0], "--samples", "3", "--seed", "4"]
        options += ["-m", models[1], "--weights", "3", "1"] if several else []
        beside = ["--probability", "probability.nii.gz", "--samples-out", "opinions.nrrd", "--uncertainty", "u.nrrd"]
        beside += ["--measure", "variance", "--quiet"]
        assert main(["batch", str(dataset / "imagesTr"), "-o", str(out), *options, *beside]) == 0
        split = evaluate(*options, "--dataset", dataset, report=tmp_path / "m.json")["runs"][0]
        references = tmp_path / "val"
        references.mkdir()
        for case in "bc":
            (dataset / "labelsTr" / f"{case}.nii.gz").rename(references / f"{case}.nii.gz")
        names = ["--samples-in", "opinions.nrrd", "--uncertainty", "u.nrrd"]
        files = evaluate("--pred", out, "--ref", references, *names, report=tmp_path / "f.json")
        for ours, theirs in zip(files["cases"], split["cases"]):
            for key in ("dice", "ece", "ace", "brier", "nll", "ged", "matched_iou", "auroc", "expected_dice"):
                assert ours[key] == pytest.approx(theirs[key], abs=1e-6), key
            assert ours["error_auroc"]["variance"] == pytest.approx(theirs["error_auroc"]["variance"])
            assert ours["structures"][0]["expected_dice"] == theirs["structures"][0]["expected_dice"]
        told, more = (report["overall"]["failure"]["confidences"] for report in (files, split))
        assert {"expected_dice", "uncertainty_boundary"} < told.keys() and told.items() <= more.items()
        assert "uncertainty_mutual-information_patch" in more

    @pytest.fixture
    def folders(self, tmp_path: Path) -> tuple[Path, Path]:
        """Two cases, segmented one and three voxels too long."""
        predicted, reference = tmp_path / "pred", tmp_path / "ref"
        for folder in (predicted, reference):
            folder.mkdir()
        for case, stop in (("a", 12), ("b", 14)):
            write_volume(predicted / f"{case}.nii.gz", bar(5, stop), np.eye(4))
            write_volume(reference / f"{case}.nii.gz", bar(5, 11), np.eye(4))
        return predicted, reference

    def test_probabilities_are_no_samples(self, folders, capsys):
        predicted, reference = folders
        for case in "ab":
            volume = np.full((*bar(5, 12).shape, 2), 0.5, np.float32)
            write_volume(predicted / f"{case}_probability.nrrd", volume, np.eye(4))
        before = sorted(path.name for path in predicted.parent.rglob("*"))
        asked = ("evaluate", "--pred", predicted, "--ref", reference, "--samples-in", "probability.nrrd")
        report = predicted.parent / "report.json"
        fails(capsys, 2, "a_probability.nrrd holds fractions, which are no labels", *asked, "--report", report)
        assert sorted(path.name for path in predicted.parent.rglob("*")) == before, "nothing is written"

    def test_several_raters(self, folders, tmp_path: Path):
        predicted, reference = folders
        second, stacked, joined, named = (tmp_path / name for name in ("second", "stacked", "joined", "named"))
        for folder in (second, stacked, joined, named):
            folder.mkdir()
        for case in "ab":
            write_volume(second / f"{case}.nrrd", bar(5, 12), np.eye(4))
            both = np.stack([bar(5, 11), bar(5, 12)], axis=-1)
            write_volume(stacked / f"{case}.nii.gz", both, np.eye(4))
            write_volume(joined / f"{case}.nrrd", both, np.eye(4))
            for rater in (0, 1):
                write_volume(named / f"{case}_rater{rater + 1}.nii.gz", both[..., rater], np.eye(4))
        write_volume(predicted / "a_samples.nii.gz", np.stack([bar(5, 12), bar(5, 11)], axis=-1), np.eye(4))
        write_volume(predicted / "b_samples.nii.gz", np.stack([bar(5, 12), bar(5, 12)], axis=-1), np.eye(4))
        reports = [
            evaluate("--pred", predicted, "--ref", *references, report=tmp_path / "r.json")
            for references in ([reference, second], [reference, "--ref", second], [stacked], [joined], [named])
        ]
        figures = [[case["structures"] for case in report["cases"]] for report in reports]
        assert all(other == figures[0] for other in figures[1:])
        first, other = (structures[0] for structures in figures[0])
        assert first["dice"] == pytest.approx((12 / 13 + 1) / 2)
        assert first["reference_volume_mm3"] == pytest.approx(6.5 * 16)
        assert first["ged"] == pytest.approx(0) and first["matched_iou"] == 1
        assert other["ged"] == pytest.approx(2 * 0.5 * (1 - 6 / 7) - 0 - 0.5 * (1 - 6 / 7))
        assert reports[0]["cases"][0]["references"] == [str(reference / "a.nii.gz"), str(second / "a.nrrd")]

    def test_probabilities_are_checked(self, folders, capsys):
        predicted, reference = map(str, folders)
        wrong = np.stack([bar(5, 12), 255 * bar(5, 12)], axis=-1)
        write_volume(folders[0] / "a_probability.nrrd", wrong, np.eye(4))
        assert main(["evaluate", "--pred", predicted, "--ref", reference]) == 2
        assert "background first, in [0, 1]" in capsys.readouterr().err
        assert main(["evaluate", "--pred", predicted, "--ref", reference, "--probability", "p.nii.gz"]) == 2
        assert "a_p.nii.gz does not exist" in capsys.readouterr().err

    def test_one_file_with_its_probability(self, folders, tmp_path: Path):
        foreground = np.where(bar(5, 12) > 0, 0.8, 0.1)
        named = tmp_path / "p.nrrd"
        write_volume(named, np.stack([1 - foreground, foreground], axis=-1).astype(np.float32), np.eye(4))
        files = [folder / "a.nii.gz" for folder in folders]
        report = evaluate("--pred", files[0], "--ref", files[1], "--probability", named, report=tmp_path / "r.json")
        structure = report["cases"][0]["structures"][0]
        assert structure["brier"] == pytest.approx(_brier(foreground, bar(5, 11) > 0))
        inside = -(0.8 * np.log(0.8) + 0.2 * np.log(0.2))
        assert structure["mean_uncertainty"] == pytest.approx(inside)
        assert 0.5 < report["cases"][0]["auroc"] < 1 and report["overall"]["ece"]["cases"] == 1

    def test_tolerance_and_bound_of_failures(self, folders, tmp_path: Path):
        for case, told in (("a", 0.9), ("b", 0.7)):
            entry = {"label": 1, "name": "bar", "expected_dice": told, "volume_interval_mm3": [90, 120]}
            (folders[0] / f"{case}.json").write_text(json.dumps({"model_sha256": "0", "segments": [entry]}))
        options = ["--pred", folders[0], "--ref", folders[1], "--tolerance", "3", "--failure-dice", "0.85"]
        summary = evaluate(*options, report=tmp_path / "r.json")["summary"][0]
        assert summary["name"] == "bar" and summary["surface_dice"]["mean"] == 1
        failure = summary["failure"]
        assert (failure["bound"], failure["failed"]) == (0.85, 1)
        assert failure["confidences"]["expected_dice"]["auroc"]["value"] == 1
        assert summary["expected_dice"]["spearman"]["value"] == pytest.approx(1)
        errors = [abs(0.9 - 12 / 13), abs(0.7 - 12 / 15)]
        assert summary["expected_dice"]["mean_absolute_error"]["mean"] == pytest.approx(np.mean(errors))
        assert summary["coverage"]["mean"] == 1  # the reference's 96 mm^3

    def test_withheld_expectations(self, folders, tmp_path: Path, capsys):
        for case, told, why in (("a", 0.9, None), ("b", None, "the image may cut it")):
            entry = {"label": 1, "name": "bar", "expected_dice": told, "expected_dice_withheld": why}
            (folders[0] / f"{case}.json").write_text(json.dumps({"model_sha256": "0", "segments": [entry]}))
        options = ["--pred", folders[0], "--ref", folders[1], "--html", tmp_path / "h.html"]
        report = evaluate(*options, report=tmp_path / "r.json")
        for figures in (report["summary"][0]["expected_dice"], report["overall"]["expected_dice"]):
            assert figures["withheld"] == 1 and figures["mean_absolute_error"]["cases"] == 1
        assert "expected Dice withheld, cases" in (tmp_path / "h.html").read_text()
        assert "expected Dice withheld, cases" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "foreign",
        [{"segments": [{"id": 1}]}, {"uncertainty": 0.3}, {"segments": 3, "inputs": {"a": 1}}, {"inputs": [4]},
         {"model_sha256": "0", "segments": [{"label": 1, "name": "bar", "volume_interval_mm3": 7}]},
         {"model_sha256": "0", "segments": [{"label": 1, "name": "bar", "expected_dice": "good"}]},
         {"model_sha256": "0", "segments": [], "uncertainty": [1]}, {"model_sha256": "0", "models": 2}],
    )  # fmt: skip
    def test_reports_of_other_programs_are_passed_over(self, folders, tmp_path: Path, foreign: dict):
        (folders[0] / "a.json").write_text(json.dumps(foreign))
        options = ["--pred", folders[0], "--ref", folders[1], "--html", tmp_path / "h.html"]
        case = evaluate(*options, report=tmp_path / "r.json")["cases"][0]
        assert case["dice"] == pytest.approx(12 / 13) and case["structures"][0]["name"] == "label 1"

    def test_what_is_read_is_not_written_over(self, folders, capsys):
        pred, ref = folders
        case = next(iter(sorted(pred.glob("*.nii.gz")))).name.partition(".")[0]
        (pred / f"{case}.json").write_text("{}")
        given = ["evaluate", "--pred", str(pred), "--ref", str(ref), "--report", str(pred / f"{case}.json")]
        assert main(given) == 2
        assert "is read as part of a case" in capsys.readouterr().err
        assert (pred / f"{case}.json").read_text() == "{}"

    def test_samples_count_as_the_report_says(self, folders, tmp_path: Path):
        """One model gave two opinions, another one a third, each model counting a half."""
        samples = np.stack([bar(5, 11), bar(5, 11), bar(5, 12)], axis=-1)
        models = [{"samples": 2, "weight": 0.5}, {"samples": 1, "weight": 0.5}]
        options, found = ["--pred", folders[0], "--ref", folders[1]], []
        write_volume(folders[0] / "a_samples.nii.gz", samples, np.eye(4))
        for entries in (models, models[:1], [{}]):
            report = {"model_sha256": "0", "segments": [], "models": entries}
            (folders[0] / "a.json").write_text(json.dumps(report))
            found.append(evaluate(*options, report=tmp_path / "r.json")["cases"][0]["sample_diversity"])
        apart = 1 - 6 / 7  # of the two label maps, 1 - IoU
        assert found[0] == pytest.approx(2 * 0.5 * 0.5 * apart)
        assert found[1] == found[2] == pytest.approx(2 * 2 / 3 * 1 / 3 * apart)

    def test_scans_that_cannot_be_read_only_lack_in_the_pictures(self, folders, tmp_path: Path):
        images, page = tmp_path / "images", tmp_path / "h.html"
        images.mkdir()
        for case in "ab":
            (images / f"{case}.nii.gz").write_bytes(b"no image")
        options = ["--pred", folders[0], "--ref", folders[1], "--images", images, "--html", page]
        evaluate(*options, report=tmp_path / "r.json")
        assert "b: Dice 0.800" in page.read_text()

    def test_options_of_models_are_refused(self, folders, capsys):
        files = ["evaluate", "--pred", str(folders[0]), "--ref", str(folders[1])]
        options = ["--fusion", "staple", "--seed", "5", "--no-tta", "--mc-dropout", "--variants", "mirror"]
        assert main([*files, *options]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and "--model" in lines[0]
        assert all(name in lines[0] for name in ("--fusion", "--seed", "--tta", "--mc-dropout", "--variants"))
        assert main([*files, "--uncalibrated"]) == 2 and "--uncalibrated" in capsys.readouterr().err
        assert main([*files, "--seed", "0"]) == 0

    def test_page_shows_the_worst_cases_on_their_scans(self, folders, tmp_path: Path):
        images = tmp_path / "images"
        images.mkdir()
        for case in "ab":
            write_volume(images / f"{case}_0000.nii.gz", np.full(SHAPE, 7.0, np.float32), np.eye(4))
        page = tmp_path / "h.html"
        report = tmp_path / "r.json"
        evaluate("--pred", folders[0], "--ref", folders[1], "--images", images, "--html", page, report=report)
        html = page.read_text()
        assert html.index("b: Dice 0.800") < html.index("a: Dice 0.923")  # worst first
        assert html.count("<svg") == 1 and "<script" not in html  # the Dice; nothing is known of the uncertainty

    def test_a_case_without_structures(self, folders, tmp_path: Path):
        for folder in folders:
            write_volume(folder / "c.nii.gz", np.zeros(SHAPE, np.uint8), np.eye(4))
        options = ["--pred", folders[0], "--ref", folders[1], "--html", tmp_path / "h.html"]
        report = evaluate(*options, report=tmp_path / "r.json")
        assert report["cases"][2]["structures"][0]["dice"] == 1 and report["overall"]["dice"]["cases"] == 2


def _brier(probability: np.ndarray, truth: np.ndarray) -> float:
    """Of the voxels within 10 voxels of the two bars."""
    from scipy.ndimage import distance_transform_edt

    close = distance_transform_edt(~((probability > 0.5) | truth)) <= 10
    return float(np.square(probability - truth)[close].mean())
