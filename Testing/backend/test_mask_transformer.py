"""The mask transformer: shapes, soft k-means, what its queries learn, and MaxQuery beside what was never seen."""

import pytest
import torch
from medsegdiff.diffusion.schedule import Schedule
from medsegdiff.errors import RequestError
from medsegdiff.networks.mask_transformer import ClusterBlock, MaskTransformer
from medsegdiff.networks.registry import build_network
from medsegdiff.training.losses import SegmentationLoss


def tiny(**arguments) -> MaskTransformer:
    torch.manual_seed(0)
    small = {"in_channels": 1, "out_channels": 3, "channels": [4, 8, 8], "queries": 2, "width": 8, "heads": 2}
    return build_network("mask_transformer", small | arguments)


@pytest.mark.parametrize("size", [(16, 24), (8, 16, 12)])
def test_shapes(size):
    network, image = tiny(spatial_dims=len(size)), torch.randn(2, 1, *size)
    found = network.clusters(image)
    assert found.responses.shape == (2, 6, *size) and found.classes.shape == (2, 6, 3)
    assert network(image).shape == (2, 3, *size) and network.max_query(image).shape == (2, *size)
    torch.testing.assert_close(network.max_query(image), -found.responses.max(1).values)


def test_a_voxels_logits_are_those_of_its_clusters():
    network, image = tiny(), torch.randn(1, 1, 8, 8, 8)
    found, said = network.clusters(image), network.supervised(image)
    shares = found.responses.softmax(1)
    torch.testing.assert_close(network(image)[0, :, 3, 4, 5], shares[0, :, 3, 4, 5] @ found.classes[0])
    of_labels = torch.stack([shares[:, 2 * label : 2 * label + 2].sum(1) for label in range(3)], 1)
    torch.testing.assert_close(said.logits[1].softmax(1), of_labels)


def test_centres_are_told_the_mean_of_their_voxels():
    block = ClusterBlock(4, 2, 0.0)
    for layer in (block.query, block.key, block.value, block.out):
        torch.nn.init.eye_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    for part in (block.among.out, block.mlp.fc2):
        torch.nn.init.zeros_(part.weight)
        torch.nn.init.zeros_(part.bias)
    centres = 100 * torch.tensor([[[1.0, 0, 0, 0], [0, 1.0, 0, 0]]])
    groups = torch.tensor([[[9.0, 0, 1, 0], [9, 0, 3, 0], [0, 9, 0, 5]]])
    moved = block(centres, 100 * groups) - centres  # so far apart that each voxel has one centre
    torch.testing.assert_close(moved, 100 * torch.tensor([[[9.0, 0, 2, 0], [0, 9, 0, 5]]]))


def test_every_parameter_learns():
    network = tiny(depth=2)
    sum(x.square().sum() for x in network.supervised(torch.randn(2, 1, 16, 16, 16)).logits).backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert [name for name in silent if not name.endswith("bias")] == []


def test_what_is_like_nothing_learnt_is_far_from_all_queries():
    """Two kinds of blocks are learnt; a block of a brightness between background and the first kind is new."""
    network = tiny(spatial_dims=2, channels=[8, 16, 16], width=16)
    loss_of, optimiser = SegmentationLoss(Schedule(), 1), torch.optim.Adam(network.parameters(), 0.01)

    def scenes() -> tuple[torch.Tensor, torch.Tensor]:
        label = torch.zeros(4, 1, 32, 32)
        for one in label:
            row, column = torch.randint(0, 10, (2,)).tolist()
            one[0, row : row + 8, column : column + 6] = 1
            one[0, row + 12 : row + 18, column + 8 : column + 20] = 2
        return 2 * label + 0.3 * torch.randn_like(label), label

    for _ in range(60):
        optimiser.zero_grad()
        loss_of(network, *scenes()).backward()
        optimiser.step()
    network.eval()
    with torch.no_grad():
        image, label = scenes()
        assert (network(image).argmax(1) == label[:, 0]).float().mean() > 0.97
        strange = image.clone()
        strange[:, 0, 24:30, 2:8] = 1 + 0.3 * torch.randn(4, 6, 6)
        usual, new = network.max_query(image).flatten(), network.max_query(strange)[:, 25:29, 3:7].flatten()
    assert (new[:, None] > usual).float().mean() > 0.9  # the area under the ROC curve


@pytest.mark.parametrize("wrong", [{"heads": 3}, {"channels": [4]}, {"queries": 0}, {"dropout": 1.0}])
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(RequestError, match="cannot be built"):
        tiny(**wrong)
