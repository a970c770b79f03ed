"""TorchScript and ONNX files as model packages. They tell nothing but how to compute."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import JobError, RequestError
from .package import ModelPackage, sha256_of, write_package
from .region_labels import labels_of

LARGEST = 2 << 30  # bytes
_HARM = {"onnx": ("ONNX", "run forever and take all memory"), "torchscript": ("TorchScript", "write files")}
_TRIED = 64  # voxels along an axis of a first image, where the network takes any


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive; nothing of it is run."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


def write_black_box(
    path: Path, folder: Path, labels: Sequence[str] = (), channels: Sequence[str] = (), spacing: Sequence[float] = (),
    normalization: Any = None, orientation: str = "RAS", modality: str = "", name: str | None = None, licence: str = "",
    arguments: Mapping[str, Any] | None = None, paint: Sequence[str] = (), trust: bool = False,
) -> ModelPackage:  # fmt: skip
    """Writes a program as a package, after it has answered to an image of zeros.

    path: .onnx, or TorchScript (.ts, .pt); refused without `trust`, as either is run here.
    labels: of the structures.  paint: the same names, where they are regions that may overlap, in the order of
    models.region_labels.  channels: names of the image's.  spacing: mm along the axes of `orientation`.
    normalization: as in a package's preprocessing.  arguments: "window", voxels that it takes at once (of ONNX it tells
    itself), "divisible", "spatial_dims" (3).
    Raises RequestError for what is missing, by the name of its option, and where the program does not run, or answers
    for other labels.
    """
    kind = "onnx" if path.suffix.lower() == ".onnx" else "torchscript"
    if not trust:
        what, harm = _HARM[kind]
        raise RequestError(
            f"{path} is {what}, a program that can {harm}: import it with --trust if you trust whoever made it"
        )
    told = {"labels": labels, "channels": channels, "spacing": spacing, "normalization": normalization}
    if missing := [f"--{option}" for option, value in told.items() if not value]:
        raise RequestError(f"{path} does not tell what its images are; give {', '.join(missing)}")
    if unknown := sorted(set(arguments or {}) - {"window", "divisible", "spatial_dims"}):
        raise RequestError(f"argument '{unknown[0]}' is unknown; known: window, divisible, spatial_dims")
    size = path.stat().st_size
    if not 0 < size <= LARGEST:
        raise RequestError(f"{path} has {size} bytes; up to {LARGEST >> 30} GB can be imported")
    from ..networks.black_box import as_rows

    structures, painted = labels_of(labels, paint, path)
    program = path.read_bytes()
    rows, unused = as_rows(program)
    own = dict(arguments or {})
    dims = own.pop("spatial_dims", 3)
    package = ModelPackage(
        folder=folder, name=name or path.stem.lower(), description=f"imported from {path.name}, a program",
        network={"name": kind, "arguments": {
            "rows": len(rows), "unused": unused, "in_channels": len(channels),
            "out_channels": len(labels) + (0 if paint else 1),
            "spatial_dims": dims,
        }, **painted},
        channels=tuple({"name": channel, **({"modality": modality} if modality else {})} for channel in channels),
        labels=structures,
        preprocessing={
            "orientation": orientation, "spacing": [float(mm) for mm in spacing], "normalization": normalization,
            "divisible": 16 if dims == 3 else [16, 16, 1], **own,
        },
        sampling={"samples": 1}, licence=licence,
        training={"code": kind, "file": path.name, "file_sha256": sha256_of(path)},
    )  # fmt: skip
    package = write_package(package, {"program": rows})
    _try(package, rows, path)
    return package


def _try(package: ModelPackage, rows: Any, path: Path) -> None:
    import torch

    from ..networks.registry import build_network

    network = build_network(package.network["name"], package.network["arguments"]).eval()
    network.load_state_dict({"program": rows})
    window = package.preprocessing.get("window") or [None] * 3
    shape = [size or _TRIED for size in window][: network.spatial_dims]
    try:
        with torch.inference_mode():
            network(torch.zeros(1, network.in_channels, *shape))
    except (JobError, RuntimeError, MemoryError) as error:  # the latter where memory ran out
        said = str(error).strip().partition("\n")[0] or "memory ran out"
        raise RequestError(
            f"{path}: {said}; give another file, or a fitting --arguments, --labels or --channels"
        ) from None
