"""Networks that are supervised in several places: the loss, with and without clicks."""

import torch
from medsegdiff.diffusion.schedule import Schedule
from medsegdiff.networks.supervision import Supervised, deep_supervision
from medsegdiff.training.losses import SegmentationLoss


class Says:
    """A network whose opinions are given."""

    diffusion = False

    def __init__(self, said: Supervised):
        self.said = said

    def supervised(self, image: torch.Tensor) -> Supervised:
        return self.said


class Answers(Says):
    """The same with one opinion only."""

    supervised = property()

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        return self.said.logits[0]


def test_each_opinion_counts_by_its_weight_beside_the_penalty():
    loss_of = SegmentationLoss(Schedule(), noise_draws=1)
    label = torch.zeros(1, 1, 8, 8)
    label[..., 2:6, 2:6] = 1
    fine, coarse = torch.randn(1, 2, 8, 8), torch.randn(1, 2, 4, 4)
    alone = [
        loss_of(Answers(Supervised((x,), (1.0,))), None, label[..., :: 8 // x.shape[2], :: 8 // x.shape[2]])
        for x in (fine, coarse)
    ]
    said = deep_supervision([fine, coarse])
    assert said.weights == (2 / 3, 1 / 3)
    together = loss_of(Says(said._replace(penalty=torch.tensor(0.5))), None, label)
    torch.testing.assert_close(together, 0.5 + 2 / 3 * alone[0] + 1 / 3 * alone[1])
    focus = torch.zeros(1, 1, 8, 8)
    focus[..., 2, 2] = 1
    assert loss_of(Says(said), None, label, focus) > loss_of(Says(said), None, label)
