"""Clicks that a network learns from: each corrects the largest error of what it says at the time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import RequestError
from ..evaluation.corrective_clicks import corrective_click
from ..inference.click_maps import click_maps
from ..inference.clicks import VoxelClick


WIDER = 3.0  # times the deviation of the clicks' bells: how far a click should be heard


class ClickSimulation:
    """Adds the channels of clicks to crops: none on some, on the others clicks into the largest error, turn after turn,
    as in interactive segmentation (Xu et al., Deep Interactive Object Selection, 2016; Sofiiuk et al., 2021; DeepEdit,
    2023). Every other turn it is one click, else one a structure; every other click lies in the middle of the error,
    the rest anywhere in it.

    labels: their number, with the background.  sigma_mm, spacing: see inference.click_maps.
    share: of the crops that get clicks.  most: turns on a crop; 1 to `most` are as likely.
    """

    def __init__(self, labels: int, sigma_mm: float, spacing: tuple[float, ...], share: float, most: int, seed: int):
        self._labels, self._sigma, self._spacing = labels, sigma_mm, spacing
        self._share, self._most, self._rng = share, most, np.random.default_rng(seed)

    def __call__(self, network: nn.Module, image: Tensor, label: Tensor) -> Tensor:
        """image (B, C, ...), label (B, 1, ...) with label values -> (B, C + L, ...), with maps of clicks.

        Raises RequestError for networks that say nothing before they sample.
        """
        count = len(image)
        wanted = np.where(self._rng.random(count) < self._share, self._rng.integers(1, self._most + 1, count), 0)
        maps = torch.zeros(count, self._labels, *image.shape[2:], dtype=image.dtype, device=image.device)
        places: list[list] = [[] for _ in range(count)]
        for turn in range(int(wanted.max(initial=0))):
            active = np.flatnonzero(wanted > turn)
            with torch.no_grad():
                said = first_opinion(network, torch.cat([image[active], maps[active]], 1)).argmax(1)
            for number, predicted in zip(active, said.cpu().numpy()):
                reference = label[number, 0].cpu().numpy()
                flat = reference.ndim == 2
                predicted, reference = (x[..., None] if flat else x for x in (predicted, reference))
                clicks = self._clicks(predicted, reference)
                if not clicks:
                    wanted[number] = 0
                    continue
                places[number] += clicks
                made = click_maps(places[number], reference.shape, self._spacing, self._labels, self._sigma)
                maps[number] = torch.from_numpy(made[..., 0] if flat else made).to(maps)
        return torch.cat([image, maps], 1)

    def _clicks(self, predicted: np.ndarray, reference: np.ndarray) -> list[VoxelClick]:
        """Those of a turn; none where all is right."""
        structures = [None] if self._rng.random() < 0.5 else range(1, self._labels)
        found = (
            corrective_click(predicted, reference, structure, self._rng if self._rng.random() < 0.5 else None)
            for structure in structures
        )
        return [click for click in found if click is not None]


def around_clicks(image: Tensor, labels: int) -> Tensor:
    """(B, 1, ...) of what ClickSimulation gives: bells that are WIDER than those of the clicks, as far as these
    reach."""
    return image[:, -labels:].amax(1, keepdim=True) ** (1 / WIDER**2)


def first_opinion(network: nn.Module, image: Tensor) -> Tensor:
    """(B, L, ...) logits of what a network says of (B, C, ...) images before it samples. Raises RequestError for one
    that says nothing then."""
    said = getattr(network.encode(image), "anchor", None) if network.diffusion else network(image)
    if said is None:
        raise RequestError("clicks correct a network's first opinion, this one has none; leave clicks out")
    return said
