"""The label map under clicks, worked out near them: that of the whole answer, which takes longer."""

from __future__ import annotations

import numpy as np
import pytest
from medsegdiff.errors import RequestError
from medsegdiff.inference.clicked_labelmap import clicked_labelmap
from medsegdiff.inference.result import SegmentResult
from medsegdiff.models.package import Label
from medsegdiff.uncertainty.accumulator import OpinionAccumulator
from medsegdiff.uncertainty.fusion import fused_labelmap
from medsegdiff.uncertainty.likeliest_accumulator import LikeliestAccumulator
from medsegdiff.uncertainty.rules import FUSIONS

SHAPE, SAMPLES = (230, 8, 6), 5
CLICKS = [(20.0, 6.0, 4.0, 2), (24.0, 5.0, 4.0, 0), (22.0, 6.0, 4.0, 1), (200.0, 6.0, 4.0, 2), (21.0, 6.0, 4.0, 2)]


@pytest.fixture(scope="module", params=[OpinionAccumulator, LikeliestAccumulator])
def answers(request) -> list[tuple[SegmentResult, list, SegmentResult]]:
    """A result, clicks, and the result under these clicks. The samples differ all along a long image."""
    rng, opinions = np.random.default_rng(0), request.param(3, SHAPE)
    coarse = rng.normal(size=(3, 23, 3, 3))
    for _ in range(SAMPLES):
        logits = (coarse + 0.7 * rng.normal(size=coarse.shape)).repeat(10, 1).repeat(3, 2).repeat(2, 3)[:, :, :8]
        likely = np.exp(logits) / np.exp(logits).sum(0)
        opinions.add(likely.astype(np.float32), likely.argmax(0).astype(np.uint8))
    result = SegmentResult.of(opinions, "mean", None, np.eye(4), (Label(1, "one"), Label(2, "two")), {})
    most = result.with_clicks(CLICKS[:4])
    return [
        (result, [], result), (result, CLICKS[:1], result.with_clicks(CLICKS[:1])), (result, CLICKS[:4], most),
        (most, CLICKS[4:], most.with_clicks(CLICKS[4:])),
    ]  # fmt: skip


@pytest.mark.parametrize("threshold", [None, 0.6])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_as_of_the_whole_answer(answers, fusion, threshold):
    for before, clicks, after in answers:
        expected = fused_labelmap(fusion, threshold, after.probability, after.packed_samples, after.weights)
        np.testing.assert_array_equal(clicked_labelmap(before, clicks, fusion, threshold), expected)


def test_clicks_that_mean_nothing_are_refused(answers):
    with pytest.raises(RequestError):
        clicked_labelmap(answers[0][0], [(1000.0, 0.0, 0.0, 1)], "mean", None)
