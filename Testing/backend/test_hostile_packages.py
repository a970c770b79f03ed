"""Packages and checkpoints made to do harm: each is refused with one line, runs nothing, and leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import re
import shutil
import stat
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from bundle_folder import UNET, write_bundle
from medsegdiff.cli.main import main
from medsegdiff.errors import RequestError
from medsegdiff.models import importing, store
from medsegdiff.models.archive import extract
from medsegdiff.models.checkpoint import numpy_scalars, read_checkpoint
from medsegdiff.models.fitting import build_bounded, read_shapes
from medsegdiff.models.package import CONFIG
from safetensors.torch import save_file
from tiny_models import write_tiny_model


class Canary:
    """Makes a folder where it is unpickled."""

    def __init__(self, place: Path):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


class Attack:
    """A good package in `folder`, to be spoilt; `canary` must never come to be."""

    def __init__(self, root: Path):
        self.root, self.folder, self.canary = root, root / "given" / "tiny", root / "canary"
        self.package = write_tiny_model(self.folder, "unet")
        self.weights = self.package.weights_path

    def edit(self, **changes) -> Path:
        """Changes the configuration; None drops an entry."""
        data = json.loads((self.folder / CONFIG).read_text()) | changes
        (self.folder / CONFIG).write_text(json.dumps({k: v for k, v in data.items() if v is not None}))
        return self.folder

    def config(self, text: str) -> Path:
        (self.folder / CONFIG).write_text(text)
        return self.folder

    def set_weights(self, content: bytes) -> Path:
        """Other weights, of which the configuration tells the hash."""
        self.weights.write_bytes(content)
        return self.edit(weights_sha256=hashlib.sha256(content).hexdigest())

    def zipped(self, *entries: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
        """A .zip with the package and more."""
        path = self.root / "given" / "package.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(self.folder.rglob("*")):
                if file.is_file():
                    archive.write(file, file.relative_to(self.folder.parent))
            for name, content in entries:
                archive.writestr(name, content)
        return path

    def pickled(self, data, **options) -> Path:
        path = self.root / "given" / "savedmodel000100.pt"
        torch.save(data, path, **options)
        return path


def link(name: str, to: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


def safetensors(header: bytes, content: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + content


def bomb(attack: Attack, name: str = "tiny/models/more.safetensors") -> Path:
    return attack.zipped((name, bytes(64 << 20)))


def linked(attack: Attack, name: str, folder: Path | None = None) -> Path:
    """folder: of the model, else the package's."""
    folder, secret = folder or attack.folder, attack.root / "secret.txt"
    secret.write_text("private")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(secret)
    return folder


def linked_weights(attack: Attack) -> Path:
    shutil.move(attack.weights, attack.root / "weights")
    attack.weights.symlink_to(attack.root / "weights")
    return attack.folder


def fifo(attack: Attack) -> Path:
    attack.weights.unlink()
    os.mkfifo(attack.weights)
    return attack.folder


def lying_size(attack: Attack) -> Path:
    """The .zip tells a smaller size than what comes out."""
    path = attack.zipped(("tiny/LICENSE", b"x" * 5000))
    size = struct.pack("<L", 5000)
    path.write_bytes(path.read_bytes().replace(size, struct.pack("<L", 50)))
    return path


def impossible_place(attack: Attack) -> Path:
    """The .zip tells that a file begins where none can."""
    path = attack.root / "given" / "package.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(attack.folder / CONFIG, CONFIG.as_posix())
    content = path.read_bytes()
    entry = bytearray(content[content.index(b"PK\1\2") : content.index(b"PK\5\6")])
    entry[42:46], entry[30:32] = b"\xff" * 4, struct.pack("<H", 12)  # the place is in a further field of 12 bytes
    entry += struct.pack("<HHQ", 1, 8, (1 << 63) - 1)
    end = bytearray(content[content.index(b"PK\5\6") :])
    end[12:16] = struct.pack("<L", len(entry))
    path.write_bytes(content[: content.index(b"PK\1\2")] + entry + end)
    return path


def damaged_bzip2(attack: Attack) -> Path:
    """Its own errors look like those of a full disk."""
    path = attack.folder / "bzip2.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("configs/segmenter.json", json.dumps({"format": 1, "name": "x" * 5000}))
    content = bytearray(path.read_bytes())
    at = content.index(b"BZh")
    content[at + 4 : at + 10] = b"\0" * 6
    path.write_bytes(content)
    return path


def damaged_lzma(attack: Attack) -> Path:
    """Its decompressor cannot be set up."""
    path, name = attack.root / "given" / "package.zip", CONFIG.as_posix()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.write(attack.folder / CONFIG, name)
    content = bytearray(path.read_bytes())
    content[30 + len(name) + 4] = 255  # after the entry's header and the decompressor's version
    path.write_bytes(content)
    return path


def compressed_checkpoint(attack: Attack) -> Path:
    path = attack.pickled({"weight": torch.zeros(4 << 20)})
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def endless_checkpoint(attack: Attack, depth: int = 0) -> Path:
    """A list that holds itself, or lists that hold one list twice, and so on."""
    inner = []
    inner.append(inner)
    for _ in range(depth):
        inner = [inner, inner]
    return attack.pickled({"w": inner})


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def number(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little")


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def handmade(attack: Attack, program: bytes, old: bool = False) -> Path:
    """A checkpoint {"w": what the pickle's operations make}, in PyTorch's format or its older one."""
    program = b"\x80\x02}" + text("w") + program + b"s."
    path = attack.root / "given" / "savedmodel000100.pt"
    if old:
        before = [torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION, {"little_endian": True}]
        path.write_bytes(b"".join(pickle.dumps(one, 2) for one in before) + program + pickle.dumps([], 2))
        return path
    with zipfile.ZipFile(path, "w") as archive:
        parts = {"data.pkl": program, "byteorder": b"little", "version": b"3\n", "data/0": b"1234"}
        for name, content in parts.items():
            archive.writestr(f"archive/{name}", content)
    return path


BYTES = named("__builtin__", "bytearray") * 2 + (number(1 << 20) + b"\x85R") + b"\x85R"  # of a number of zeros
HEX = named("_codecs", "encode") * 9 + text("ab") + text("latin1") + b"\x86R" + (text("hex") + b"\x86R") * 8
# one list of 500 in nine sets
AGAIN = b"](](" + b"K\x00" * 500 + b"e\x85q\x00" + (named("__builtin__", "set") + b"h\x00R") * 9 + b"e"
# a tuple that holds one twice, which holds one twice, ..., as a key
KEY = b"]()q\x00" + b"h\x00h\x00\x86q\x00" * 18 + b"}h\x00Nse"


def unstored(values: int) -> bytes:
    """A tensor of so many values, which an older file need not hold."""
    kept = text("storage") + named("torch", "FloatStorage") + text("0") + text("cpu") + number(values) + b"N"
    parts = b"(" + kept + b"tQ" + number(0) + number(values) + b"\x85" + number(1) + b"\x85\x89"
    return named("torch._utils", "_rebuild_tensor_v2") + b"(" + parts + named("collections", "OrderedDict") + b")RtR"


def huge_network(attack: Attack, **arguments) -> Path:
    own = attack.package.network["arguments"]
    return attack.edit(network={"name": "unet", "arguments": {**own, **arguments}})


def weights_of_fewer_bytes(attack: Attack) -> Path:
    """Names and shapes are those of the network."""
    content = attack.weights.read_bytes()
    length = 8 + int.from_bytes(content[:8], "little")
    return attack.set_weights(safetensors(content[8:length].replace(b"F16", b"F64", 1), content[length:]))


def weights_that_are_no_numbers(attack: Attack) -> Path:
    from safetensors.torch import load, save

    state = load(attack.weights.read_bytes())
    name = min(state)
    state[name] = torch.full_like(state[name], float("nan"))
    return attack.set_weights(save(state))


def bundle_with_device(attack: Attack) -> Path:
    folder = write_bundle(attack.root / "given" / "bundle")
    (folder / "configs/metadata.json").unlink()
    (folder / "configs/metadata.json").symlink_to(os.devnull)
    return folder


def growing_bundle(attack: Attack, **entries) -> Path:
    return write_bundle(attack.root / "given" / "bundle", network_def={**UNET, "act": ["@many"] * 50}, **entries)


def described_bundle(attack: Attack, description: str) -> Path:
    folder = write_bundle(attack.root / "given" / "bundle")
    told = json.loads((folder / "configs/metadata.json").read_text()) | {"description": description}
    (folder / "configs/metadata.json").write_text(json.dumps(told))
    return folder


TEXT = '{"format": 1, "name": "tiny", '

PACKAGES = {
    # code
    "weights are a pickle": (lambda a: a.set_weights(pickle.dumps(Canary(a.canary))), "no intact .safetensors"),
    "weights named .pt": (lambda a: a.edit(weights="models/model.pt"), "'weights' must name"),
    "pickle as a checkpoint": (lambda a: a.pickled({"weight": Canary(a.canary)}), "could be code"),
    "old pickle as a checkpoint": (
        lambda a: a.pickled({"w": Canary(a.canary)}, _use_new_zipfile_serialization=False), "could be code"),
    "pickled module": (lambda a: a.pickled(torch.nn.Linear(2, 2)), "asks for torch.nn.modules.linear.Linear"),
    "network named like a module": (lambda a: a.edit(network={"name": "os:system"}), "is unknown"),
    "expression as an argument": (
        lambda a: huge_network(a, channels=f"$__import__('os').mkdir('{a.canary}')"), "cannot be built"),
    "unknown entry": (lambda a: a.edit(_code="print()"), "unknown entry '_code'"),
    # bombs
    "zip bomb": (bomb, "times its compressed size"),
    "zip bomb beside the package": (lambda a: bomb(a, "readme.bin"), "times its compressed size"),
    "zip bomb of many parts": (
        lambda a: a.zipped(*((f"tiny/docs/{n}.md", bytes(1 << 20)) for n in range(70))), "are [0-9]{8} bytes together"),
    "zip with too many files": (lambda a: a.zipped(*((f"tiny/{n}", b"") for n in range(10_001))), "holds 100.. files"),
    "zip with a wrong size": (lying_size, "damaged"),
    "zip with an impossible place": (impossible_place, "is damaged; give an intact"),
    "compressed checkpoint": (compressed_checkpoint, "damaged"),
    "checkpoint that holds itself": (endless_checkpoint, "does not hold a model's weights alone"),
    "checkpoint that doubles": (lambda a: endless_checkpoint(a, 40), "does not hold a model's weights alone"),
    "tensor without values": (lambda a: a.pickled({"w": torch.zeros(3, device="meta")}), "_rebuild_meta_tensor"),
    "tensor larger than its file": (lambda a: a.pickled({"w": torch.zeros(1).expand(1 << 20, 1 << 20)}), "damaged"),
    "bytes by number": (lambda a: handmade(a, BYTES), "asks for __builtin__.bytearray"),
    "bytes by number, old": (lambda a: handmade(a, BYTES, old=True), "asks for __builtin__.bytearray"),
    "weights by number": (
        lambda a: handmade(a, named("torch", "FloatTensor") + number(9) + b"\x85R"), "asks for torch.FloatTensor"),
    "bytes that double": (lambda a: handmade(a, HEX), "asks for _codecs.encode"),
    "one list in many sets": (lambda a: handmade(a, AGAIN), "damaged, or holds more than weights"),
    "key that doubles": (lambda a: handmade(a, KEY), "damaged, or holds more than weights"),
    "tensor that is not stored": (
        lambda a: handmade(a, unstored(1 << 20), old=True), "damaged, or holds more than weights"),
    "huge configuration": (lambda a: a.config(TEXT + " " * (1 << 20) + "}"), "larger than 1 MB"),
    "huge licence": (lambda a: bool((a.folder / "LICENSE").write_bytes(bytes(17 << 20))) and a.folder, "too large"),
    "deep configuration": (lambda a: a.config(TEXT + '"training": ' + '{"a":' * 50_000), "not valid JSON"),
    "less deep configuration": (
        lambda a: a.edit(training={"a": json.loads("[" * 700 + "]" * 700)}), "not valid JSON"),
    "long number": (lambda a: a.config(TEXT + '"training": {"a": ' + "1" * 5000 + "}}"), "not valid JSON"),
    "huge network": (lambda a: huge_network(a, channels=[60_000] * 3), "much larger than its weights"),
    "wide network": (lambda a: huge_network(a, channels=[2048] * 3), "much larger than its weights"),
    "deep network": (lambda a: huge_network(a, num_res_units=60_000, channels=[256] * 3),
                     "much larger than its weights"),
    "beyond all networks": (lambda a: huge_network(a, channels=[10**12] * 3), "holds a number beyond"),
    "bundle whose entries multiply": (
        lambda a: growing_bundle(a, many=["@more"] * 100, more=[1] * 100), "refer to each other without end"),
    "bundle whose text multiplies": (
        lambda a: growing_bundle(a, many={"x" * 10_000: 1}), "refer to each other without end"),
    # ways out
    "zip: path upwards": (lambda a: a.zipped(("../canary", b"x")), "leads out of the package"),
    "zip: path upwards within": (lambda a: a.zipped(("tiny/../../canary", b"x")), "leads out of the package"),
    "zip: absolute path": (lambda a: a.zipped((f"{a.canary}", b"x")), "leads out of the package"),
    "zip: drive": (lambda a: a.zipped(("C:/canary", b"x")), "leads out of the package"),
    "zip: backslashes": (lambda a: a.zipped(("tiny\\..\\..\\canary", b"x")), "leads out of the package"),
    "zip: device's name": (lambda a: a.zipped(("tiny/docs/nul.md", b"x")), "leads out of the package"),
    "zip: link": (lambda a: a.zipped((link("tiny/docs", "/"), b"/tmp")), "a link or a device"),
    "zip: named twice": (lambda a: a.zipped(("tiny/LICENSE", b"a"), ("tiny/licence", b"b"), ("TINY/License", b"c")),
                         "twice"),
    "zip: two packages": (lambda a: a.zipped(("other/configs/segmenter.json", b"{}")), "2 of a model package"),
    "link to another file": (lambda a: linked(a, "LICENSE"), "leads out of the package"),
    "bundle's licence is a link": (
        lambda a: linked(a, "LICENSE", write_bundle(a.root / "given" / "bundle")), "leads out of the package"),
    "weights are a link": (linked_weights, "leads out of the package"),
    "weights elsewhere": (lambda a: a.edit(weights="../../secret.safetensors"), "'weights' must name"),
    "weights at an absolute path": (lambda a: a.edit(weights="/tmp/secret.safetensors"), "'weights' must name"),
    "weights on a drive": (lambda a: a.edit(weights="C:\\secret.safetensors"), "'weights' must name"),
    "name upwards": (lambda a: a.edit(name="../canary"), "cannot be a model's name"),
    "name with a path": (lambda a: a.edit(name="a/b"), "cannot be a model's name"),
    "name hidden": (lambda a: a.edit(name=".importing"), "cannot be a model's name"),
    "name of a device": (lambda a: a.edit(name="con"), "cannot be a model's name"),
    "name too long": (lambda a: a.edit(name="x" * 101), "cannot be a model's name"),
    "name empty": (lambda a: a.edit(name=""), "one line"),
    "name that commands the terminal": (lambda a: a.edit(name="a\x1b[2Jb"), "control characters"),
    "name that runs backwards": (lambda a: a.edit(name="a\u202eb"), "control characters"),
    "label that commands the terminal": (
        lambda a: a.edit(labels=[{"value": 0, "name": "b"}, {"value": 1, "name": "\x1b]0;x\x07"}]),
        "control characters"),
    "text with half a character": (lambda a: a.edit(description="x \ud800 y"), "control characters"),
    "bundle with half a character": (lambda a: described_bundle(a, "x \ud800 y"), "control characters"),
    "distribution that is not there": (lambda a: a.edit(distribution={"opinions": None}),
                                       "'distribution' opinions must hold"),
    "distribution of large numbers": (
        lambda a: a.edit(distribution={"image": {
            "names": ["p1"], "mean": [10**30], "deviation": [1.0], "correlation": [], "limit": 1.0}}),
            "'distribution' image"),
    "entry named twice": (lambda a: a.config(TEXT + '"name": "other"}'), "stands twice"),
    "weights: not finite": (weights_that_are_no_numbers, "holds numbers that are not finite"),
    "zip: damaged bzip2": (damaged_bzip2, "is damaged"),
    "zip: damaged LZMA": (damaged_lzma, "is damaged or of an unusual kind"),
    # damaged or wrong weights
    "truncated weights": (lambda a: a.set_weights(a.weights.read_bytes()[:-100]), "it is cut"),
    "weights with a tail": (lambda a: a.set_weights(a.weights.read_bytes() + b"x" * 100), "it is cut"),
    "weights of a header alone": (lambda a: a.set_weights(safetensors(b"{}")), "it is cut, or empty"),
    "weights whose header lies": (lambda a: a.set_weights(struct.pack("<Q", 1 << 62) + b"{}"), "header is missing"),
    "weights whose header is deep": (lambda a: a.set_weights(safetensors(b"[" * 100_000)), "header cannot be read"),
    "weights whose header has no end": (
        lambda a: a.set_weights(safetensors(b'{"a":{"dtype":"F32","shape":[1e999],"data_offsets":[0,16]}}', bytes(16))),
        "header cannot be read"),
    "weights of fewer bytes": (weights_of_fewer_bytes, "no intact .safetensors file"),
    "weights of other shapes": (lambda a: huge_network(a, channels=[4, 8, 16]), "do not fit the network"),
    "weights changed": (lambda a: bool(a.weights.write_bytes(b"changed")) and a.folder, "damaged or was changed"),
    "weights that share places": (
        lambda a: a.set_weights(safetensors(
            b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},'
            b'"b":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}',
            bytes(16))), "do not fit the network"),
}  # fmt: skip
if sys.platform != "win32":
    PACKAGES["weights are a pipe"] = (fifo, "is missing")
    PACKAGES["bundle's metadata are a device"] = (bundle_with_device, "metadata.json is no file")


@pytest.mark.parametrize("name", PACKAGES)
def test_refused_with_one_line_and_nothing_left(name, tmp_path, monkeypatch, capsys):
    for module in (importing, store):
        monkeypatch.setattr(module, "user_store", lambda: tmp_path / "store")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    make, about = PACKAGES[name]
    attack = Attack(tmp_path)
    path = make(attack)
    before = {file: file.lstat().st_mtime_ns for file in tmp_path.rglob("*")}
    assert main(["models", "import", str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1 and said.err[:-1].isprintable() and len(said.err) < 700
    assert re.search(about, said.err), said.err
    after = {file: file.lstat().st_mtime_ns for file in tmp_path.rglob("*")}
    assert {file for file in after if file not in before and file != tmp_path / "store"} == set()
    assert all(after[file] == before[file] for file in before if file != temporary)
    assert not attack.canary.exists() and not list(temporary.iterdir())


def test_the_good_package_is_taken(tmp_path, monkeypatch, capsys):
    """So that it is the attacks that are refused above."""
    for module in (importing, store):
        monkeypatch.setattr(module, "user_store", lambda: tmp_path / "store")
    attack = Attack(tmp_path)
    assert main(["models", "import", str(attack.zipped(("tiny/run_me.py", b"raise SystemExit")))]) == 0
    assert sorted(p.name for p in (tmp_path / "store/tiny").rglob("*.*")) == [
        "metadata.json", "model.safetensors", "segmenter.json"
    ]  # fmt: skip


def test_a_store_that_was_spoilt_by_hand_is_refused_when_the_model_is_used(tmp_path, monkeypatch, capsys):
    """Even without import, wrong weights are refused before the network is made."""
    attack = Attack(tmp_path)
    monkeypatch.setenv("MEDSEGDIFF_MODELS", str(attack.folder.parent))
    huge_network(attack, channels=[60_000] * 3)
    assert main(["models", "verify", "tiny"]) == 2
    assert "much larger than its weights" in capsys.readouterr().err


JUNK = (None, True, -1, 1.5, 1e308, 10**30, "", "$1+1", "../../x", [], [[]], {"a": 1}, [1, 2, 3], "\x1b[2J", "\ud800",
        float("nan"),
        [0] * 2000)  # fmt: skip


def places(data, place=()) -> list[tuple]:
    """Of all entries in JSON data, below the whole."""
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [one for key, value in pairs for one in [(*place, key), *places(value, (*place, key))]]


def spoilt(text: str, rng: random.Random) -> str:
    """JSON with one entry replaced, or left out."""
    data = json.loads(text)
    *way, last = rng.choice(places(data))
    holder = data
    for key in way:
        holder = holder[key]
    if rng.random() < 0.2:
        del holder[last]
    else:
        holder[last] = rng.choice(JUNK)
    return json.dumps(data)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (
            "pct_net",
            {"in_channels": 1, "out_channels": 2, "channels": [4, 4, 8, 8, 8], "heads": [2, 2, 2], "window": 40},
        ),
        ("monai", {"architecture": "SwinUNETR", "options": {"in_channels": 1, "out_channels": 2, "window_size": 40}}),
    ],
)
def test_tables_of_pairs_count_as_what_is_made(name, arguments):
    """Small weights, of a window with billions of pairs of voxels."""
    with pytest.raises(RequestError, match="much larger than its weights"):
        build_bounded({"name": name, "arguments": arguments}, 10_000_000)


@pytest.mark.parametrize("kind", ["package", "bundle"])
def test_odd_descriptions_are_taken_or_refused_in_one_line(kind, tmp_path, monkeypatch):
    for module in (importing, store):
        monkeypatch.setattr(module, "user_store", lambda: tmp_path / "store")
    folder = Attack(tmp_path).folder if kind == "package" else write_bundle(tmp_path / "bundle")
    files = (
        [folder / CONFIG]
        if kind == "package"
        else [folder / "configs/inference.json", folder / "configs/metadata.json"]
    )
    rng, refused = random.Random(0), 0
    for _ in range(60):
        file = rng.choice(files)
        before = file.read_text()
        file.write_text(spoilt(before, rng))
        try:
            importing.import_package(folder)
        except RequestError as error:
            refused += 1
            assert str(error).isprintable(), error
        file.write_text(before)
    assert refused > 20
    assert {path.name for path in tmp_path.iterdir()} <= {"given", "bundle", "store"}


@pytest.mark.parametrize("new", [True, False])
def test_what_trainers_keep_is_read(new, tmp_path):
    network = torch.nn.Sequential(torch.nn.Conv3d(1, 2, 3), torch.nn.BatchNorm3d(2))
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.zeros(1, 1, 4, 4, 4)).sum().backward()
    optimizer.step()
    marked, parameter = torch.ones(3).half(), torch.nn.Parameter(torch.ones(2))
    marked.source = parameter.source = "attributes, too"
    kept = {
        "network_weights": network.state_dict(), "optimizer": optimizer.state_dict(),
        "scheduler": torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 4]).state_dict(),
        "logging": [np.float64(0.5), np.float32(1), np.int64(3), *[np.uint8(7)] * 99, np.bool_(True)],
        "init_args": {"device": torch.device("cuda", 0), "size": torch.Size([1, 2]), "type": torch.half, (0, 1): -1},
        "plain": [{1, 2}, 1 + 2j, b"abc", bytearray(b"abc" * 1000), 10**30, None, True, float("inf"), "ü"],
        "tensors": [marked, parameter, torch.nn.Parameter(torch.ones(2)), torch.arange(4)[::2], torch.zeros(0),
                    torch.ones(2, dtype=torch.bool),
                    *([torch.ones(2, dtype=torch.uint16)] if new else [])],  # which the older format cannot hold
    }  # fmt: skip
    torch.save(kept, tmp_path / "kept.pth", _use_new_zipfile_serialization=new)
    read = read_checkpoint(tmp_path / "kept.pth", numpy_scalars())
    assert {key: repr(value) for key, value in read.items()} == {key: repr(value) for key, value in kept.items()}
    assert read["network_weights"]._metadata == kept["network_weights"]._metadata
    assert read["tensors"][0].source == read["tensors"][1].source == "attributes, too"


def test_damaged_files_are_refused_whatever_is_damaged(tmp_path):
    """Bytes changed at random in checkpoints of both formats, weights and a .zip."""
    state = {"a.weight": torch.ones(3, 4), "more": {"x": [1, 2.5, "text", None]}}
    torch.save(state, tmp_path / "new.pt")
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    save_file({"a": torch.ones(3, 4)}, tmp_path / "w.safetensors")
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny/configs/segmenter.json", "{}" * 50)
    read = {"new.pt": read_checkpoint, "old.pt": read_checkpoint, "w.safetensors": read_shapes,
            "z.zip": lambda path: extract(path, tmp_path / "out" / str(rng.random()), [str(CONFIG)])}  # fmt: skip
    rng, refused = random.Random(0), 0
    for name in [*read] * 100:
        content = bytearray((tmp_path / name).read_bytes())
        for _ in range(rng.choice([1, 2, 4, 16])):
            content[rng.randrange(len(content))] = rng.randrange(256)
        (tmp_path / "given").write_bytes(content[: rng.choice([len(content), rng.randrange(len(content))])])
        try:
            read[name](tmp_path / "given")
        except RequestError as error:
            refused += 1
            assert str(error).isprintable(), error
    assert refused > 200
