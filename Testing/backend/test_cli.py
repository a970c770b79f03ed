"""The command line: what it writes, and what it says where it cannot."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from command_line import AFFINE, fails, noise
from medsegdiff.cli.main import main
from medsegdiff.cli.outputs import Outputs
from medsegdiff.errors import JobError, RequestError
from medsegdiff.image import read_image
from medsegdiff.image.writing import write_volume
from PIL import Image as Picture
from tiny_models import NETWORKS, write_tiny_model


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A small scan with structure in it, outside the output folder."""
    path = tmp_path / "inputs" / "scan.nii.gz"
    path.parent.mkdir()
    write_volume(path, noise((18, 20, 16), 0), AFFINE)
    return path


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """A small colour picture."""
    path = tmp_path / "eye.png"
    Picture.fromarray(np.random.default_rng(5).integers(0, 255, (20, 34, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def colour_model(tmp_path: Path) -> Path:
    """Folder of a 2D model of three channels, of a fixed size."""
    arguments = {**NETWORKS["medsegdiff_v2"], "in_channels": 3, "spatial_dims": 2}
    preprocessing = {
        "orientation": "LPS",
        "spacing": None,
        "size": [16, 16, None],
        "normalization": "8bit",
        "divisible": 1,
    }
    channels = [{"name": name} for name in ("red", "green", "blue")]
    return write_tiny_model(
        tmp_path / "colour", "medsegdiff_v2", arguments, preprocessing=preprocessing, channels=channels
    ).folder


def test_segment_writes_everything_that_is_asked_for(scan: Path, out: Path, tiny_model: Path, capsys):
    files = {name: out / name for name in ("o.seg.nrrd", "p.nii.gz", "u.nrrd", "s.nrrd", "r.json", "v.png")}
    status = main([
        "segment", str(scan), "-m", str(tiny_model), "-o", str(files["o.seg.nrrd"]), "--samples", "4", "--steps", "3",
        "--sampler", "ddim", "--seed", "5", "--fusion", "mean", "--tta", "--device", "cpu",
        "--precision", "fp32", "--overlap", "0.25", "--tile", "32", "--sample-batch", "3",
        "--probability", str(files["p.nii.gz"]), "--uncertainty", str(files["u.nrrd"]), "--measure", "entropy",
        "--samples-out", str(files["s.nrrd"]), "--report", str(files["r.json"]), "--preview", str(files["v.png"]),
    ])  # fmt: skip
    captured = capsys.readouterr()
    assert status == 0, captured.err
    assert "one" in captured.out and "two" in captured.out
    assert sorted(path.name for path in out.iterdir()) == sorted(files)

    labels = sitk.ReadImage(str(files["o.seg.nrrd"]))
    original = sitk.ReadImage(str(scan))
    assert labels.GetSize() == original.GetSize()
    assert np.allclose(labels.GetOrigin(), original.GetOrigin())
    assert np.allclose(labels.GetSpacing(), original.GetSpacing())
    probability = sitk.GetArrayFromImage(sitk.ReadImage(str(files["p.nii.gz"])))
    assert probability.shape == (3, 16, 20, 18)
    assert np.allclose(probability.sum(0), 1, atol=1e-5)
    assert (probability.argmax(0) == sitk.GetArrayFromImage(labels)).all()
    uncertainty = sitk.GetArrayFromImage(sitk.ReadImage(str(files["u.nrrd"])))
    p = np.clip(probability, 1e-12, 1)
    assert np.allclose(uncertainty, -(p * np.log(p)).sum(0), atol=1e-4)
    samples = sitk.GetArrayFromImage(sitk.ReadImage(str(files["s.nrrd"])))
    assert samples.shape == (16, 20, 18, 4) and samples.max() <= 2

    report = json.loads(files["r.json"].read_text())
    assert (report["model"], report["samples"], report["steps"], report["seed"]) == ("tiny", 4, 3, 5)
    assert report["sampler"] == "ddim" and report["tta"] is True and report["inputs"] == [str(scan)]
    assert sorted(report["outputs"]) == sorted(str(path) for path in files.values())
    assert {"model_sha256", "version", "network_evaluations", "device", "precision", "peak_memory_bytes",
            "warnings"} <= report.keys()  # fmt: skip
    seconds = report["seconds"]
    assert seconds["total"] == pytest.approx(sum(v for k, v in seconds.items() if k != "total"), rel=0.5)
    voxel = float(np.prod(original.GetSpacing()))
    for segment, value in zip(report["segments"], (1, 2)):
        assert {"name", "label", "terminology", "volume_interval_mm3", "mean_uncertainty", "sample_agreement",
                "expected_dice"} <= segment.keys()  # fmt: skip
        count = (sitk.GetArrayFromImage(labels) == value).sum()
        assert segment["volume_mm3"] == pytest.approx(count * voxel, rel=1e-4)


@pytest.mark.parametrize(
    "options",
    [("--sampler", "ddpm"), ("--sampler", "dpm++"), ("--fusion", "staple"), ("--fusion", "majority"),
     ("--measure", "variance"), ("--measure", "mutual-information"), ("--measure", "expected-entropy")],
)  # fmt: skip
def test_each_choice_works(scan: Path, out: Path, tiny_model: Path, options: tuple[str, str]):
    uncertainty = ["--uncertainty", str(out / "u.nii.gz")]
    assert main(["segment", str(scan), "-m", str(tiny_model), "-o", str(out / "o.nrrd"), *uncertainty, *options]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["o.nrrd", "u.nii.gz"]


def test_threshold_moves_the_border(scan: Path, out: Path, tiny_model: Path):
    counts = []
    for threshold in ("0.2", "0.8"):
        command = ["segment", str(scan), "-m", str(tiny_model), "-o", str(out / "o.nii.gz"), "--threshold", threshold]
        assert main(command) == 0
        counts.append(int((sitk.GetArrayFromImage(sitk.ReadImage(str(out / "o.nii.gz"))) > 0).sum()))
    assert counts[0] > counts[1]


def test_quiet_prints_nothing(scan: Path, out: Path, tiny_model: Path, capsys):
    assert main(["segment", str(scan), "-m", str(tiny_model), "-o", str(out / "o.nrrd"), "--quiet"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def make_bad_input(kind: str, folder: Path) -> list[Path]:
    path = folder / f"{kind}.nii.gz"
    if kind == "4d":
        sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(noise((8, 8, 8), i)) for i in range(3)]), str(path))
    elif kind == "nan":
        array = noise((8, 8, 8), 0)
        array[2, 3, 4] = np.nan
        sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    elif kind == "empty":
        path = folder / "empty.nrrd"
        path.write_text("NRRD0004\ntype: short\ndimension: 3\nsizes: 0 8 8\nencoding: raw\n\n")
    elif kind == "channels":
        for index in range(2):
            write_volume(folder / f"c{index}.nii.gz", noise((8, 8, 8), index), AFFINE)
        return [folder / "c0.nii.gz", folder / "c1.nii.gz"]
    elif kind == "dicom":
        path = folder / "dicom"
        path.mkdir()
        (path / "000000.dcm").write_bytes(b"this is no DICOM file" * 40)
    elif kind == "truncated":
        write_volume(folder / "whole.nii.gz", noise((18, 20, 16), 0), AFFINE)
        path.write_bytes((folder / "whole.nii.gz").read_bytes()[:5000])
    return [path]


@pytest.mark.parametrize(
    ("kind", "about"),
    [("missing", "no such file"), ("4d", "4D"), ("nan", "NaN"), ("empty", "empty|size"),
     ("channels", "1 channel.*has 2"), ("dicom", "DICOM"), ("truncated", "truncated|damaged")],
)  # fmt: skip
def test_bad_input_is_refused(tmp_path: Path, out: Path, tiny_model: Path, capsys, kind: str, about: str):
    inputs = make_bad_input(kind, tmp_path)
    fails(capsys, 2, about, "segment", *inputs, "-m", tiny_model, "-o", out / "o.nii.gz", "--report", out / "r.json")
    assert not list(out.iterdir())


@pytest.mark.parametrize(
    ("options", "about"),
    [(["--samples", "0"], "samples"), (["--steps", "two"], "steps"), (["--threshold", "1.5"], "threshold"),
     (["--overlap", "1"], "overlap"), (["--device", "tpu"], "device"), (["--sampler", "euler"], "sampler"),
     (["--seed", "-1"], "seed"), (["--preview", "v.jpg"], "png"), (["--report", "r.txt"], "json"),
     (["--frobnicate"], "frob")],
)  # fmt: skip
def test_bad_options_are_refused(scan: Path, out: Path, tiny_model: Path, capsys, monkeypatch, options, about):
    monkeypatch.chdir(out)
    fails(capsys, 2, about, "segment", scan, "-m", tiny_model, "-o", out / "o.nii.gz", *options)
    assert not list(out.iterdir())


def test_a_misspelt_option_leads_to_the_help_that_lists_them(capsys):
    for command, rest in (("segment", ["-m", "m", "-o", "o.nrrd", "i.nrrd"]), ("models list", [])):
        with pytest.raises(SystemExit) as exit:
            main([*command.split(), *rest, "--sampels"])
        assert exit.value.code == 2
        assert f"unrecognized arguments: --sampels; see medsegdiff {command} --help" in capsys.readouterr().err


def test_of_unknown_options_neither_values_nor_what_lost_its_place_is_told(capsys):
    with pytest.raises(SystemExit):
        main(["models", "import", "--json", "--attribution", "Ann", "--", "/tmp/model.zip"])
    said = capsys.readouterr().err
    assert said == "medsegdiff: unrecognized arguments: --attribution; see medsegdiff models import --help\n"


def test_unknown_model_is_refused(scan: Path, out: Path, capsys):
    fails(capsys, 2, "not known", "segment", scan, "-m", "no-such-model", "-o", out / "o.nii.gz")
    assert not list(out.iterdir())


def unwritable_folder(tmp_path: Path) -> Path:
    """A folder into which even root cannot write, where there is one."""
    folder = Path("/proc")
    if os.name == "posix" and os.geteuid() != 0:
        folder = tmp_path / "read-only"
        folder.mkdir(mode=0o555)
    if not folder.is_dir():
        pytest.skip("no folder here that root cannot write into")
    return folder


def test_unusable_output_places_are_refused(scan: Path, tmp_path: Path, tiny_model: Path, capsys):
    for output, about in (
        (tmp_path / "absent" / "o.nii.gz", "no folder"),
        (scan / "o.nii.gz", "no folder"),
        (unwritable_folder(tmp_path) / "o.nii.gz", "cannot write"),
        (tmp_path / "o.txt", "must end in"),
        (scan, "is an input"),
    ):
        before = scan.read_bytes()
        fails(capsys, 2, about, "segment", scan, "-m", tiny_model, "-o", output)
        assert scan.read_bytes() == before
    same = tmp_path / "o.nii.gz"
    fails(capsys, 2, "two outputs", "segment", scan, "-m", tiny_model, "-o", same, "--uncertainty", same)


def test_sheared_grid_is_refused_before_inference(out: Path, tmp_path: Path, tiny_model: Path, capsys, monkeypatch):
    sheared = AFFINE.copy()
    sheared[0, 1] = 0.4
    write_volume(tmp_path / "sheared.nrrd", noise((16, 16, 16), 0), sheared)
    monkeypatch.setattr("medsegdiff.inference.engine.segment_image", None)
    fails(capsys, 2, "u.nii.gz: a sheared grid", "segment", tmp_path / "sheared.nrrd", "-m", tiny_model,
          "-o", out / "o.nrrd", "--uncertainty", out / "u.nii.gz")  # fmt: skip
    assert not list(out.iterdir())


@pytest.mark.parametrize("how", ["truncated", "tampered", "not JSON", "weights missing"])
def test_damaged_models_are_refused(scan: Path, out: Path, tmp_path: Path, tiny_model: Path, capsys, how: str):
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    weights, config = model / "models" / "model.safetensors", model / "configs" / "segmenter.json"
    if how == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif how == "tampered":
        data = bytearray(weights.read_bytes())
        data[-8] ^= 1
        weights.write_bytes(data)
    elif how == "not JSON":
        config.write_text(config.read_text()[:-20])
    else:
        weights.unlink()
    fails(capsys, 2, "install the model again", "segment", scan, "-m", model, "-o", out / "o.nii.gz")
    fails(capsys, 2, "install the model again", "models", "verify", model)
    assert not list(out.iterdir())


def test_full_disk_leaves_earlier_outputs_as_they_were(scan: Path, out: Path, tiny_model: Path, capsys, monkeypatch):
    from medsegdiff.image import preview

    def refuse(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    earlier = out / "o.nii.gz"
    earlier.write_bytes(b"earlier result")
    monkeypatch.setattr(preview, "draw_preview", refuse)
    fails(capsys, 1, "No space left", "segment", scan, "-m", tiny_model, "-o", earlier, "--preview", out / "v.png",
          "--report", out / "r.json")  # fmt: skip
    assert [path.name for path in out.iterdir()] == ["o.nii.gz"]
    assert earlier.read_bytes() == b"earlier result"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of file sizes")
@pytest.mark.parametrize("name", ["o.nii.gz", "o.seg.nrrd"])
def test_a_write_that_the_system_cuts_short_fails(scan: Path, out: Path, tiny_model: Path, capsys, name: str):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        status = main(["segment", str(scan), "-m", str(tiny_model), "-o", str(out / name),
                       "--probability", str(out / "p.nrrd"), "--report", str(out / "r.json")])  # fmt: skip
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    lines = capsys.readouterr().err.splitlines()
    assert status == 1 and len(lines) == 1 and "written" in lines[0] and "partial" not in lines[0], lines
    assert not list(out.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of file sizes")
def test_a_preview_or_report_without_room_is_named(scan: Path, out: Path, tiny_model: Path, capsys):
    import resource

    arguments = ["segment", str(scan), "-m", str(tiny_model), "-o", str(out / "o.nii.gz"), "--quiet"]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for option, name in (("--preview", "v.png"), ("--report", "r.json")):
        assert main([*arguments, option, str(out / name)]) == 0
        sizes = {path.name: path.stat().st_size for path in out.iterdir()}
        assert sizes["o.nii.gz"] < sizes[name] - 100  # times in a report are not always as long
        resource.setrlimit(resource.RLIMIT_FSIZE, (sizes[name] - 100, hard))
        try:
            status = main([*arguments, option, str(out / name)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        (line,) = capsys.readouterr().err.splitlines()
        assert status == 1 and f"could not write {out / name} (" in line, line
        (out / name).unlink()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_runs_leave_nothing(scan: Path, out: Path, tiny_model: Path, subprocess_environment, number: int):
    import pty

    reading, writing = pty.openpty()
    command = [sys.executable, "-m", "medsegdiff", "segment", str(scan), "-m", str(tiny_model),
               "-o", str(out / "o.nii.gz"), "--report", str(out / "r.json"),
               "--samples", "20", "--steps", "1000"]  # fmt: skip
    with subprocess.Popen(command, stderr=writing, stdout=subprocess.PIPE, env=subprocess_environment) as process:
        os.close(writing)
        text = b""
        while b" left" not in text:  # the progress bar tells that the engine is at work
            text += os.read(reading, 1000)
        process.send_signal(number)
        process.wait(timeout=60)
        printed = process.stdout.read()
    rest = b""
    try:
        while part := os.read(reading, 1000):
            rest += part
    except OSError:  # how a pseudo-terminal ends
        pass
    os.close(reading)
    last = re.split(rb"[\r\n]+", rest.strip())[-1]
    assert (process.returncode, printed, last) == (1, b"", b"medsegdiff: interrupted; nothing was written")
    assert not list(out.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends signals otherwise")
def test_an_interrupt_inside_an_exec_ends_with_status_1(tmp_path: Path, subprocess_environment):
    """Imports run such code all the time, and `python -m` would make its own status of it."""
    (tmp_path / "interrupted.py").write_text(
        "import sys, medsegdiff.cli.main as main, medsegdiff.cli.models as models\n"
        "code = 'import os, signal; os.kill(os.getpid(), signal.SIGINT); import asyncio'\n"
        "models.run_list = lambda args: exec(code)\n"
        "sys.exit(main.main(['models', 'list']))\n"
    )
    command = [sys.executable, "-m", "interrupted"]
    done = subprocess.run(command, cwd=tmp_path, env=subprocess_environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "medsegdiff: interrupted; nothing was written\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends signals otherwise")
def test_a_second_interrupt_does_not_stop_the_tidying_up(out: Path, subprocess_environment):
    (out / "twice.py").write_text(
        "import signal, sys, medsegdiff.cli.main as main, medsegdiff.cli.models as models\n"
        "from medsegdiff.cli.outputs import Outputs\n"
        "class Impatient(Outputs):\n"
        "    def _tidy(self):\n"
        "        signal.raise_signal(signal.SIGTERM)\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "        super()._tidy()\n"
        "def run(args):\n"
        "    with Impatient() as outputs:\n"
        "        outputs.path('out.txt').write_text('half')\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "models.run_list = run\n"
        "sys.exit(main.main(['models', 'list']))\n"
    )
    command = [sys.executable, "twice.py"]
    done = subprocess.run(command, cwd=out, env=subprocess_environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "medsegdiff: interrupted; nothing was written\n")
    assert [path.name for path in out.iterdir()] == ["twice.py"]


def test_debug_shows_where_it_failed(tiny_model: Path, out: Path):
    with pytest.raises(RequestError):
        main(["segment", "absent.nii.gz", "-m", str(tiny_model), "-o", str(out / "o.nii.gz"), "--debug"])


def test_help_needs_only_the_standard_library(subprocess_environment):
    code = (
        "import sys; before = set(sys.modules); import medsegdiff.__main__, medsegdiff.cli.main as m;"
        "m.build_parser().format_help(); new = {name.split('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(new - sys.stdlib_module_names - {'medsegdiff'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=subprocess_environment, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_help_and_version_run_as_a_module(subprocess_environment):
    for option, text in (("--help", "segment"), ("--version", "medsegdiff 0.")):
        command = [sys.executable, "-m", "medsegdiff", option]
        done = subprocess.run(command, env=subprocess_environment, capture_output=True, text=True)
        assert done.returncode == 0 and text in done.stdout and done.stderr == ""


def test_models_are_listed_and_verified(tiny_model: Path, capsys, monkeypatch):
    monkeypatch.setenv("MEDSEGDIFF_MODELS", str(tiny_model.parent))
    assert main(["models", "list", "--json"]) == 0
    listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert [label["name"] for label in listed["tiny"]["labels"]] == ["background", "one", "two"]
    assert main(["models", "list"]) == 0
    assert "tiny" in capsys.readouterr().out
    assert main(["models", "info", "tiny", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert main(["models", "verify", "tiny", "--json"]) == 0
    verified = json.loads(capsys.readouterr().out)
    assert verified == {"name": "tiny", "intact": True, "weights_sha256": info["weights_sha256"]}


def test_a_broken_model_is_told_where_models_are_listed(tiny_model: Path, tmp_path: Path, capsys, monkeypatch):
    shutil.copytree(tiny_model, tmp_path / "store/half")
    config = tmp_path / "store/half/configs/segmenter.json"
    config.write_bytes(config.read_bytes()[:100])
    monkeypatch.setenv("MEDSEGDIFF_MODELS", str(tmp_path / "store"))
    assert main(["models", "list", "--json"]) == 0
    told = capsys.readouterr()
    assert "tiny" not in told.out and told.err.startswith("warning: ") and str(config) in told.err


def test_a_model_is_described_for_people(tiny_model: Path, capsys):
    assert main(["models", "info", "hippocampus-medsegdiff"]) == 0
    page = capsys.readouterr().out
    for told in ("T1 (MR)", "1  anterior hippocampus", "8 samples of 2 steps", "CC-BY-SA-4.0", "Dice 0.893", " MB\n",
                 "arXiv:1902.09063", "docs/README.md", "160, then 140 cases", "0.0011 (cross-validated"):  # fmt: skip
        assert told in page
    assert not set("{}[]") & set(page) and max(map(len, page.splitlines())) <= 120
    assert main(["models", "info", str(tiny_model)]) == 0  # whose package tells neither licence nor quality
    page = capsys.readouterr().out
    assert "licence:        not stated" in page and "quality" not in page and "more:" not in page


def test_demo_fills_a_folder(out: Path, tiny_model: Path, project_root: Path, capsys):
    idle = ["--variants", "intensity", "--samples", "1"]  # which a warning tells: one sample sees one variant
    assert main(["demo", "-m", str(tiny_model), "-o", str(out / "demo"), *idle]) == 0
    printed = capsys.readouterr().out
    scans = sorted((project_root / "Resources" / "SampleData").glob("*.nii.gz"))
    assert len(scans) == 2
    for scan in scans:
        name = scan.name.removesuffix(".nii.gz")
        assert name in printed
        files = {path.name for path in (out / "demo" / name).iterdir()}
        assert files == {"scan.nii.gz", "segmentation.seg.nrrd", "segmentation.nii.gz", "probability.nrrd",
                         "uncertainty.nrrd", "report.json", "preview.png"}  # fmt: skip
    index = (out / "demo" / "README.txt").read_text()
    assert "preview.png" in index
    warnings = json.loads((out / "demo" / name / "report.json").read_text())["warnings"]
    assert all(f"warning: {warning}" in index and warning in printed for warning in warnings) and warnings
    assert (out / "demo" / "LICENSE-ICBM152.txt").is_file()


def test_demo_takes_no_folder_with_files_of_the_users(out: Path, tiny_model: Path, capsys):
    (out / "README.txt").write_text("my own notes")
    fails(capsys, 2, "holds other files", "demo", "-m", tiny_model, "-o", out)
    assert (out / "README.txt").read_text() == "my own notes" and len(list(out.iterdir())) == 1


def test_what_cannot_be_replaced_leaves_all_files_as_they_were(out: Path, monkeypatch):
    """As where another program holds one of them open on Windows."""
    replace = os.replace

    def refuse(source, target):
        if Path(target).name == "b.txt" and ".partial" in str(source):
            raise PermissionError(errno.EACCES, "Permission denied", str(target))
        replace(source, target)

    for name in ("a.txt", "b.txt"):
        (out / name).write_text("earlier")
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(JobError, match=r"could not write .*b.txt \(Permission denied\); close"), Outputs() as outputs:
        for name in ("new.txt", "a.txt", "b.txt"):
            outputs.path(out / name).write_text("now")
    assert {path.name: path.read_text() for path in out.iterdir()} == {"a.txt": "earlier", "b.txt": "earlier"}


def test_a_name_too_long_for_a_file_is_an_unusable_request(out: Path, tiny_model: Path, capsys):
    fails(capsys, 2, "give a shorter name", "segment", "x" * 300 + ".nii.gz", "-m", tiny_model, "-o", out / "o.nii.gz")


def test_only_writing_is_called_writing(out: Path):
    with pytest.raises(JobError, match=r"could not write .*no-folder.a.txt \(.*\); make room"), Outputs() as outputs:
        outputs.path(out / "no-folder" / "a.txt").write_text("")
    with pytest.raises(FileNotFoundError), Outputs():
        (out / "absent").read_text()


def test_demo_that_fails_leaves_no_folder(out: Path, tiny_model: Path, capsys, monkeypatch):
    from medsegdiff.image import preview

    def refuse(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(preview, "draw_preview", refuse)
    fails(capsys, 1, "No space left", "demo", "-m", tiny_model, "-o", out / "demo")
    assert not list(out.iterdir())


def test_photograph(photograph, colour_model, out):
    files = [out / name for name in ("o.nii.gz", "u.nrrd", "v.png")]
    assert main(["segment", str(photograph), "-m", str(colour_model), "-o", str(files[0]), "--uncertainty",
                 str(files[1]),
                 "--preview", str(files[2]), "--quiet"]) == 0  # fmt: skip
    picture = read_image(photograph)
    for file in files[:2]:
        written = read_image(file)
        assert written.shape == (34, 20, 1)
        np.testing.assert_allclose(written.affine, picture.affine, atol=1e-5)
    assert Picture.open(files[2]).size[0] > 100


def test_channels_that_do_not_fit_are_refused(photograph, scan, tiny_model, colour_model, out, capsys):
    fails(capsys, 2, "takes 1 channel", "segment", photograph, "-m", tiny_model, "-o", out / "o.nii.gz", "--quiet")
    fails(capsys, 2, "takes 3 channel", "segment", scan, "-m", colour_model, "-o", out / "o.nii.gz", "--quiet")
    assert not list(out.iterdir())


def test_plane(scan, tiny_model, tmp_path, out, capsys):
    wanted = ["-o", out / "o.nrrd", "--quiet", "--plane"]
    fails(capsys, 2, "has no plane", "segment", scan, "-m", tiny_model, *wanted, "coronal")
    arguments = {**NETWORKS["unet"], "spatial_dims": 2}
    flat = {"orientation": "RAS", "spacing": None, "normalization": "zscore", "divisible": [4, 4, 1]}
    model = write_tiny_model(tmp_path / "flat", "unet", arguments, preprocessing=flat).folder
    for plane in ("axial", "sagittal"):
        command = ["segment", scan, "-m", model, *wanted, plane, "--probability", out / f"{plane}.nrrd"]
        assert main([str(part) for part in command]) == 0
    assert (read_image(out / "axial.nrrd").array != read_image(out / "sagittal.nrrd").array).any()
