"""As many threads as a container's share of CPU time allows."""

from __future__ import annotations

import pytest
import torch
from medsegdiff.inference.device import tune_threads


@pytest.fixture
def threads():
    """Four of torch's threads; as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("10000 100000\n", 1),
        ("6400000 100000\n", 4),
        ("max 100000\n", 4),
        ("", 4),
    ],
)
def test_threads_keep_to_the_quota(threads, tmp_path, text, count):
    (tmp_path / "cpu.max").write_text(text)
    tune_threads(tmp_path / "cpu.max")
    assert torch.get_num_threads() == count


def test_no_quota_no_change(threads, tmp_path):
    tune_threads(tmp_path / "absent")
    assert torch.get_num_threads() == 4
