"""TorchScript and ONNX files as models: trusted ones run, others are refused before anything of them is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from medsegdiff.cli.main import main
from medsegdiff.errors import JobError, RequestError
from medsegdiff.image import Image
from medsegdiff.inference.api import segment
from medsegdiff.inference.model import load_model
from medsegdiff.models import black_box, importing, store
from medsegdiff.models.importing import import_package
from medsegdiff.networks.black_box import BlackBox
from torch import nn

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
TOLD = ["--labels", "one,two", "--channels", "T1", "--spacing", "1,1,2", "--normalization", "zscore"]
ENTRIES = {"labels": ["one", "two"], "channels": ["T1"], "spacing": [1.0, 1.0, 2.0], "normalization": "zscore"}
START = """
import sys, torch
from medsegdiff.networks.black_box import OnnxNetwork, as_rows
from medsegdiff.networks.black_box import BlackBox
rows, unused = as_rows(open(sys.argv[1], "rb").read())
network = OnnxNetwork(1, unused, 1, 2)
network.load_state_dict({"program": rows})
network(torch.zeros(1, 1, 4, 4, 4))
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    for module in (importing, store):
        monkeypatch.setattr(module, "user_store", lambda: tmp_path / "store")
    return tmp_path


class Writing(nn.Module):
    """Writes a file where it is run."""

    def __init__(self, place: str):
        super().__init__()
        self.place = place

    def forward(self, x):
        torch.save(x, self.place)
        return torch.cat([x, x, x], 1)


def network(outputs: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, outputs, 3, padding=1)).eval()


def scripted(path, net=None):
    torch.jit.save(torch.jit.trace(net or network(), torch.zeros(1, 1, 8, 8, 8)), str(path))
    return path


@pytest.mark.parametrize("name", ["own.ts", "own.pt"])
def test_trusted_program_answers_as_the_network(home, name, capsys):
    path = scripted(home / name)
    assert main(["models", "import", str(path), *TOLD]) == 2
    assert "import it with --trust" in capsys.readouterr().err
    assert main(["models", "import", str(path), *TOLD, "--trust", "--yes"]) == 0
    model = load_model("own", device="cpu")
    x = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(model.network(x), network()(x))
    scan = Image(np.random.default_rng(0).normal(0, 200, (1, 20, 20, 20)).astype(np.float32), np.eye(4))
    assert segment(model, scan).labelmap.shape == (20, 20, 20)
    assert segment(model.on(torch.device("cpu")), scan).labelmap.shape == (20, 20, 20)


class Hungry(nn.Module):
    """Needs more memory for images of more than 112 voxels along a side than any machine has."""

    def forward(self, x):
        if x.shape[2] > 112:
            x = x + torch.empty([1000000000000000]).sum()
        return torch.cat([x, -x, x], 1)


def test_program_that_runs_out_of_memory_gets_smaller_tiles(home):
    path = home / "own.ts"
    torch.jit.save(torch.jit.script(Hungry()), str(path))
    assert main(["models", "import", str(path), *TOLD, "--trust", "--yes"]) == 0
    scan = Image(np.random.default_rng(0).normal(0, 200, (1, 140, 16, 16)).astype(np.float32), np.eye(4))
    result = segment(load_model("own", device="cpu"), scan)
    assert any("memory ran out" in said for said in result.report["warnings"])


def test_untrusted_programs_are_not_run(home, monkeypatch):
    """Neither from a file, nor in a package that somebody made, nor in a folder of models beside the store."""
    path = home / "own.ts"
    torch.jit.save(torch.jit.script(Writing(str(home / "canary"))), str(path))
    with pytest.raises(RequestError, match="import it with --trust"):
        import_package(path, **ENTRIES)
    assert not (home / "canary").exists()
    package = import_package(path, **ENTRIES, trust=True)  # an image of zeros is tried
    assert (home / "canary").exists()
    (home / "canary").unlink()
    shutil.copytree(package.folder, home / "given" / "own")
    with pytest.raises(RequestError, match="is a program"):
        import_package(home / "given" / "own")
    with pytest.raises(RequestError, match="import its original file with --trust"):
        load_model(home / "given" / "own", device="cpu")
    assert not (home / "canary").exists()
    load_model(package, device="cpu")


def test_untrusted_onnx_is_not_run(home, monkeypatch):
    """It may never end. As above."""
    monkeypatch.setattr(black_box, "_try", lambda *_given: None)
    (home / "own.onnx").write_bytes(b"any")
    with pytest.raises(RequestError, match="ONNX.* import it with --trust"):
        import_package(home / "own.onnx", **ENTRIES)
    package = import_package(home / "own.onnx", **ENTRIES, trust=True)
    shutil.copytree(package.folder, home / "given" / "own")
    with pytest.raises(RequestError, match="is a program"):
        import_package(home / "given" / "own")
    with pytest.raises(RequestError, match="import its original file with --trust"):
        load_model(home / "given" / "own", device="cpu")


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        ({"labels": []}, "give --labels"),
        ({"spacing": [], "normalization": None}, "give --spacing, --normalization"),
        ({"labels": ["one", "two", "three"]}, r"answers \(1, 3, 64, 64, 64\), not \(1, 4"),
        ({"channels": ["T1", "T2"]}, "cannot be run"),
        ({"arguments": {"size": 5}}, "argument 'size' is unknown"),
        ({"heads": 3}, "^--heads is not for a program"),
    ],
)
def test_what_does_not_fit_is_refused(home, changes, about):
    with pytest.raises(RequestError, match=about) as caught:
        import_package(scripted(home / "own.ts"), **{**ENTRIES, "trust": True, **changes})
    assert "\n" not in str(caught.value) and not (home / "store").exists()


def test_damaged_program_is_refused(home):
    (home / "own.ts").write_bytes(scripted(home / "good.ts").read_bytes()[:-200])
    with pytest.raises(RequestError, match="cannot be run"):
        import_package(home / "own.ts", **ENTRIES, trust=True)


def onnx_file(path: Path, nodes: list[tuple[list, dict]], arrays: dict[str, np.ndarray]) -> Path:
    """ONNX that makes "y" of "x", one channel each.  nodes: arguments of onnx.helper.make_node."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    onnx = pytest.importorskip("onnx", reason="onnx, which makes the test's file, is not installed")
    from onnx import helper, numpy_helper

    sides = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1, None, None, None]) for name in "xy"]
    made = [helper.make_node(*given, **more) for given, more in nodes]
    held = [numpy_helper.from_array(value, name) for name, value in arrays.items()]
    graph = helper.make_graph(made, "own", sides[:1], sides[1:], held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def test_onnx_answers_as_the_network(home):
    weights = {name: value.numpy() for name, value in network(1).state_dict().items()}
    nodes = [
        (["Conv", ["x", "0.weight", "0.bias"], ["a"]], {"pads": [1] * 6}),
        (["Relu", ["a"], ["b"]], {}),
        (["Conv", ["b", "2.weight", "2.bias"], ["y"]], {"pads": [1] * 6}),
    ]
    path = onnx_file(home / "own.onnx", nodes, weights)
    package = import_package(path, **{**ENTRIES, "labels": ["one"], "trust": True})
    x = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        said = load_model(package, device="cpu").network(x).softmax(1)[:, 1:]
        torch.testing.assert_close(said, network(1)(x).sigmoid(), rtol=1e-4, atol=1e-5)


def test_onnx_that_fails_says_so_in_one_line(home, capfd):
    """Its runtime writes lines of its own past Python."""
    node = ["Reshape", ["x", "shape"], ["y"]], {}
    path = onnx_file(home / "own.onnx", [node], {"shape": np.array([1, 1, 7, 7, 7])})
    assert main(["models", "import", str(path), *TOLD, "--trust", "--yes"]) == 2
    said = capfd.readouterr().err
    assert "the program cannot be run" in said and said.count("\n") == 1


def test_onnx_leaves_nothing_at_home_and_calls_nobody(home):
    """Its runtime keeps a file of what it tells its maker."""
    path = onnx_file(home / "own.onnx", [(["Relu", ["x"], ["y"]], {})], {})
    (home / "empty").mkdir()
    changes = {name: str(home / "empty") for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    changes["PYTHONPATH"] = str(Path(importing.__file__).parents[2])
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"} | changes
    subprocess.run([sys.executable, "-c", START, str(path)], env=environment, check=True, timeout=120)
    assert list((home / "empty").rglob("*")) == []


class Failed(Exception):
    """As onnxruntime raises it."""


@pytest.mark.parametrize(("said", "kind"), [("Failed to allocate memory for requested buffer", MemoryError),
                                            ("bad shape", JobError)])  # fmt: skip
def test_what_a_runtime_says_of_memory_is_an_error_of_memory(said, kind):
    class Other(BlackBox):
        def _start(self, program, device):
            def run(_image):
                raise Failed(said)

            return run

    with pytest.raises(kind, match=said):
        Other(1, 0, 1, 2)(torch.zeros(1, 1, 4, 4, 4))
