"""The process boundary: results, failures, cancellation and death of a real second process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import medsegdiff.worker.client
import numpy as np
import pytest
import worker_stand_in as stand_in
from medsegdiff.errors import Cancelled, JobError, RequestError
from medsegdiff.image.image import Image
from medsegdiff.inference.request import SegmentRequest
from medsegdiff.uncertainty.accumulator import OpinionAccumulator
from medsegdiff.worker import arrays
from medsegdiff.worker.client import WorkerClient
from medsegdiff.worker.result_size import result_bytes
from tiny_models import write_tiny_model

if os.name == "nt":
    pytest.skip("these tests look at processes through POSIX signals", allow_module_level=True)

HERE = str(Path(__file__).parent)
PACKAGE_FOLDER = str(Path(arrays.__file__).resolve().parents[2])
TIMEOUT = 60


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """A client of the stand-in; at the end no process and no folder of it may be left."""
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setattr(arrays, "SHARED_MEMORY", shared)
    environment = dict(os.environ, PYTHONPATH=HERE)
    worker = WorkerClient(sys.executable, environment, module="worker_stand_in")
    worker.folder = shared
    yield worker
    pid = worker.pid
    worker.close()
    assert pid is None or not is_alive(pid)
    assert list(shared.iterdir()) == []


@pytest.fixture
def image():
    """Two channels of noise, 5 x 6 x 7, oblique."""
    rng = np.random.default_rng(0)
    affine = np.array([[0.9, -0.4, 0, 3], [0.4, 1.1, 0, -2], [0, 0, 2, 5], [0, 0, 0, 1.0]])
    array = np.asfortranarray(rng.integers(0, 1000, (2, 5, 6, 7), dtype=np.int16))
    return Image(array, affine, ("one", "two"))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until(condition, timeout: float = TIMEOUT) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def request(behaviour: int = 0) -> SegmentRequest:
    return SegmentRequest(model="any", seed=behaviour)


def last_event(job):
    until(lambda: job.finished)
    return job.poll()[-1]


def test_result_crosses_unchanged(worker, image):
    result = worker.submit(request(), image).wait(TIMEOUT)
    expected = (image.array[0] > image.array[0].mean()).astype(np.uint8)
    assert np.array_equal(result.labelmap, expected)
    assert np.array_equal(result.samples, expected[np.newaxis])
    assert np.array_equal(result.affine, image.affine)
    assert result.labels[0].name == "bright"
    assert result.report["channels"] == ["one", "two"]


def test_all_that_is_known_of_the_image_crosses(worker, image):
    known = {"placed": False, "notes": ("resampled",), "missing": (1,), "modalities": ("MR", "")}
    report = worker.submit(request(), replace(image, **known)).wait(TIMEOUT).report
    assert {name: report[name] for name in known} == {
        "placed": False, "notes": ["resampled"], "missing": [1], "modalities": ["MR", ""]
    }  # fmt: skip


def test_progress_comes_before_the_result(worker, image):
    job = worker.submit(request(), image)
    until(lambda: job.finished)
    events = job.poll()
    assert [e.message for e in events[:-1]] == ["step 0", "step 1", "step 2"]
    assert events[-1].kind == "result" and events[-1].is_end
    assert job.poll() == []


def test_previews_come_when_asked_for(worker, image):
    job = worker.submit(request(stand_in.OBEYING), image, previews=True)
    seen = []
    until(lambda: len([seen.append(event) for event in job.poll() if event.kind == "preview"] and seen) >= 2)
    job.cancel()
    until(lambda: job.finished)
    first, second = seen[:2]
    assert first.opinions == 1 < second.opinions and not first.is_end
    assert np.array_equal(first.labelmap, image.array[0] > image.array[0].mean())
    expected = np.mean([image.array[0] > image.array[0].mean() + 100 * n for n in range(second.opinions)], axis=0) > 0.5
    assert np.array_equal(second.labelmap, expected)


def test_previews_leave_no_files_and_do_not_come_unasked(worker, image):
    plain, shown = worker.submit(request(), image), worker.submit(request(stand_in.OBEYING), image, previews=True)
    until(lambda: plain.finished)
    assert {event.kind for event in plain.poll()} == {"progress", "result"}
    until(lambda: [event for event in shown.poll() if event.kind == "preview"])
    (folder,) = worker.folder.iterdir()
    until(lambda: [path.name for path in folder.iterdir()] == ["image.npy"])
    shown.cancel()
    until(lambda: shown.finished)


def test_preview_that_finds_no_room_does_not_stop_the_run(worker, image, monkeypatch):
    from medsegdiff.worker import server

    def full(*_):
        raise JobError("the temporary folder is full")

    sent = []
    one = server.Server(None)
    monkeypatch.setattr(server, "save_array", full)
    monkeypatch.setattr(one, "_send", sent.append)
    opinions = OpinionAccumulator(2, image.shape)
    opinions.add(np.full((2, *image.shape), 0.5, np.float32), np.zeros(image.shape, np.uint8))
    one._previews(1, Path("nowhere"), None)(opinions)
    assert sent == []


@pytest.mark.parametrize("threshold", [None, 0.2])
def test_preview_is_the_segmentation_of_the_mean_so_far(image, threshold, monkeypatch):
    from medsegdiff.uncertainty import measures
    from medsegdiff.uncertainty.fusion import decide
    from medsegdiff.worker.previews import Previews

    monkeypatch.setattr(measures, "SLAB", 50)
    rng, opinions, shown = np.random.default_rng(1), OpinionAccumulator(3, image.shape), []
    previews = Previews(lambda labelmap, count: shown.append((labelmap, count)), threshold)
    for weight in (1.0, 3.0):
        probability = rng.dirichlet((1, 1, 1), image.shape).astype(np.float32).transpose(3, 0, 1, 2)
        opinions.add(probability, probability.argmax(0).astype(np.uint8), weight)
        previews._shown = None
        previews(opinions)
        assert np.array_equal(shown[-1][0], decide(opinions.mean(), threshold))
    previews(opinions)
    assert [count for _, count in shown] == [1, 2], "and not again at once"


def test_nothing_is_taken_from_the_folder_it_is_started_in(worker, image, monkeypatch, tmp_path):
    for name in ("runpy", "json", "random", "code", "worker_stand_in"):
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('I am the file {name}.py')")
    monkeypatch.chdir(tmp_path)
    assert worker.submit(request(), image).wait(TIMEOUT).report["channels"] == ["one", "two"]


def test_one_process_serves_all_jobs_in_order(worker, image):
    jobs = [worker.submit(request(), image) for _ in range(3)]
    assert len({job.wait(TIMEOUT).report["pid"] for job in jobs}) == 1


def test_arrays_lie_in_a_private_folder_of_shared_memory(worker, image):
    job = worker.submit(request(stand_in.OBEYING), image)
    (folder,) = worker.folder.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    job.cancel()
    assert last_event(job).kind == "cancelled"


def test_without_room_in_shared_memory_the_temporary_folder_is_used(worker, image, monkeypatch, tmp_path):
    other = tmp_path / "temporary"
    other.mkdir()
    monkeypatch.setattr(arrays, "HEADROOM", 10**12)
    monkeypatch.setattr(arrays.tempfile, "tempdir", str(other))
    job = worker.submit(request(), image)
    assert len(list(other.iterdir())) == 1
    job.wait(TIMEOUT)
    assert list(other.iterdir()) == list(worker.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("behaviour", "kind", "message"),
    [
        (stand_in.REFUSING, RequestError, "refused; choose another image"),
        (stand_in.FAILING, JobError, "a fault of the engine"),
    ],
)
def test_failure_is_told_and_the_worker_lives_on(worker, image, behaviour, kind, message):
    event = last_event(worker.submit(request(behaviour), image))
    assert event.kind == "error" and message in event.message and "Traceback" in event.details
    pid = worker.pid
    with pytest.raises(kind, match=message):
        worker.submit(request(behaviour), image).wait(TIMEOUT)
    assert worker.submit(request(), image).wait(TIMEOUT).report["pid"] == pid


def test_result_that_cannot_be_read_ends_the_job_and_the_next_one_is_done(worker, image, monkeypatch):
    def cut_off(*_):
        raise EOFError("no data left in file")

    with monkeypatch.context() as patch:
        patch.setattr(medsegdiff.worker.client, "load_array", cut_off)
        event = last_event(worker.submit(request(), image))
    assert event.kind == "error" and "could not be read (EOFError: no data left" in event.message
    assert worker.submit(request(), image).wait(TIMEOUT).labelmap.any()


def test_stray_prints_do_not_disturb_the_protocol(worker, image):
    assert worker.submit(request(stand_in.PRINTING), image).wait(TIMEOUT).labelmap.any()


def test_obeying_worker_survives_a_cancellation(worker, image):
    job = worker.submit(request(stand_in.OBEYING), image)
    until(lambda: job.poll())
    pid = worker.pid
    job.cancel()
    with pytest.raises(Cancelled):
        job.wait(TIMEOUT)
    assert worker.submit(request(), image).wait(TIMEOUT).report["pid"] == pid


def test_deaf_worker_is_killed_and_the_jobs_behind_it_are_done_by_a_new_one(worker, image):
    deaf, behind = worker.submit(request(stand_in.DEAF), image), worker.submit(request(), image)
    until(lambda: deaf.poll())
    pid = worker.pid
    deaf.cancel()
    assert last_event(deaf).kind == "cancelled"
    assert behind.wait(TIMEOUT).report["pid"] != pid
    assert not is_alive(pid)


def test_waiting_job_is_cancelled_without_harm_to_the_running_one(worker, image):
    running, waiting = worker.submit(request(stand_in.OBEYING), image), worker.submit(request(), image)
    until(lambda: running.poll())
    waiting.cancel()
    assert last_event(waiting).kind == "cancelled"
    assert not running.finished
    running.cancel()
    assert last_event(running).kind == "cancelled"


@pytest.mark.parametrize("kill", [True, False])
def test_death_is_told_and_the_next_job_gets_a_new_worker(worker, image, kill):
    job = worker.submit(request(stand_in.OBEYING if kill else stand_in.DYING), image)
    pid = worker.pid
    if kill:
        until(lambda: job.poll())
        os.kill(pid, signal.SIGKILL)
    event = last_event(job)
    assert event.kind == "died"
    assert f"signal {(signal.SIGKILL if kill else signal.SIGABRT).value}" in event.message
    assert kill or "last words" in event.details
    assert worker.submit(request(), image).wait(TIMEOUT).report["pid"] != pid


def test_closing_cancels_what_is_under_way(worker, image):
    job = worker.submit(request(stand_in.DEAF), image)
    worker.close()
    assert last_event(job).kind == "cancelled"
    assert worker.pid is None


def test_python_that_is_not_there_is_an_error_that_says_so(image):
    with pytest.raises(JobError, match="no-such-python"):
        WorkerClient("/no-such-python").submit(request(), image)


def test_worker_ends_and_cleans_up_when_its_parent_is_killed(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    code = (
        f"import sys, time, pathlib; sys.path[:0] = {[HERE, PACKAGE_FOLDER]!r}\n"
        "import numpy as np, os\n"
        "from medsegdiff.worker import arrays\n"
        f"arrays.SHARED_MEMORY = pathlib.Path({str(shared)!r})\n"
        "from medsegdiff.worker.client import WorkerClient\n"
        "from medsegdiff.image.image import Image\n"
        "from medsegdiff.inference.request import SegmentRequest\n"
        f"worker = WorkerClient(sys.executable, dict(os.environ, PYTHONPATH={HERE!r}), 'worker_stand_in')\n"
        "image = Image(np.ones((1, 2, 2, 2)), np.eye(4))\n"
        f"job = worker.submit(SegmentRequest(model='any', seed={stand_in.DEAF}), image)\n"
        "while not job.poll(): time.sleep(0.01)\n"
        "print(worker.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    assert len(list(shared.iterdir())) == 1
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not is_alive(pid))
    assert list(shared.iterdir()) == []


def test_last_two_models_stay_loaded(monkeypatch):
    from types import SimpleNamespace

    from medsegdiff.inference import engine, ensemble, model
    from medsegdiff.worker.__main__ import LoadedModels

    loaded, labels = [], {"a": "one"}
    monkeypatch.setattr(
        ensemble, "find_models", lambda asked: [SimpleNamespace(folder=asked.model, labels=labels.get(asked.model))]
    )
    monkeypatch.setattr(model, "load_model", lambda package, *_: loaded.append(package.folder) or package.folder)
    monkeypatch.setattr(engine, "segment_image", lambda request, image, *, model, **_: model)
    run = LoadedModels()
    for name in "abacab":  # c takes the place of b, b that of c
        assert run(SegmentRequest(model=name), None, lambda _: None, None) == [name]
    assert loaded == ["a", "b", "c", "b"]
    labels["a"] = "two"  # imported or calibrated anew, with the same weights
    assert run(SegmentRequest(model="a"), None, lambda _: None, None) == ["a"]
    assert loaded == ["a", "b", "c", "b", "a"]


def test_engine_in_the_worker_gives_what_the_engine_gives_here(image, tmp_path):
    from medsegdiff.inference.engine import segment_image

    write_tiny_model(tmp_path / "tiny")
    single = Image(image.array[:1], image.affine)
    asked = SegmentRequest(model=str(tmp_path / "tiny"), samples=2, seed=7, device="cpu")
    worker = WorkerClient(sys.executable)
    try:
        jobs = [worker.submit(asked, single, previews) for previews in (False, True)]
        first, second = (job.wait(TIMEOUT) for job in jobs)
        refused = last_event(worker.submit(SegmentRequest(model=str(tmp_path / "tiny")), image))
    finally:
        worker.close()
    here = segment_image(asked, single)
    size = sum(array.nbytes for array in here.to_arrays()[0].values())
    assert size <= result_bytes(asked, single) + 128 < 1.2 * size  # 128: the affine
    assert np.array_equal(first.labelmap, here.labelmap)
    assert np.array_equal(first.packed_samples, second.packed_samples)
    assert np.allclose(first.probability, here.probability, atol=1e-5)
    assert first.report["samples"] == 2 and first.statistics[0]["name"] == "one"
    assert refused.kind == "error" and refused.unusable and "1 channel" in refused.message


def test_worker_lets_other_processes_go_first(image):
    worker = WorkerClient(sys.executable)
    try:
        last_event(worker.submit(SegmentRequest(model="not there"), image))
        niceness = os.getpriority(os.PRIO_PROCESS, worker.pid)
        assert niceness == min(os.getpriority(os.PRIO_PROCESS, 0) + 10, 19)
        session = Path(f"/proc/{worker.pid}/autogroup")  # Linux shares the processors among sessions first
        told = session.read_text() if session.exists() else ""
        assert told == "" or told.endswith(" nice 10\n")
    finally:
        worker.close()


def test_worker_asks_several_models(image, tmp_path):
    """Arrays, report and refusals of an ensemble cross; the room for them is reckoned."""
    from medsegdiff.inference.engine import segment_image

    names = [str(write_tiny_model(tmp_path / name, name).folder) for name in ("medsegdiff_3d", "unet")]
    single = Image(image.array[:1], image.affine)
    asked = SegmentRequest(names[0], others=names[1:], samples=[3, 1], weights=[1, 3], device="cpu")
    worker = WorkerClient(sys.executable)
    try:
        there = worker.submit(asked, single).wait(TIMEOUT)
        refused = last_event(worker.submit(SegmentRequest(names[0], others=names[:1]), single))
    finally:
        worker.close()
    here = segment_image(asked, single)
    assert np.array_equal(there.packed_samples, here.packed_samples) and np.allclose(there.weights, here.weights)
    assert [told["name"] for told in there.report["models"]] == ["medsegdiff_3d", "unet"]
    assert sum(array.nbytes for array in here.to_arrays()[0].values()) <= result_bytes(asked, single) + 200
    assert refused.kind == "error" and refused.unusable and "named twice" in refused.message


def test_as_many_models_stay_loaded_as_are_asked_together(monkeypatch):
    from types import SimpleNamespace

    from medsegdiff.inference import engine, ensemble, model
    from medsegdiff.worker.__main__ import LoadedModels

    loaded = []
    packages = [SimpleNamespace(folder=name, weights_sha256=name) for name in "abc"]
    monkeypatch.setattr(ensemble, "find_models", lambda asked: packages)
    monkeypatch.setattr(model, "load_model", lambda package, *_: loaded.append(package.folder) or package.folder)
    monkeypatch.setattr(engine, "segment_image", lambda request, image, *, model, **_: model)
    run = LoadedModels()
    for _ in range(2):
        assert run(SegmentRequest("a", others=("b", "c")), None, lambda _: None, None) == ["a", "b", "c"]
    assert loaded == ["a", "b", "c"]
