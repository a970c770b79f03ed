"""Which of the installed models fit an image, and why."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..errors import RequestError
from ..image import Image
from ..models.ensembles import Ensemble, list_ensembles
from ..models.modalities import same_modality
from ..models.package import ModelPackage
from ..models.store import list_models
from .geometry_checks import check_sides, describe_geometry
from .input_checks import HOUNSFIELD, check_input
from .preprocessing import Prepared, Preprocessing

# How well a model fits, best first.
FITS, UNKNOWN, DOUBTFUL, UNFIT, UNUSABLE = "fits", "unknown", "doubtful", "does not fit", "unusable"
_ORDER = (FITS, UNKNOWN, DOUBTFUL, UNFIT, UNUSABLE)


@dataclass(frozen=True)
class Suggestion:
    """What is to be said of a model for an image.

    fit: "fits", "unknown" (nothing speaks against it, but the package does not tell what its training images were
      like), "doubtful" (the image is unlike these), "does not fit" (it is of another modality), or "unusable" (it would
      be refused).
    score: of the image statistics' distance from the training images' (1 is their 99th percentile); None where the
      package has none.  reasons: sentences, one at least.
    """

    package: ModelPackage | Ensemble
    fit: str
    score: float | None
    reasons: tuple[str, ...]


def suggest_models(
    image: Image, packages: Iterable[ModelPackage] | None = None, modality: str | None = None
) -> list[Suggestion]:
    """The models, best first: those that fit by their score, then those of which that is unknown, then the others.

    packages: to choose from; None for those installed, and the ensembles, which fit as the member that fits least, but
      come before all members that fit no better: together they are rather better than each.
    modality: of the image ("MR", "CT", ...), where it is known, see models.modalities; else the one that it tells.
    No network runs, and no weights are read.
    """
    modality = modality or next(filter(None, image.modalities), None)
    image = replace(image, modalities=())  # what is said of them is said of the model
    ensembles = list_ensembles() if packages is None else []
    packages, known, found = list_models() if packages is None else packages, {}, []
    for package in packages:
        if len(package.channels) != len(image.array):
            found.append(_of_other_channels(package, len(image.array)))
            continue
        how = json.dumps(package.preprocessing, sort_keys=True)
        try:
            if how not in known:
                known.clear()  # large images have no room for several
                known[how] = Preprocessing.from_dict(package.preprocessing).prepare(image)
            found.append(_judge(package, image, known[how], modality))
        except RequestError as error:
            found.append(Suggestion(package, UNUSABLE, None, (str(error),)))
    found.sort(key=_rank)
    for ensemble in ensembles:
        names = [package.name for package in ensemble.packages]
        members = [one for one in found if one.package.name in names]
        worst = members[-1]
        told = replace(worst, package=ensemble, reasons=(f"as {worst.package.name}, one of its models", *worst.reasons))
        found.insert(found.index(next(one for one in members if one.fit == worst.fit)), told)
    return found


def _rank(suggestion: Suggestion) -> tuple:
    score = float("inf") if suggestion.score is None else suggestion.score
    return _ORDER.index(suggestion.fit), score, len(suggestion.reasons), suggestion.package.name


def _of_other_channels(package: ModelPackage, given: int) -> Suggestion:
    """Of a model that takes more or fewer channels; which of them are there, nobody knows.  given: the image's."""
    names = [channel["name"] for channel in package.channels]
    optional = [channel["name"] for channel in package.channels if channel.get("optional", False)]
    said = f"it takes {len(names)} channel(s) ({', '.join(names)}), the image has {given}"
    if not len(names) - len(optional) <= given < len(names):
        return Suggestion(package, UNUSABLE, None, (said,))
    lacking = f"{len(names) - given} of {', '.join(optional)} may be missing: say which with --missing"
    return Suggestion(package, UNKNOWN, None, (f"{said}; {lacking}",))


def _judge(package: ModelPackage, image: Image, prepared: Prepared, modality: str | None) -> Suggestion:
    modalities = {channel.get("modality", "") for channel in package.channels} - {"", "n/a"}
    told = modality or ("CT" if image.array.min() < HOUNSFIELD else None)
    another = told is not None and bool(modalities) and not any(same_modality(told, one) for one in modalities)
    against = [f"it is for {', '.join(sorted(modalities))}, the image is {told}"] if another and modality else []
    finding = check_input(package, image, prepared)
    geometry = package.distribution.get("geometry")
    unplaced = check_sides(image)  # of the file, whatever the model
    against += [warning for warning in finding.warnings if warning not in unplaced]
    if against:
        return Suggestion(package, UNFIT if another else DOUBTFUL, finding.score, tuple(against))
    if finding.score is None or geometry is None:
        return Suggestion(package, UNKNOWN, finding.score, ("it does not tell what its training images were like",))
    spacing, extent = (" x ".join(f"{v:.3g}" for v in values) for values in describe_geometry(image, prepared))
    known = f"; modality {', '.join(sorted(modalities))}" if modality is not None and modalities else ""
    reason = (
        f"voxels of {spacing} mm and a field of view of {extent} mm are like those of its training images, "
        f"and so are the grey values (score {finding.score:.1f}, below 1 for 99 % of them){known}"
    )
    return Suggestion(package, FITS, finding.score, (reason,))
