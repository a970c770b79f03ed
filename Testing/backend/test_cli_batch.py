"""medsegdiff batch: many cases, resumable."""

from __future__ import annotations

import csv
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest
from command_line import AFFINE, fails, noise
from medsegdiff import image as image_room
from medsegdiff.cli.batch import _stamp
from medsegdiff.cli.cases import find_cases
from medsegdiff.cli.main import main
from medsegdiff.errors import RequestError
from medsegdiff.image import read_image
from medsegdiff.image.writing import write_volume
from tiny_models import write_tiny_model


class TestBatch:
    """medsegdiff batch."""

    @pytest.fixture
    def cases(self, tmp_path: Path) -> Path:
        """Two good cases, one of them named as a channel of nnU-Net, and a broken one."""
        folder = tmp_path / "cases"
        folder.mkdir()
        write_volume(folder / "first.nii.gz", noise((16, 16, 16), 1), AFFINE)
        write_volume(folder / "second_0000.nrrd", noise((16, 16, 16), 2), AFFINE)
        (folder / "broken.nii.gz").write_bytes(b"")
        return folder

    def run(self, cases: Path, out: Path, model: Path, *options: str) -> int:
        return main(["batch", str(cases), "-m", str(model), "-o", str(out), *options])

    def rows(self, out: Path) -> dict[str, dict[str, str]]:
        with open(out / "cases.csv", newline="") as file:
            return {row["case"]: row for row in csv.DictReader(file)}

    def test_goes_on_past_a_failed_case_and_says_so(self, cases: Path, out: Path, tiny_model: Path, capsys):
        assert self.run(cases, out, tiny_model) == 1
        assert "1 of 3 cases failed (broken)" in capsys.readouterr().err.splitlines()[-1]
        names = ["cases.csv", "first.json", "first.nii.gz", "second.json", "second.nii.gz"]
        assert sorted(path.name for path in out.iterdir()) == names
        rows = self.rows(out)
        assert [rows[name]["status"] for name in ("broken", "first", "second")] == ["failed", "done", "done"]
        assert "empty" in rows["broken"]["message"]
        report = json.loads((out / "first.json").read_text())
        assert float(rows["first"]["one_volume_mm3"]) == pytest.approx(report["segments"][0]["volume_mm3"])

    def test_no_dice_is_expected_of_a_foreign_image(self, cases: Path, out: Path, tmp_path: Path, capsys):
        line, error = {"1": [0.1, 0.8], "2": [0.1, 0.8]}, {"1": 0.1, "2": 0.1}
        tiny_model = write_tiny_model(
            tmp_path / "calibrated", calibration={"expected_dice": line, "relative_volume_error": error}
        ).folder
        (cases / "broken.nii.gz").unlink()
        write_volume(cases / "first.nii.gz", noise((16, 16, 16), 1) - 1000, AFFINE)  # the model knows MR
        assert self.run(cases, out, tiny_model) == 0
        first, second = (self.rows(out)[name] for name in ("first", "second"))
        assert first["one_expected_dice"] == "" and "unlike" in first["one_expected_dice_withheld"]
        assert float(second["one_expected_dice"]) >= 0 and second["one_expected_dice_withheld"] == ""
        output = str(out / "again.nii.gz")
        assert main(["segment", str(cases / "first.nii.gz"), "-m", str(tiny_model), "-o", output]) == 0
        told = capsys.readouterr().out
        *_, row, said = [line for line in told.splitlines() if line.startswith(("two", "no expected"))]
        assert row.endswith(" -") and said.startswith("no expected Dice of one, two: the image is unlike")
        assert ") " in row and "\n(interval): not calibrated" in told and "Dice may rise" not in told
        assert main(["segment", str(cases / "second_0000.nrrd"), "-m", str(tiny_model), "-o", output]) == 0
        assert "(" not in capsys.readouterr().out.partition("look first")[0]

    def test_keeps_finished_cases_unless_something_changed(self, cases: Path, out: Path, tiny_model: Path, capsys):
        (cases / "broken.nii.gz").unlink()

        def statuses(*options: str) -> list[str]:
            assert self.run(cases, out, tiny_model, *options) == 0
            return [row["status"] for row in self.rows(out).values()]

        assert statuses() == ["done", "done"]
        before = (out / "first.nii.gz").stat().st_mtime_ns
        assert statuses() == ["kept", "kept"]
        assert (out / "first.nii.gz").stat().st_mtime_ns == before
        (out / "first.nii.gz").unlink()
        assert statuses() == ["done", "kept"]
        assert "instead" not in capsys.readouterr().out
        assert statuses("--seed", "1") == ["done", "done"]
        assert "first: done, instead of an earlier result\n" in capsys.readouterr().out
        write_volume(cases / "second_0000.nrrd", noise((16, 16, 16), 3), AFFINE)
        os.utime(cases / "second_0000.nrrd", (2e9, 2e9))
        assert statuses("--seed", "1") == ["kept", "done"]
        assert statuses("--seed", "1", "--uncertainty", "entropy.nrrd") == ["done", "done"]
        assert (out / "first_entropy.nrrd").is_file()

    def test_maps_of_an_earlier_run_do_not_count(self, cases: Path, out: Path, tiny_model: Path):
        for name in ("broken.nii.gz", "second_0000.nrrd"):
            (cases / name).unlink()
        maps = []
        for options in (("--seed", "0", "--uncertainty", "u.nrrd"), ("--seed", "1"),
                        ("--seed", "1", "--uncertainty", "u.nrrd")):  # fmt: skip
            assert self.run(cases, out, tiny_model, *options) == 0
            assert self.rows(out)["first"]["status"] == "done"
            maps.append((out / "first_u.nrrd").read_bytes())
        assert maps[0] == maps[1] != maps[2]

    @pytest.mark.parametrize("content", [b"[]", b"{", b"\xff"])
    def test_a_damaged_report_means_not_finished(self, cases: Path, out: Path, tiny_model: Path, content: bytes):
        (cases / "broken.nii.gz").unlink()
        assert self.run(cases, out, tiny_model) == 0
        (out / "first.json").write_bytes(content)
        assert self.run(cases, out, tiny_model) == 0
        assert [row["status"] for row in self.rows(out).values()] == ["done", "kept"]

    def test_folders_that_are_no_case_are_told(self, cases: Path, out: Path, tiny_model: Path, capsys):
        (cases / "patient" / "series").mkdir(parents=True)
        self.run(cases, out, tiny_model)
        assert "left out, as no DICOM slice lies directly in it: patient" in capsys.readouterr().err

    def test_results_among_the_scans_are_refused(self, cases: Path, tiny_model: Path, capsys):
        (cases / "first.json").write_text("a converter's")
        before = sorted(cases.iterdir())
        assert self.run(cases, cases / ".." / "cases", tiny_model) == 2
        assert "among the scans" in capsys.readouterr().err
        assert sorted(cases.iterdir()) == before and (cases / "first.json").read_text() == "a converter's"

    def test_a_changed_slice_is_seen(self, tmp_path: Path):
        (tmp_path / "dicom").mkdir()
        (tmp_path / "dicom" / "1.dcm").touch()
        before = _stamp([tmp_path / "dicom"])
        (tmp_path / "dicom" / "1.dcm").chmod(0o600)
        assert _stamp([tmp_path / "dicom"]) == before
        os.utime(tmp_path / "dicom" / "1.dcm", (4e9, 4e9))
        assert _stamp([tmp_path / "dicom"]) != before

    def test_files_that_changed_places_are_segmented_anew(self, cases: Path, out: Path, tiny_model: Path):
        (cases / "broken.nii.gz").unlink()
        first, other = cases / "first.nii.gz", cases / "other.nii.gz"
        write_volume(other, noise((16, 16, 16), 3), AFFINE)
        for path in (first, other):
            os.utime(path, (1e9, 1e9))
        assert self.run(cases, out, tiny_model) == 0
        before = (out / "first.nii.gz").read_bytes(), (out / "other.nii.gz").read_bytes()
        time.sleep(0.05)  # longer than the step of the file system's clock
        first.rename(cases / "aside")
        other.rename(first)
        (cases / "aside").rename(other)
        assert self.run(cases, out, tiny_model) == 0
        assert [self.rows(out)[name]["status"] for name in ("first", "other", "second")] == ["done", "done", "kept"]
        assert ((out / "other.nii.gz").read_bytes(), (out / "first.nii.gz").read_bytes()) == before

    def test_a_bug_in_one_case_does_not_stop_the_others(self, cases, out, tiny_model, monkeypatch, capsys):
        def read(paths):
            if "second" in str(paths[0]):
                raise KeyError("oops")
            return read_image(paths)

        monkeypatch.setattr(image_room, "read_image", read, raising=False)
        assert self.run(cases, out, tiny_model) == 1
        assert "2 of 3 cases failed (broken, second)" in capsys.readouterr().err
        assert self.rows(out)["second"]["message"].startswith("unexpected KeyError: 'oops'")

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows sends signals otherwise")
    @pytest.mark.usefixtures("handlers")
    def test_an_interrupt_that_a_library_hides_is_no_failed_case(self, cases, out, tiny_model, monkeypatch, capsys):
        def read(paths):
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                raise RuntimeError("the library gave up") from None

        monkeypatch.setattr(image_room, "read_image", read, raising=False)
        assert self.run(cases, out, tiny_model) == 1
        assert capsys.readouterr().err.startswith("medsegdiff: interrupted; finished cases are kept")
        assert not list(out.iterdir())

    @pytest.mark.skipif(not hasattr(os, "seteuid"), reason="folders of this system have no POSIX access rights")
    def test_unreadable_folders_are_named(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            (Path(folder) / "lost+found").mkdir(mode=0)
            user = os.geteuid()
            try:
                if user == 0:  # root may read everything
                    os.seteuid(65534)
                with pytest.raises(RequestError, match=r"no permission to read .*lost\+found"):
                    find_cases(Path(folder))
            finally:
                os.seteuid(user)
                (Path(folder) / "lost+found").chmod(0o700)

    def test_channels_of_a_case_go_together(self, cases: Path, out: Path, tiny_model: Path):
        write_volume(cases / "second_0001.nrrd", noise((16, 16, 16), 3), AFFINE)
        assert self.run(cases, out, tiny_model) == 1
        assert "has 2" in self.rows(out)["second"]["message"]

    @pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
    def test_links_to_what_is_not_there_are_failed_cases(self, cases: Path, out: Path, tiny_model: Path):
        (cases / "broken.nii.gz").unlink()
        (cases / "away.nii.gz").symlink_to("annex/away.nii.gz")
        (cases / "notes.txt").symlink_to("annex/notes.txt")
        (cases / "dicom").mkdir()
        (cases / "dicom" / "1.dcm").symlink_to("annex/1.dcm")
        assert self.run(cases, out, tiny_model) == 1
        rows = self.rows(out)
        assert {name: row["status"] for name, row in rows.items()} == {
            "away": "failed", "dicom": "failed", "first": "done", "second": "done"
        }  # fmt: skip
        assert "a link to annex/away.nii.gz, which is not there" in rows["away"]["message"]
        assert "a link to annex/1.dcm, which is not there" in rows["dicom"]["message"]

    def test_outputs_of_two_cases_do_not_meet(self, cases: Path, out: Path, tiny_model: Path, capsys):
        write_volume(cases / "first_probability.nrrd", noise((16, 16, 16), 3), AFFINE)
        asked = ("batch", cases, "-m", tiny_model, "-o", out, "--probability", "probability.nii.gz")
        fails(capsys, 2, "first_probability.nii.gz would be written for first and for first_probability", *asked)
        assert list(out.iterdir()) == []

    @pytest.mark.parametrize(
        "names", [("c.nii.gz", "c_0000.nii.gz"), ("c_0000.nrrd", "c.nrrd"), ("c_0000.nii.gz", "c_0000.nrrd")]
    )
    def test_cases_of_one_name_are_not_merged(self, tmp_path: Path, names):
        for name in names:
            (tmp_path / name).touch()
        with pytest.raises(RequestError, match=r"c\S+ and \S+c\S+ are two cases of one name"):
            find_cases(tmp_path)

    @pytest.mark.parametrize(("folder", "about"), [("absent", "does not exist"), ("nothing", "no images")])
    def test_unusable_folders_are_refused(self, tmp_path: Path, out: Path, tiny_model: Path, capsys, folder, about):
        (tmp_path / "nothing").mkdir()
        fails(capsys, 2, about, "batch", tmp_path / folder, "-m", tiny_model, "-o", out)
        assert not list(out.iterdir())


def test_folders_without_dicom_are_no_cases(tmp_path: Path):
    for name in ("notes/readme.txt", "earlier/cases.csv", "slices/1.dcm", "bare/IM0001", ".hidden/1.dcm",
                 "seen/.DS_Store"):  # fmt: skip
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "marked").mkdir()
    (tmp_path / "marked/1.2.840.1").write_bytes(bytes(128) + b"DICM")
    assert [case.name for case in find_cases(tmp_path)] == ["bare", "marked", "slices"]
