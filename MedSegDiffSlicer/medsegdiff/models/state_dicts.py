"""Published state dicts of STU-Net, PCT-Net (MIS-FM), TransUNet and Swin UNETR as model packages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RequestError
from .checkpoint import numpy_scalars, read_checkpoint, state_of
from .config_checks import check_orientation
from .fitting import build_fitting
from .package import ModelPackage, write_package
from .region_labels import labels_of
from .state_dict_readers import STATE_DICTS

if TYPE_CHECKING:
    from torch import Tensor


def write_state_dict(
    path: str | Path, folder: Path, network: str, *, labels: Sequence[str] = (), channels: Sequence[str] = (),
    spacing: Sequence[float] | None = None, normalization: Any = None, modality: str = "", name: str | None = None,
    orientation: str | None = None, arguments: Mapping[str, Any] | None = None, paint: Sequence[str] = (),
    licence: str = "",
    source: str = "",
) -> ModelPackage:  # fmt: skip
    """Writes a state dict, or a training checkpoint with one, as a model package.

    path: .pt, .pth, .model or .ckpt.  folder: of the new package.  network: of the registry, one of STATE_DICTS.
    labels: names of the structures, as many as the network has beside the background.  paint: the same names, where
    they are regions that may overlap (sigmoid instead of softmax, as of BraTS), in the order of models.region_labels.
    channels: names of the image's.  spacing: voxel size in mm along x, y and z of the images it was trained on; not for
      networks of a fixed image size.
    normalization: as in a model package's preprocessing.  modality: of all channels.  name: in the model store, else
    from the file's.  orientation: as in a model package, else that of the network's own code.
    arguments: of the network where no weight tells them (STU-Net: strides; PCT-Net: thick; TransUNet: image_size and
    heads), or to overrule what is read.  licence, source: of the weights, as the package tells them.
    The weights keep their precision.
    Raises RequestError where the file holds something else, and for what is missing, by the name of its option.
    """
    path = Path(path)
    if network not in STATE_DICTS:
        known = ", ".join(sorted(STATE_DICTS))
        raise RequestError(f"weights of '{network}' cannot be imported by their names; give --network, one of {known}")
    if orientation is not None:
        check_orientation(orientation, _check_option)
    read, where = STATE_DICTS[network]
    state = read_state(path)
    try:
        built, weights = read(state, dict(arguments or {}))
    except (LookupError, ValueError, ArithmeticError, TypeError, AttributeError) as error:
        raise RequestError(f"{path} does not hold the weights of a {network}: {_line(error)}") from None
    preprocessing = where(built)
    structures = built["out_channels"] - (0 if paint else 1)
    size = None if preprocessing.get("size") else spacing or ()
    _check_told(path, (structures, labels), (built["in_channels"], channels), size, normalization)
    labels, painted = labels_of(labels, paint, path)
    if orientation is not None:
        preprocessing["orientation"] = orientation
    if spacing and not preprocessing.get("size"):
        axes = preprocessing["orientation"]
        preprocessing["spacing"] = [float(spacing["RLAPIS".index(a) // 2 if isinstance(a, str) else a]) for a in axes]
    package = ModelPackage(
        folder=folder, name=name or f"{network.replace('_', '-')}-{path.stem}".lower(),
        description=f"imported from {path.name}, published weights of {network}",
        network={"name": network, "arguments": built, **painted},
        channels=tuple({"name": c, **({"modality": modality} if modality else {})} for c in channels),
        labels=labels,
        preprocessing={"spacing": None, **preprocessing, "normalization": normalization},
        sampling={"samples": 1}, licence=licence, training={"source": source, "file": path.name},
    )  # fmt: skip
    package = write_package(package, weights)
    try:
        build_fitting(package)
    except RequestError as error:
        raise RequestError(f"{path} does not hold the weights of a {network} alone: {error}") from None
    return package


def read_state(path: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint by name, less what all names begin with. Raises RequestError for other files."""
    data = read_checkpoint(path, also=numpy_scalars(), hint="give a file of weights alone (state_dict)")
    if (state := state_of(data)) is None:
        raise RequestError(f"{path} holds no weights by name; give a state_dict, or a checkpoint with one")
    return state


def _check_option(good: bool, message: str) -> None:
    if not good:
        raise RequestError(f"{message}; give another --orientation")


def _check_told(
    path: Path, labels: tuple[int, Sequence[str]], channels: tuple[int, Sequence[str]], spacing: Sequence[float] | None,
    normalization: Any,
) -> None:  # fmt: skip
    """Raises RequestError for what no weight tells and nobody else did. spacing: None where it does not matter."""
    for (count, given), what, option in (
        (labels, "structures", "--labels"),
        (channels, "image channels", "--channels"),
    ):
        if len(given) != count:
            raise RequestError(f"{path} has {count} {what}; name as many with {option} A,B,..., not {len(given)}")
    if spacing is not None and len(spacing) != 3:
        raise RequestError(f"{path} does not tell the voxel size it was trained on; give --spacing X,Y,Z in mm")
    if normalization is None:
        raise RequestError(
            f"{path} does not tell what was done to the grey values in training; give --normalization, "
            "zscore, percentile, none, ..., or low,high,mean,deviation"
        )


def _line(error: Exception) -> str:
    text = (str(error).splitlines() or [""])[0]
    return f"{text} is missing" if isinstance(error, KeyError) else text
