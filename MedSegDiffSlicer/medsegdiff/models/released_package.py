"""Checkpoints of MedSegDiff's released code as model packages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import RequestError
from .package import ModelPackage, write_package
from .region_labels import labels_of
from .released import read_released

RELEASED_STEPS, SCHEDULES = 1000, ("linear", "cosine")  # of the released code: the default, and all that it knows
CHANNELS = {3: ("red", "green", "blue"), 4: ("T1", "T1ce", "T2", "FLAIR")}  # of the data sets the released code reads


def write_released(
    path: str | Path, folder: Path, name: str | None = None, channels: Sequence[str] = (), heads: int = 1,
    labels: Sequence[str] = (), modality: str | None = None, licence: str = "", source: str = "",
    diffusion_steps: int = RELEASED_STEPS, noise_schedule: str = "linear", bottleneck: str = "deterministic",
) -> ModelPackage:  # fmt: skip
    """Writes a checkpoint as a model package.

    folder: of the new package.  name: in the model store, else from the file's.  channels: names of the image's
    channels, else those of the data sets that the released code reads.  heads: see read_released.  labels: names of the
    structures.  modality: of all channels, else photograph for three of them and MR for others.  licence, source: of
    the weights, as the package tells them.  diffusion_steps, noise_schedule: as in training (`--diffusion_steps`,
    `--noise_schedule`: "linear" or "cosine"), which no weight tells either.  bottleneck: see networks.medsegdiff_v1; of
    V1 alone.
    The weights stay float32, so that the network answers as it did.
    """
    if heads < 1:
        raise RequestError(f"{heads} attention heads cannot be; give 1 or more")
    path = Path(path)
    network, arguments, weights = read_released(path, heads)
    if bottleneck != "deterministic":
        if network != "medsegdiff_v1" or bottleneck != "reference":
            raise RequestError(f"bottleneck '{bottleneck}': give 'deterministic', or for checkpoints of V1 'reference'")
        arguments["bottleneck"] = bottleneck
    if noise_schedule not in SCHEDULES:
        raise RequestError(f"noise schedule '{noise_schedule}' is unknown; give {' or '.join(SCHEDULES)}")
    count = arguments["in_channels"]
    channels = tuple(channels) or CHANNELS.get(count, tuple(f"channel {n + 1}" for n in range(count)))
    if len(channels) != count:
        raise RequestError(f"{path} takes {count} image channels; name as many, not {len(channels)}")
    photograph, size = count == 3, arguments["image_size"]
    masks = arguments["out_channels"] - 1
    names = list(labels) or (["structure"] if masks == 1 else [f"structure {n + 1}" for n in range(masks)])
    if len(names) != masks:
        raise RequestError(f"{path} has {masks} structure(s); name as many with --labels A,B,..., not {len(names)}")
    modality = modality or ("photograph" if photograph else "MR")
    package = ModelPackage(
        folder=folder, name=name or f"{network.replace('_', '-')}-{path.stem}".lower(),
        description=f"imported from {path.name}, a checkpoint of MedSegDiff's released code",
        network={"name": network, "arguments": arguments},
        channels=tuple({"name": c, "modality": modality} for c in channels),
        labels=labels_of(names, (), path)[0],
        # Rows and columns as the released code's loaders give them: of photographs as seen, of BraTS as stored.
        preprocessing={
            "orientation": "PLS" if photograph else "LPS", "spacing": None, "size": [size, size, None],
            "normalization": "8bit" if photograph else "none", "divisible": 1,
        },
        sampling={
            "samples": 5, "steps": 20, "sampler": "dpm++", "schedule": noise_schedule,
            **({} if diffusion_steps == RELEASED_STEPS else {"training_steps": diffusion_steps}),
        },
        training={"code": "github.com/KidsWithTokens/MedSegDiff", "file": path.name,
                  **({"source": source} if source else {})},
        licence=licence,
    )  # fmt: skip
    return write_package(package, weights)
