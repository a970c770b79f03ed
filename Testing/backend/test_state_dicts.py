"""Published state dicts as models: their names, what is asked for, what is refused; the networks answer as before."""

import numpy as np
import pytest
import torch
from medsegdiff.cli.main import main
from medsegdiff.errors import RequestError
from medsegdiff.inference.model import load_model, load_network
from medsegdiff.models import importing, store
from medsegdiff.models.state_dicts import write_state_dict
from medsegdiff.networks.registry import build_network
from small_networks import SMALL

TOLD = {
    "labels": ["one", "two"], "channels": ["CT"], "modality": "CT", "spacing": [1.5, 1.25, 3.0],
    "normalization": "zscore",
}  # fmt: skip
SWIN = {
    "in_channels": 1, "out_channels": 3, "feature_size": 12, "depths": [1] * 4, "num_heads": [1] * 4, "window_size": 3,
}  # fmt: skip


def network(name, **more):
    torch.manual_seed(0)
    built = build_network(name, (SWIN if name == "swin_unetr" else SMALL[name]) | more)
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return built.eval()


def of_swin_unetr(built) -> dict:
    return {key.removeprefix("net."): value for key, value in built.state_dict().items()}


def of_mis_fm(*of_thick) -> dict:
    """As the authors' code has it: embedding and head of all kinds of slices, unused layers, slices first."""
    state = {}
    for built in of_thick:
        state |= {key: value for key, value in built.state_dict().items()}
    state = {key: v.permute(0, 1, 4, 3, 2) if v.ndim == 5 else v for key, v in state.items()}
    for level, width in (("e2", 8), ("e4", 16)):
        state[f"pyramid_ct.convtrans_{level}.norm_layer.weight"] = torch.ones(width)
        state[f"pyramid_ct.convtrans_{level}.trans.blocks.0.attn.relative_position_index"] = torch.zeros(8, 8).long()
    return {key.replace(".mlp.linear", ".mlp.fc"): value for key, value in state.items()}


def saved(folder, state, name="weights.pt"):
    torch.save(state, folder / name)
    return folder / name


def says_the_same(package, before, size):
    image = torch.randn(1, 1, *size)
    with torch.no_grad():
        torch.testing.assert_close(load_network(package).eval()(image), before(image))


def test_stu_net_from_a_training_checkpoint(tmp_path):
    before = network("stu_net", strides=[2, 2, 2], depth=2)
    weights = {f"module.{key}": value for key, value in before.state_dict().items()}
    records = {"epoch": 3, "optimizer_state_dict": {}, "plot_stuff": [[np.float64(0.5)], np.array([1.0])[0]]}
    path = saved(tmp_path, {"state_dict": weights, **records}, "small_ep4k.model")
    package = write_state_dict(path, tmp_path / "model", "stu_net", **TOLD, licence="Apache-2.0", source="a link")
    assert package.name == "stu-net-small_ep4k" and [x.name for x in package.labels] == ["background", "one", "two"]
    assert package.network["arguments"] == {
        "in_channels": 1, "out_channels": 3, "spatial_dims": 3, "width": 4, "depth": 2, "strides": [2, 2, 2],
    }  # fmt: skip
    assert package.preprocessing["orientation"] == [2, 1, 0] and package.preprocessing["spacing"] == [3.0, 1.25, 1.5]
    assert package.preprocessing["resampling"] == "nnunet" and package.licence == "Apache-2.0"
    says_the_same(package, before, (24, 16, 32))


def test_what_no_weight_tells_is_taken_as_said(tmp_path):
    before = network("stu_net", strides=[[1, 2, 2], 2])
    more = {"arguments": {"strides": [[1, 2, 2], [2, 2, 2]]}, "orientation": "RAS", "name": "mine"}
    package = write_state_dict(saved(tmp_path, before.state_dict()), tmp_path / "model", "stu_net", **TOLD, **more)
    assert package.preprocessing["spacing"] == [1.5, 1.25, 3.0] and package.name == "mine"
    says_the_same(package, before, (8, 16, 16))


def test_weights_in_safetensors(tmp_path):
    from safetensors.torch import save_file

    before = network("stu_net")
    save_file(before.state_dict(), tmp_path / "w.safetensors")
    package = write_state_dict(tmp_path / "w.safetensors", tmp_path / "model", "stu_net", **TOLD)
    assert package.network["name"] == "stu_net" and package.name == "stu-net-w"
    says_the_same(package, before, (24, 16, 32))


def test_pct_net_of_one_kind_of_slices(tmp_path):
    nets = [network("pct_net", thick=thick) for thick in (0, 1, 2)]
    for one in nets:
        one.pyramid_ct.load_state_dict(nets[1].pyramid_ct.state_dict())
    path = saved(tmp_path, {"model_state_dict": of_mis_fm(*nets), "iteration": 100})
    with pytest.raises(RequestError, match="resolution_mode"):
        write_state_dict(path, tmp_path / "model", "pct_net", **TOLD)
    package = write_state_dict(path, tmp_path / "model", "pct_net", **TOLD, arguments={"thick": 1})
    assert package.network["arguments"] == {**SMALL["pct_net"], "thick": 1}
    assert package.preprocessing["divisible"] == [16, 16, 8]
    says_the_same(package, nets[1], (16, 32, 16))


def test_transunet(tmp_path):
    before = network("transunet")
    told = {key: value for key, value in TOLD.items() if key != "spacing"}
    arguments = {"heads": SMALL["transunet"]["heads"]}
    path = saved(tmp_path, before.state_dict(), "epoch_149.pth")
    package = write_state_dict(path, tmp_path / "model", "transunet", **told, arguments=arguments)
    assert package.network["arguments"] == SMALL["transunet"]
    assert package.preprocessing["size"] == [64, 64, None] and package.preprocessing["spacing"] is None
    says_the_same(package, before, (64, 64))


@pytest.mark.parametrize("version2", [False, True])
def test_swin_unetr(tmp_path, version2):
    before = network("swin_unetr", version2=version2)
    weights = {key.replace(".mlp.linear", ".mlp.fc"): value for key, value in of_swin_unetr(before).items()}
    package = write_state_dict(saved(tmp_path, {"state_dict": weights}), tmp_path / "model", "swin_unetr", **TOLD)
    arguments = package.network["arguments"]
    assert (arguments["feature_size"], arguments["window_size"], arguments["version2"]) == (12, 3, version2)
    says_the_same(package, before, (64, 32, 32))


@pytest.mark.parametrize(
    ("without", "message"),
    [
        ({"labels": ["one"]}, "has 2 structures; name as many with --labels"),
        ({"channels": []}, "has 1 image channels; name as many with --channels"),
        ({"spacing": None}, "give --spacing X,Y,Z"),
        ({"normalization": None}, "give --normalization"),
        ({"arguments": {"depht": 1}}, "cannot be built"),
        ({"orientation": "ras"}, "must be three letters, .*; give another --orientation"),
    ],
)
def test_what_is_missing_is_asked_for_by_its_option(tmp_path, without, message):
    path = saved(tmp_path, network("stu_net").state_dict())
    with pytest.raises(RequestError, match=message):
        write_state_dict(path, tmp_path / "model", "stu_net", **TOLD | without)


def test_weights_in_one_place_are_written_each(tmp_path):
    before = network("stu_net")
    state = before.state_dict()
    shared = torch.rand(max(value.numel() for value in state.values()))
    state = {key: shared[: value.numel()].view(value.shape) for key, value in state.items()}
    before.load_state_dict(state)
    package = write_state_dict(saved(tmp_path, state), tmp_path / "model", "stu_net", **TOLD)
    assert package.weights_path.stat().st_size > sum(value.nbytes for value in state.values())
    says_the_same(package, before, (32, 32, 32))


@pytest.mark.parametrize(
    ("change", "name", "message"),
    [
        (lambda state: {key: v for key, v in state.items() if "zation.0" not in key}, "stu_net", "missing in the file"),
        (lambda state: state | {"extra.weight": torch.ones(1)}, "stu_net", "extra.weight"),
        (lambda state: state, "pct_net", "does not hold the weights of a pct_net"),
        (lambda state: state, "unet", "give --network, one of pct_net, stu_net"),
        (lambda state: {"state_dict": {"names": ["a"]}}, "stu_net", "holds no weights by name"),
        (lambda state: {"weights": test_transunet}, "stu_net", "could be code"),
    ],
)
def test_other_files_are_refused(tmp_path, change, name, message):
    path = saved(tmp_path, change(network("stu_net").state_dict()))
    with pytest.raises(RequestError, match=message) as caught:
        write_state_dict(path, tmp_path / "model", name, **TOLD)
    assert "\n" not in str(caught.value)


def test_from_the_command_line_into_the_store(tmp_path, monkeypatch, capsys):
    for module in (importing, store):
        monkeypatch.setattr(module, "user_store", lambda: tmp_path / "store")
    path = str(saved(tmp_path, network("stu_net").state_dict(), "fold_0.model"))
    command = ["models", "import", path, "--network", "stu_net", "--channels", "CT", "--labels", "one,two"]
    assert main([*command, "--normalization=zscore"]) == 2
    assert "--spacing X,Y,Z" in capsys.readouterr().err
    more = ["--spacing", "1.5,1.5,3", "--normalization=-900,300,-50,200", "--licence", "Apache-2.0", "--name", "stu"]
    assert main([*command, *more]) == 0
    assert "stu: imported to" in capsys.readouterr().out
    model = load_model("stu", device="cpu")
    assert model.package.preprocessing["normalization"] == {"low": -900, "high": 300, "mean": -50, "deviation": 200}
    assert model.package.preprocessing["spacing"] == [3, 1.5, 1.5] and model.package.licence == "Apache-2.0"
    assert main(["models", "import", path, "--network", "stu_net", "--heads", "2"]) == 2
    assert "medsegdiff: --heads is not for a file of published weights" in capsys.readouterr().err
