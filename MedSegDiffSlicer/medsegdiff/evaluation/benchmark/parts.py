"""The settings that the benchmark runs: a function for each part of its table."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...image import Image
from ...models.package import ModelPackage
from .extent import DEFAULT_STEPS, Extent
from .setting import Case, Setting


def mask_settings(extent: Extent, diffusion: str, plain: str, scored_plain: bool) -> list[Setting]:
    """Models, samplers and steps.

    diffusion, plain: the models.  scored_plain: whether the plain one can be compared with the reference, too.
    """
    settings = [Setting("masks", plain, plain, {"tta": False}, scored=scored_plain, memory=True)]
    for steps in extent.ensemble:
        options = {"samples": extent.samples, "steps": steps, "sampler": "ddim", "tta": False}
        what = f"{extent.samples} samples, {_steps(steps)}, ddim, no mirrored copy"
        settings.append(Setting("masks", what, diffusion, options, scored=True))
    for sampler in extent.samplers:
        for steps in extent.steps:
            options = {"samples": extent.samples, "steps": steps, "sampler": sampler}
            memory = sampler == extent.samplers[0] and steps == DEFAULT_STEPS
            what = f"{extent.samples} samples, {_steps(steps)}, {sampler}"
            settings.append(Setting("masks", what, diffusion, options, scored=True, memory=memory))
    return settings


def sample_settings(extent: Extent, diffusion: str) -> list[Setting]:
    """The number of samples."""
    settings = []
    for count in extent.sample_counts:
        options = {"samples": count, "steps": DEFAULT_STEPS, "tta": False}
        what = f"{count} {'sample' if count == 1 else 'samples'}"
        settings.append(Setting("samples", what, diffusion, options, amount=count, scored=True, memory=True))
    return settings


def volume_settings(extent: Extent, diffusion: str, scan: Image) -> list[Setting]:
    """The size of the volume: the scan, repeated along its axes."""
    options = {"samples": 1, "steps": DEFAULT_STEPS, "tta": False}
    settings = []
    for edge in extent.volumes:
        what, case = f"{edge} x {edge} x {edge} voxels", tiled(scan, (edge, edge, edge))
        settings.append(Setting("volume", what, diffusion, options, case, edge**3, memory=True))
    return settings


def label_settings(extent: Extent, packages: list[ModelPackage], case: Case) -> list[Setting]:
    """The number of labels. packages: models with random weights, one for each number."""
    options = {"samples": extent.samples, "steps": DEFAULT_STEPS, "tta": False}
    return [
        Setting("labels", f"{count} labels", str(package.folder), options, case, count, memory=True)
        for count, package in zip(extent.label_counts, packages)
    ]


def peer_setting(extent: Extent, diffusion: str, case: Case) -> Setting:
    """Ours, doing the peers' task. case: of the peers' size."""
    options = {"samples": 1, "steps": extent.peer_steps, "sampler": "ddim", "tta": False}
    return Setting("peers", f"ours: {Path(diffusion).name}", diffusion, options, case)


def tiled(scan: Image, shape: tuple[int, int, int]) -> Case:
    """The scan repeated, or cut, to a size in voxels."""
    i, j, k = (np.arange(wanted) % count for wanted, count in zip(shape, scan.shape))
    return Case("x".join(map(str, shape)), Image(scan.array[:, i[:, None, None], j[:, None], k], scan.affine), None)


def _steps(count: int) -> str:
    return f"{count} step" if count == 1 else f"{count} steps"
