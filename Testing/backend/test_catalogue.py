"""Catalogues of models, and downloads from a server on this machine: whole, the right one, and resumed; or nothing."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from medsegdiff.cli.main import main
from medsegdiff.errors import JobError, RequestError
from medsegdiff.models import catalogue, download, importing, store
from medsegdiff.models.catalogue import get_model, read_catalogue
from tiny_models import write_tiny_model


class Handler(BaseHTTPRequestHandler):
    """Serves server.content; what the server's `behaviour` says goes wrong."""

    def do_GET(self) -> None:
        server = self.server
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1]) if server.behaviour != "no ranges" else 0
        server.asked.append(start)
        content = server.content[start:]
        if server.behaviour == "missing":
            self.send_error(404)
            return
        if server.behaviour == "beyond" and start:
            self.send_error(416)
            server.behaviour = "good"
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        self.end_headers()
        if server.behaviour == "breaks" or (server.behaviour == "breaks once" and len(server.asked) == 1):
            self.wfile.write(content[: len(content) // 2] if server.behaviour == "breaks once" else b"")
            self.wfile.flush()
            self.connection.close()
            return
        self.wfile.write(content)

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def home(tmp_path, monkeypatch):
    for module in (importing, store, catalogue):
        monkeypatch.setattr(module, "user_store", lambda: tmp_path / "store")
    for name in (catalogue.CATALOGUE, catalogue.MIRROR, "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "PATIENCE", 5.0)
    write_tiny_model(tmp_path / "made" / "tiny", "unet")
    shutil.make_archive(str(tmp_path / "shelf" / "tiny"), "zip", tmp_path / "made")
    return tmp_path


@pytest.fixture
def server(home):
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.content, running.behaviour, running.asked = (home / "shelf/tiny.zip").read_bytes(), "good", []
    thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def entry(file: Path, source: str, **changes) -> dict:
    content = file.read_bytes()
    return {
        "name": "tiny", "task": "nothing much", "modality": "MR",
        "labels": [{"name": "one"}, {"name": "two", "terminology": ""}],
        "licence": "CC0-1.0", "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "source": source,
        **changes,
    }  # fmt: skip


def write(home: Path, *entries: dict) -> Path:
    path = home / "shelf/catalogue.json"
    path.write_text(json.dumps({"format": 1, "models": list(entries)}))
    return path


def served(home: Path, server, **changes) -> Path:
    return write(
        home, entry(home / "shelf/tiny.zip", f"http://127.0.0.1:{server.server_port}/models/tiny.zip", **changes)
    )


def left(home: Path) -> list[str]:
    """Files of the store."""
    return sorted(path.name for path in (home / "store").rglob("*") if path.is_file())


INSTALLED = ["metadata.json", "model.safetensors", "segmenter.json"]


def test_model_is_downloaded_and_imported(home, server, capsys, monkeypatch):
    path = served(home, server)
    assert main(["models", "list", "--catalogue", str(path)]) == 0
    assert "tiny\n    nothing much\n    structures: one, two; MR; " in capsys.readouterr().out
    monkeypatch.setenv(catalogue.CATALOGUE, str(path))
    assert main(["models", "download", "tiny", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "tiny"
    assert left(home) == INSTALLED and store.find_model("tiny").folder == home / "store/tiny"
    assert server.asked == [0]


def test_odd_addresses(home, server, capsys):
    """Letters beyond ASCII are fetched; what is no host ends in one line."""
    source = f"http://127.0.0.1:{server.server_port}/mod\u00e8les/tin\u00ff%20.zip"
    get_model("tiny", write(home, entry(home / "shelf/tiny.zip", source)))
    assert left(home) == INSTALLED
    path = write(home, entry(home / "shelf/tiny.zip", f"http://{'long' * 20}\u00e8.example/tiny.zip"))
    assert main(["models", "download", "tiny", "--catalogue", str(path)]) == 2
    assert "is no address" in (said := capsys.readouterr().err) and len(said.splitlines()) == 1


def test_broken_connection_is_taken_up_where_it_broke(home, server):
    server.behaviour = "breaks once"
    get_model("tiny", served(home, server))
    assert server.asked == [0, len(server.content) // 2] and left(home) == INSTALLED


def test_network_that_fails_within_is_no_full_disk(home, server, monkeypatch):
    read, failures = http.client.HTTPResponse.read, [OSError(113, "No route to host")]

    def fails(self, *amount):
        if failures:
            raise failures.pop()
        return read(self, *amount)

    monkeypatch.setattr(http.client.HTTPResponse, "read", fails)
    get_model("tiny", served(home, server))
    assert not failures and left(home) == INSTALLED


def test_what_came_is_kept_for_the_next_time(home, server):
    path, half = served(home, server), len(server.content) // 2
    digest = hashlib.sha256(server.content).hexdigest()
    part = home / "store/.downloads" / digest / "tiny.zip.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(server.content[:half])
    server.behaviour = "breaks"
    with pytest.raises(JobError, match=f"at {half} of .* it goes on from there"):
        get_model("tiny", path)
    assert part.read_bytes() == server.content[:half] and server.asked == [half] * download.ATTEMPTS
    assert "tiny" not in [package.name for package in store.list_models() if package.folder.is_relative_to(home)]
    server.behaviour = "good"
    get_model("tiny", path)
    assert left(home) == INSTALLED


@pytest.mark.parametrize("behaviour", ["no ranges", "beyond"])
def test_servers_that_cannot_go_on_begin_anew(home, server, behaviour):
    path, server.behaviour = served(home, server), behaviour
    part = home / "store/.downloads" / hashlib.sha256(server.content).hexdigest() / "tiny.zip.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(server.content[:100])
    get_model("tiny", path)
    assert left(home) == INSTALLED


@pytest.mark.parametrize(
    ("changes", "error", "about"),
    [
        ({"sha256": "0" * 64}, RequestError, "another file than the catalogue says"),
        ({"size": 1000}, RequestError, "larger than the 1000 bytes"),
        ({"size": 10**9}, JobError, "it goes on from there"),
    ],
)
def test_other_files_are_thrown_away(home, server, changes, error, about):
    with pytest.raises(error, match=about):
        get_model("tiny", served(home, server, **changes))
    assert left(home) in ([], ["tiny.zip.part"] if error is JobError else [])


def test_missing_file_and_hostile_file(home, server, capsys):
    server.behaviour = "missing"
    assert main(["models", "download", "tiny", "--catalogue", str(served(home, server))]) == 1
    assert "404" in capsys.readouterr().err
    (home / "shelf/tiny.zip").write_bytes(b"no archive at all")
    server.behaviour, server.content = "good", b"no archive at all"
    assert main(["models", "download", "tiny", "--catalogue", str(served(home, server))]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and left(home) == ["tiny.zip"]


def test_what_was_downloaded_stays_until_it_is_imported_under_its_name(home, server, monkeypatch):
    with pytest.raises(RequestError, match="holds model 'tiny', not 'other'"):
        get_model("other", served(home, server, name="other"))
    assert left(home) == ["tiny.zip"]
    monkeypatch.setattr(importing, "build_fitting", lambda package: (_ for _ in ()).throw(RequestError("no room")))
    with pytest.raises(RequestError, match="no room"):
        get_model("tiny", served(home, server))
    assert server.asked == [0]


def test_mirror_and_files_beside_the_catalogue(home, server, monkeypatch):
    """Offline: a folder instead of addresses."""
    path = served(home, server)
    server.behaviour = "missing"
    monkeypatch.setenv(catalogue.MIRROR, str(home / "shelf"))
    get_model("tiny", path)
    assert left(home) == INSTALLED and server.asked == []
    if hasattr(os, "mkfifo"):
        (home / "pipes").mkdir()
        os.mkfifo(home / "pipes/tiny.zip")
        monkeypatch.setenv(catalogue.MIRROR, str(home / "pipes"))
        with pytest.raises(JobError, match="is no file"):
            get_model("tiny", path)
    monkeypatch.setenv(catalogue.MIRROR, str(home / "nowhere"))
    with pytest.raises(JobError, match="cannot be read"):
        get_model("tiny", path)
    server.behaviour = "good"
    monkeypatch.setenv(catalogue.MIRROR, f"http://127.0.0.1:{server.server_port}/mirror/")
    beside = write(home, entry(home / "shelf/tiny.zip", "tiny.zip"))
    get_model("tiny", beside)
    assert server.asked == [0]
    monkeypatch.delenv(catalogue.MIRROR)
    assert get_model("tiny", beside)[0].name == "tiny" and server.asked == [0]


WRONG = [
    {"source": "../secret.zip"}, {"source": "/etc/passwd"}, {"source": "file:///etc/passwd"},
    {"source": "ftp://host/x.zip"},
    {"source": "https://host/"}, {"source": "https://host/.."}, {"source": "https://host/a%2F%2E%2E"},
    {"sha256": "abc"}, {"size": 0}, {"size": True}, {"name": ""}, {"name": "a\nb"}, {"labels": []}, {"labels": [{}]},
    {"labels": [{"name": "a", "colour": 1}]}, {"more": 1}, {"task": 5},
]  # fmt: skip


def test_catalogues_that_break_the_schema_are_refused(home):
    good = entry(home / "shelf/tiny.zip", "tiny.zip")
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(Path(catalogue.__file__).with_name("catalogue.schema.json").read_text())
    says = jsonschema.Draft202012Validator(schema).is_valid
    assert says({"format": 1, "models": [good]}) and len(read_catalogue(write(home, good))) == 1
    for changes in WRONG:
        wrong = {**good, **changes}
        told = {"source", "name"} & set(changes)  # of these the schema says less
        assert told or not says({"format": 1, "models": [wrong]}), changes
        with pytest.raises(RequestError, match="is no catalogue of models"):
            read_catalogue(write(home, wrong))
    for text in ("{", "[]", '{"format": 2, "models": []}', "[" * 100_000):
        (home / "shelf/catalogue.json").write_text(text)
        with pytest.raises(RequestError, match="is no catalogue of models|give a catalogue of models"):
            read_catalogue(home / "shelf/catalogue.json")
    with pytest.raises(RequestError, match="two models have the same name"):
        read_catalogue(write(home, good, good))
    with pytest.raises(RequestError, match="no catalogue of models is known"):
        read_catalogue()
    with pytest.raises(RequestError, match="has no model 'other'; it has: tiny"):
        get_model("other", write(home, good))
