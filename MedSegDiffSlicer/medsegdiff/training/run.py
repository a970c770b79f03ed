"""Training: from a dataset and a configuration to a model package."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .. import __version__
from ..diffusion.schedule import schedule_of
from ..errors import JobError, RequestError
from ..evaluation.dataset import Case, check_labels, load_training_pair, read_dataset
from ..inference.model import build_for
from ..inference.preprocessing import Preprocessing
from ..models.package import BROKEN, CONFIG, Label, ModelPackage, check_package, load_package, write_package
from ..models.provenance import stages
from ..models.store import find_model
from ..networks.registry import build_network
from .calibrate import calibrate
from .checkpoint import State, checkpoint_in, holds_others, remove, resume, save
from .config import TrainingConfig, read_config
from .data_source import attribution_of
from .simulated_clicks import ClickSimulation, around_clicks
from .starting_weights import mixed, starting_network

OPTIMISATION = 0.95  # of the whole; the rest is calibration
SILENCE = 5.0  # seconds without a word, at most, as long as steps take less
Report = Callable[[float, str], None]


def train(
    dataset: str | Path,
    config: str | Path | TrainingConfig,
    output: str | Path,
    progress: Report | None = None,
    start: str | Path | None = None,
) -> ModelPackage:
    """Trains a model and writes its package to `output`; an interrupted run goes on where it was.

    start: a model with the same network (name or folder) whose weights training starts from, which may lack the
      channels of clicks; random weights otherwise.
    progress: called with the share done (0 - 1) and a line of text. The checkpoint lies in `output`/training, is
    written every so many steps and when the run is interrupted, and removed at the end. Raises RequestError for
    unusable input, JobError where the loss stops being finite.
    """
    source = f"configuration '{config.name}'" if isinstance(config, TrainingConfig) else f"configuration {config}"
    config = config if isinstance(config, TrainingConfig) else read_config(config)
    output, report = Path(output), progress or (lambda share, text: None)
    config = replace(config, precision=precision_of(config.precision, _device()))
    _check(config, output, source)
    origin = find_model(start) if start else None
    network = starting_network(origin, config) if origin else None
    splits = read_dataset(dataset)
    _check_folder(config, output)
    _make_folder(output / "training")
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    preprocessing = Preprocessing.from_dict(config.preprocessing)
    report(0.0, f"reading {len(splits['train'])} cases to learn from")
    pairs = [load_training_pair(case, preprocessing) for case in splits["train"]]
    _check_pairs(splits["train"], pairs, config)
    check_labels(splits["val"], _describe(config, output, {}).foreground)
    config = replace(
        config,
        attribution=config.attribution or attribution_of(dataset, len(pairs), origin),
        licence=config.licence or (origin.licence if origin else ""),
    )
    provenance = {"cases": len(pairs)}
    if origin:
        provenance["start"] = {"name": origin.name, "sha256": origin.weights_sha256}
        provenance["start"] |= {"cases": max(known)} if (known := stages(origin.training)) else {}
    else:
        network = build_network(config.network["name"], config.network["arguments"])
    started = {name: value.clone() for name, value in network.state_dict().items()} if origin else None
    average = optimise(
        network, pairs, config, output, lambda share, text: report(OPTIMISATION * share, text),
        origin.weights_sha256 if origin else "",
    )  # fmt: skip
    weights = average.state_dict() if started is None else mixed(started, average.state_dict(), config.new_share)
    weights = {name: _halved(value) for name, value in weights.items()}
    package = write_package(_describe(config, output, provenance), weights)
    package = calibrate(
        package, splits["val"], splits["train"],
        lambda share, text: report(OPTIMISATION + (1 - OPTIMISATION) * share, text),
    )  # fmt: skip
    remove(checkpoint_in(output))
    return package


def _halved(value: Tensor) -> Tensor:
    """In half precision; as it is where its numbers are too large for that, or none to be rounded."""
    half = value.half() if value.is_floating_point() else value
    return half if bool(torch.isfinite(half).all()) else value


def _check(config: TrainingConfig, output: Path, source: str) -> None:
    """Finds out before the work whether a package can come of it. source: what errors call the configuration."""
    package = replace(_describe(config, output, {}), weights_sha256="0" * 64)
    try:
        check_package(package)
    except RequestError as error:
        said = str(error).replace(f"{package.folder / CONFIG}", source).replace(BROKEN, "mend it")
        raise RequestError(said) from None
    preprocessing = Preprocessing.from_dict(package.preprocessing)
    if config.clicks and None in (preprocessing.spacing or [None]):
        raise RequestError("clicks have a size in mm: give the preprocessing a spacing, or leave clicks out")
    network = build_for(package)
    if (network.spatial_dims == 2) != (config.patch[2] == 1):
        raise RequestError(
            f"network '{config.network['name']}' is {network.spatial_dims}D, the patch is {list(config.patch)}; give a "
            "2D network a patch of one slice, [i, j, 1], a 3D network a thicker one"
        )
    if network.diffusion:
        schedule_of(config.sampling)


def _check_pairs(cases: list[Case], pairs: list[dict], config: TrainingConfig) -> None:
    for case, pair in zip(cases, pairs):
        if (found := int(pair["label"].max())) >= len(config.labels):
            raise RequestError(
                f"case {case.name} has the label {found}, the configuration names 0 to {len(config.labels) - 1}; "
                "make them agree"
            )


def _check_folder(config: TrainingConfig, output: Path) -> None:
    """Raises RequestError where something else than this model, or what a training of it left, would be replaced."""
    if (output / CONFIG).is_file():
        if (there := load_package(output).name) != config.name:
            raise RequestError(f"{output} holds another model, '{there}', which would be lost; give a new folder")
    elif output.is_dir() and not checkpoint_in(output).is_file() and holds_others(output):
        raise RequestError(f"{output} holds other files; give a new folder for the model")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"{folder} cannot be made ({error.strerror}); choose another folder") from None


def optimise(
    network: nn.Module, pairs: list[dict], config: TrainingConfig, output: Path, report: Report, origin: str
) -> nn.Module:
    """Runs the optimisation; the averaged network comes back. origin: hash of the weights it starts from, if of a
    model."""
    from .losses import SegmentationLoss

    device = _device()
    short = precision_of(config.precision, device) == "bf16"
    layout = torch.channels_last if network.spatial_dims == 2 else torch.channels_last_3d
    network = network.to(device, memory_format=layout)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(config.ema))
    optimiser = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    loss_of = SegmentationLoss(schedule_of(config.sampling), config.noise_draws, config.dice)
    checkpoint, state = checkpoint_in(output), State(network, average, optimiser, origin)
    step = first = resume(checkpoint, state)
    batches, shown, began = _batches(pairs, config, step), 0.0, time.monotonic()
    clicks, said = _click_simulation(config, step), began
    going = f"going on after step {step} of {config.steps}" if step else f"the first of {config.steps} steps"
    report(step / config.steps, going)

    try:
        while step < config.steps:
            batch = next(batches)
            for group in optimiser.param_groups:
                group["lr"] = config.learning_rate * _rate(step, config)
            image, label = batch["image"].to(device).contiguous(memory_format=layout), batch["label"].to(device)
            focus = None
            if clicks is not None:
                with torch.autocast(device.type, torch.bfloat16, enabled=short):
                    image = clicks(network, image, label)
                focus = around_clicks(image, len(config.labels))
            with torch.autocast(device.type, torch.bfloat16, enabled=short):
                loss = loss_of(network, image.contiguous(memory_format=layout), label, focus)
            if not torch.isfinite(loss):
                raise JobError(f"the loss is not finite at step {step}; lower the learning rate or use precision fp32")
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
            average.update_parameters(network)
            step += 1
            shown = loss.item() if shown == 0 else 0.98 * shown + 0.02 * loss.item()
            if step % 20 == 0 or time.monotonic() - said > SILENCE:
                said = time.monotonic()
                pace = (said - began) / (step - first)
                report(step / config.steps, f"step {step}/{config.steps}  loss {shown:.4f}  {pace:.3f} s/step")
            if step % config.checkpoint_every == 0 or step == config.steps:
                save(checkpoint, state, step)
    except (KeyboardInterrupt, RuntimeError):  # the latter where the signal ended a process that augments
        if step > first:  # a step that was cut in two does no harm: the next ones go on from it
            save(checkpoint, state, step)
        raise
    return average.module.cpu()


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def precision_of(name: str, device: torch.device) -> str:
    """fp32 or bf16; auto: bf16 where a GPU computes it. Many CPUs can, too, but take many times as long for it."""
    if name != "auto":
        return name
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def _click_simulation(config: TrainingConfig, step: int) -> ClickSimulation | None:
    if not config.clicks:
        return None
    spacing = Preprocessing.from_dict(config.preprocessing).spacing
    return ClickSimulation(
        len(config.labels),
        config.clicks["sigma_mm"],
        spacing,
        config.click_share,
        config.most_clicks,
        config.seed + step,
    )


def _rate(step: int, config: TrainingConfig) -> float:
    """Share of the learning rate: a rise, a plateau, a straight fall to zero."""
    fall = (config.steps - step) / max(1.0, config.decay * config.steps)
    return min(1.0, (step + 1) / max(1, config.warmup), fall)


def _batches(pairs: list[dict], config: TrainingConfig, step: int):
    """Batches without end."""
    from monai.data import DataLoader, Dataset
    from torch.utils.data import RandomSampler

    from .augmentation import training_transforms

    optional = [number for number, channel in enumerate(config.channels) if channel.get("optional", False)]
    data = Dataset(pairs, training_transforms(tuple(config.patch), optional, config.modality_dropout))
    order = torch.Generator().manual_seed(config.seed + step)
    sampler = RandomSampler(data, replacement=True, num_samples=1_000 * config.batch, generator=order)
    torch.manual_seed(config.seed + step)
    while True:
        yield from DataLoader(
            data, batch_size=config.batch, sampler=sampler, num_workers=config.workers, drop_last=True
        )


def _describe(config: TrainingConfig, output: Path, training: dict) -> ModelPackage:
    """The package that the configuration asks for."""
    labels = tuple(
        Label(i, x.get("name", ""), tuple(x["color"]) if "color" in x else None, x.get("terminology", ""))
        for i, x in enumerate(config.labels)
    )
    names = ", ".join(str(label.name) for label in labels[1:])
    images = ", ".join(str(channel.get("name", "")) for channel in config.channels)
    description = config.description or f"{names}: {config.network.get('name')} on {images}"
    provenance = {key: value for key, value in config.to_dict().items() if key in _PROVENANCE}
    return ModelPackage(
        folder=output, name=config.name, description=description, network=config.network,
        channels=tuple(config.channels), labels=labels, preprocessing=config.preprocessing, sampling=config.sampling,
        clicks=config.clicks, licence=config.licence, attribution=config.attribution,
        training={**training, "version": __version__, "torch": torch.__version__, **provenance},
    )  # fmt: skip


_PROVENANCE = (
    "patch", "batch", "steps", "learning_rate", "weight_decay", "warmup", "decay", "ema", "noise_draws",
    "modality_dropout",
    "dice", "precision", "click_share", "most_clicks", "new_share", "seed",
)  # fmt: skip
