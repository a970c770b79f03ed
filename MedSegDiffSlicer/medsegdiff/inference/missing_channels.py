"""Channels that a request does without, where the models allow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import RequestError
from ..image import Image
from ..models.package import ModelPackage


def completed(image: Image, packages: Sequence[ModelPackage], missing: Sequence[str]) -> Image:
    """The image with all channels of the models, blank ones (see Image.missing) for those that are missing.

    image: the channels that there are, in the models' order; or all, of which the missing ones are not looked at.
    missing: names of the first model's channels.
    Raises RequestError where a name is unknown, a model needs the channel, or the number of channels is another.
    """
    names = [channel["name"] for channel in packages[0].channels]
    numbers = missing_numbers(packages, missing)
    given, modalities = len(image.array), image.modalities
    if given == len(names):
        array = image.array.copy() if numbers else image.array
    elif given == len(names) - len(numbers):
        array, there = np.empty((len(names), *image.shape), image.array.dtype), set(range(len(names))) - set(numbers)
        array[sorted(there)] = image.array
        told = iter(modalities)
        modalities = modalities and tuple(next(told) if number in there else "" for number in range(len(names)))
    else:
        raise RequestError(
            f"model '{packages[0].name}' takes {len(names)} channel(s) ({', '.join(names)}), the input has {given}; "
            + _remedy(packages[0], given)
        )
    if not numbers:
        return image  # whose array may be read-only
    array[numbers] = 0
    return replace(image, array=array, channel_names=(), missing=tuple(numbers), modalities=modalities)


def missing_numbers(packages: Sequence[ModelPackage], missing: Sequence[str]) -> list[int]:
    """Those of the channels that are missing. Raises RequestError where a name is unknown, a model needs the channel,
    or none is left."""
    numbers = sorted({_number(name, packages[0]) for name in missing})
    for package in packages:
        _check_needed(package, [package.channels[number] for number in numbers])
    if len(numbers) == len(packages[0].channels):
        raise RequestError(f"all channels of model '{packages[0].name}' are missing; give one at least")
    return numbers


def absent(channels: Sequence[dict], present: Sequence[int]) -> tuple[str, ...]:
    """Names of the channels whose numbers are not among those present."""
    return tuple(channel["name"] for number, channel in enumerate(channels) if number not in present)


def _number(name: str, package: ModelPackage) -> int:
    names = [channel["name"].casefold() for channel in package.channels]
    if str(name).casefold() not in names:
        known = ", ".join(channel["name"] for channel in package.channels)
        raise RequestError(
            f"model '{package.name}' has no channel '{name}' that could be missing; its channels: {known}"
        )
    return names.index(str(name).casefold())


def _check_needed(package: ModelPackage, missing: Sequence[dict]) -> None:
    needed = [channel["name"] for channel in missing if not channel.get("optional", False)]
    if needed:
        optional = [channel["name"] for channel in package.channels if channel.get("optional", False)]
        allowed = f"{', '.join(optional)} alone may be missing" if optional else "none of its channels may be missing"
        raise RequestError(f"model '{package.name}' needs {', '.join(needed)}: {allowed}; give that image, too")


def _remedy(package: ModelPackage, given: int) -> str:
    optional = [channel["name"] for channel in package.channels if channel.get("optional", False)]
    if optional and len(package.channels) - len(optional) <= given < len(package.channels):
        return f"name those that are missing (--missing), of {', '.join(optional)}"
    return "give one grey image for each channel, or a colour image for three"
