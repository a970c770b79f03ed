"""Do models answer the same question, so that they can be asked together?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import RequestError
from .modalities import same_modality
from .package import ModelPackage

_UNTOLD = ("", "n/a")  # what a channel's entry is where it says nothing


def check_agreement(packages: Sequence[ModelPackage]) -> None:
    """Raises RequestError where models answer different questions, or one is named twice."""
    first = packages[0]
    for position, other in enumerate(packages[1:], start=1):
        for what, ours, theirs in (
            ("labels", _labels(first), _labels(other)),
            ("number of channels", str(len(first.channels)), str(len(other.channels))),
            ("channels", *_told(first, other, "modality", same_modality)),
            ("channels", *_told(first, other, "name", lambda one, another: one.casefold() == another.casefold())),
        ):
            if ours != theirs:
                raise RequestError(
                    f"models '{first.name}' and '{other.name}' cannot be asked together: their {what} differ "
                    f"({ours} and {theirs}); leave one out"
                )
        for before in packages[:position]:
            if (before.weights_sha256, before.preprocessing) == (other.weights_sha256, other.preprocessing):
                names = f"'{other.name}'" if before.name == other.name else f"'{before.name}' and '{other.name}'"
                raise RequestError(
                    f"the same model is named twice ({names}): its opinions would count as those of two; "
                    "name it once and ask it for more samples"
                )


def _labels(package: ModelPackage) -> str:
    return ", ".join(label.name for label in package.foreground)


def _told(
    first: ModelPackage, other: ModelPackage, entry: str, same: Callable[[str, str], bool]
) -> tuple[str, str]:
    """An entry of both models' channels, in their order, of those channels for which both tell it; nothing where all
    are the same."""
    pairs = [[str(channel.get(entry, "")).strip() for channel in both] for both in zip(first.channels, other.channels)]
    told = [pair for pair in pairs if all(text.casefold() not in _UNTOLD for text in pair)]
    if all(same(*pair) for pair in told):
        return "", ""
    return ", ".join(ours for ours, _ in told), ", ".join(theirs for _, theirs in told)
