"""Other diffusion programs on the same task: one mask of SIZE voxels with as many steps of DDIM.

Only time is compared: nobody has published trained weights of these, so theirs are random. Their networks are built
with about as many parameters as ours, because cost depends on that.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn

from ... import __version__
from ...inference.model import Model
from .measuring import Models, Outcome, ProgressNote, Row, Run, interleave, row_of, runs_of
from .setting import Case, Setting

SIZE = (64, 64, 16)  # voxels; med-seg-diff-pytorch needs square slices (and takes a volume as a batch of them)
TRAINING_STEPS = 1000


@dataclass(frozen=True)
class Peer:
    """A program that is there, and its network. sample: image (1, C, *SIZE) -> masks, by DDIM."""

    version: str
    network: nn.Module
    sample: Callable[[Tensor], Tensor]


def monai_peer(model: Model, steps: int) -> Peer:
    """MONAI's DiffusionModelUNet (3D) under its DiffusionInferer, the image concatenated, for the task of `model`.

    Raises ImportError without einops, which MONAI leaves to its users.
    """
    from monai.inferers import DiffusionInferer
    from monai.networks.nets import DiffusionModelUNet
    from monai.networks.schedulers import DDIMScheduler

    channels, labels = len(model.package.channels), len(model.package.labels)
    network = DiffusionModelUNet(
        spatial_dims=3, in_channels=labels + channels, out_channels=labels, channels=(32, 64, 64), num_res_blocks=1,
        attention_levels=(False, False, True), num_head_channels=8, norm_num_groups=8,
    ).eval().to(model.device)  # fmt: skip
    scheduler = DDIMScheduler(num_train_timesteps=TRAINING_STEPS)
    scheduler.set_timesteps(steps)
    inferer = DiffusionInferer(scheduler)

    def sample(image: Tensor) -> Tensor:
        noise = torch.randn(1, labels, *SIZE, device=image.device)
        return inferer.sample(noise, network, scheduler, conditioning=image, mode="concat", verbose=False)

    return Peer(metadata.version("monai"), network, sample)


def med_seg_diff_pytorch_peer(model: Model, steps: int) -> Peer:
    """PyPI's med-seg-diff-pytorch (2D, after MedSegDiff V1), the slices as a batch. Raises ImportError without it."""
    from med_seg_diff_pytorch import MedSegDiff, Unet

    channels, labels = len(model.package.channels), len(model.package.labels)
    network = Unet(
        dim=16, image_size=SIZE[0], mask_channels=labels, input_img_channels=channels, dim_mults=(1, 2, 4, 8)
    )  # fmt: skip
    diffusion = MedSegDiff(network, timesteps=TRAINING_STEPS, sampling_timesteps=steps).eval().to(model.device)

    def sample(image: Tensor) -> Tensor:
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
            return diffusion.sample(image[0].movedim(-1, 0))

    return Peer(metadata.version("med-seg-diff-pytorch"), network, sample)


# How each is built, and what pip is to install for it.
PEERS = (
    ("MONAI DiffusionInferer", monai_peer, "einops"),
    ("med-seg-diff-pytorch", med_seg_diff_pytorch_peer, "med-seg-diff-pytorch"),
)


def peer_rows(ours: Setting, models: Models, rounds: int, note: ProgressNote) -> tuple[list[Row], list[str]]:
    """Times of ours and of the peers that are there, and what is to be said of those that are not.

    ours: a mask of SIZE voxels.  models: by name and device.
    Returns rows as from measuring.rows_of, whose `ratio` is to the time of ours, with the networks' `parameters`.
    """
    runs, notes = runs_of([ours], models, [ours.case]), []
    known = {}  # name with version, and parameters, of each run
    for (name, device), model in models.items():
        if name != ours.model:
            continue
        known[0, device] = f"{ours.what} {__version__}", _parameters(model.network)
        for number, (title, make, needed) in enumerate(PEERS, start=1):
            try:
                peer = make(model, ours.options["steps"])
            except ImportError as error:
                why = str(error).splitlines()[0]
                notes.append(f"{title}: not measured, something is not installed ({why}); pip install {needed}")
                continue
            known[number, device] = f"{title} {peer.version}", _parameters(peer.network)
            runs.append(Run((number, device), title, runs[0].weight, partial(_one_mask, peer, model, ours.case)))
    rows, outcomes = [], interleave(runs, rounds, note)
    for (number, device), (what, parameters) in known.items():
        figures = row_of(outcomes[number, device], outcomes[0, device])
        rows.append({"part": ours.part, "what": what, "model": what, "device": device, "options": dict(ours.options),
                     "amount": None, **figures, "parameters": parameters})  # fmt: skip
    return rows, list(dict.fromkeys(notes))


def _parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _one_mask(peer: Peer, model: Model, case: Case, turn: int) -> Outcome:
    """model: ours, for its device and precision.  case: of SIZE.

    An evaluation is one call of the network with the whole volume, be it a batch of slices.
    """
    device, calls = model.device, []
    image = torch.from_numpy(case.image.array[None].astype(np.float32))

    def finish() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return perf_counter()

    hooks = (
        peer.network.register_forward_pre_hook(lambda *_: calls.append(-finish())),
        peer.network.register_forward_hook(lambda *_: calls.append(calls.pop() + finish())),
    )
    mixed = model.precision != torch.float32
    began = finish()
    try:
        with torch.inference_mode(), torch.autocast(device.type, model.precision, enabled=mixed):
            peer.sample(image.to(device)).cpu()
    finally:
        for hook in hooks:
            hook.remove()
    seconds, network = finish() - began, sum(calls)
    return Outcome(case.name, seconds, network, seconds / network, len(calls), None)
