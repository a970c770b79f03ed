"""Does an image, and what the opinions say of it, look like what the model was trained on?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ..image import Image
from ..image.volume_text import in_ml
from ..models.modalities import same_modality
from ..models.package import ModelPackage
from ..uncertainty.distribution import Distance, distance
from ..uncertainty.image_statistics import image_statistics, inverted
from .comparable_options import differing, options_of
from .describe_opinions import describe_opinions
from .geometry_checks import check_geometry, check_sides
from .preprocessing import Prepared
from .result import SegmentResult
from .structure_ranges import CUT, SIZE, border_share, judged, oddities, strictest

MIRRORED = 0.6  # the score of the inverted image relative to that of the image from which it is taken for inverted
COLORS = ("r", "g", "b", "red", "green", "blue")  # names of channels
SAME = 1e-6  # relative; values that differ less are the same
HOUNSFIELD = -300  # values below it are those of a CT
# why what was fitted holds for no structure; for one, see structure_ranges
UNLIKE = "the image is unlike those that the model was trained on"
DIFFERENT = "the opinions are not as on the images that the model was trained on"
_WORDS = {
    "p1": ("the darkest parts are less dark", "the darkest parts are darker"),
    "p5": ("the dark parts are less dark", "the dark parts are darker"),
    "p95": ("the bright parts are brighter", "the bright parts are less bright"),
    "p99": ("the brightest parts are brighter", "the brightest parts are less bright"),
    "shading": ("brightness changes more from side to side", "brightness changes less from side to side"),
    "noise": ("it is noisier", "it is smoother"),
    "edges": ("its edges are sharper", "it is blurrier"),
    "same": ("it is smoother, or coarser than its voxels tell", "it is noisier, or shows finer structures"),
    "max_query": ("some of it is like nothing that was learnt", "all of it is like what was learnt, more than usual"),
    "mean_query": ("it is less like what was learnt", "it is more like what was learnt than usual"),
    "soft_dice": ("the opinions are surer", "the opinions are less sure"),
    "agreement": ("the opinions agree more", "the opinions agree less"),
    "mean": ("the structures are less sure", "the structures are surer"),
    "boundary": ("the boundaries are less sure", "the boundaries are surer"),
    "relative_sum": ("there is more doubt in all", "there is less doubt in all"),
    "patch": ("a part of the image is in more doubt", "no part of the image is in as much doubt as usual"),
    "volume": ("the structures are larger", "the structures are smaller"),
}
_OTHERWISE = "its distribution of grey values is another"


class Finding(NamedTuple):
    """warnings: sentences for the user.  score: 1 is the 99th percentile of training cases; None where the model's
    package has no distribution to compare with.  beyond: why the calibration holds for no structure."""

    warnings: list[str]
    score: float | None
    beyond: str | None = None


def describe_image(prepared: Prepared) -> dict[str, float]:
    """uncertainty.image_statistics of the prepared image, all channels; of several, the names begin with
    "<number>."."""
    out = {}
    for number, channel in enumerate(prepared.array):
        before = f"{number}." if len(prepared.array) > 1 else ""
        out |= {before + name: value for name, value in image_statistics(channel[prepared.inside]).items()}
    return out


def check_input(
    package: ModelPackage, image: Image, prepared: Prepared, queries: Mapping[str, float] | None = None
) -> Finding:
    """What is odd about an image for a model: geometry, modality, and its statistics beside those of the training
    images. queries: see query_score."""
    warnings = [*_check_modality(package, image), *_check_blank(package, image, prepared)]
    warnings += _check_alike(package, image)
    warnings += check_geometry(package.distribution.get("geometry"), image, prepared)
    known, away = package.distribution.get("image"), None
    if known is not None:
        described = describe_image(prepared)
        away = distance(known, {**described, **(queries or {})})
    if away is not None and away.score > 1:
        mirrored = distance(known, inverted(described))
        if mirrored is not None and mirrored.score < MIRRORED * away.score:
            warnings.append(
                "dark and bright seem to be exchanged: the inverted image would look more like the training images"
            )
        warnings.append(_unusual(UNLIKE, away))
    score = None if away is None else away.score
    return Finding([*check_sides(image), *warnings], score, UNLIKE if warnings else None)


def check_opinions(package: ModelPackage, result: SegmentResult, asked: Mapping | None = None) -> Finding:
    """What is odd about a result: volumes, structures that the image cuts, and opinions that are less sure than usual.

    asked: the run's options, see comparable_options; how sure the opinions are is judged where they are as in the
    calibration only, since it is the options, else, and not the image that make the difference.
    """
    entries, warnings = package.distribution.get("structures", {}), []
    for segment in result.statistics:
        value = segment["label"]
        if str(value) in entries:
            mask = result.labelmap == value
            warnings += _check_structure(segment["name"], entries[str(value)], segment["volume_mm3"], mask)
    if asked is None:
        return Finding(warnings, None)
    judged_by = check_sureness(package, asked, lambda: describe_opinions(result))
    return judged_by._replace(warnings=[*warnings, *judged_by.warnings])


def check_sureness(package: ModelPackage, asked: Mapping, describe: Callable[[], dict], who: str = "") -> Finding:
    """Whether the opinions are as sure as those on the training cases; nothing is known of those with other options.

    asked: see check_opinions.  describe: gives the numbers, see describe_opinions.  who: what the sentence begins with.
    """
    known = package.distribution.get("opinions")
    if known is None or differing(package, asked):
        return Finding([], None)
    away = distance(known, describe())
    if away is None or away.score <= 1:
        return Finding([], None if away is None else away.score)
    return Finding([who + _unusual(DIFFERENT, away)], away.score, DIFFERENT)


def checked(result: SegmentResult, packages: Sequence[ModelPackage], findings: Sequence[Finding]) -> SegmentResult:
    """The result with a report that tells, beside its warnings, what is odd about image and opinions, each sentence
    once; and `input_score`, the highest of the scores (1 is the 99th percentile of the training cases; None where no
    model knows its own). The expected Dice is withheld where image, opinions or structure are beyond what it was fitted
    on; the ranges of the structures become the calibration's `structures`, for what is made of the result later.

    packages: of the models asked.  findings: of check_input and, of several models, check_sureness, which is asked here
    of a single one. With clicks, how sure the opinions are is not judged.
    """
    clicks = result.report.get("clicks")  # of whose places the opinions are sure
    asked = options_of(result.report["models"][0], result.report) if len(packages) == 1 and not clicks else None
    findings = [*findings, *(check_opinions(package, result, asked) for package in packages)]
    said = dict.fromkeys([*result.report["warnings"], *(warning for one in findings for warning in one.warnings)])
    scores = [round(one.score, 3) for one in findings if one.score is not None]
    beyond = next((one.beyond for one in findings if one.beyond), None)
    report = {**result.report, "warnings": list(said), "input_score": max(scores, default=None)}
    calibration = {**result.calibration, "structures": strictest(packages, result.labels)}
    before = {label.value: beyond for label in result.labels}
    report["segments"] = judged(result.statistics, before, calibration, result.labelmap, result.voxel_volume)
    return replace(result, calibration=calibration, report=report)


def _check_structure(name: str, entry: Mapping, volume: float, mask: np.ndarray) -> list[str]:
    (low, high), said = entry["volume"], f"{in_ml(volume)} ml" if volume else "not found"
    sentences = {
        SIZE: f"{name}: {said}, in the training cases {in_ml(low)} to {in_ml(high)} ml; check it",
        CUT: f"{name} touches the edge of the image, which may cut it; use an image that shows all of it",
    }
    return [sentences[odd] for odd in oddities(entry, volume, border_share(mask))]


def _check_modality(package: ModelPackage, image: Image) -> list[str]:
    warnings = []
    for number, (channel, values) in enumerate(zip(package.channels, image.array)):
        if number in image.missing:
            continue
        modality, low = channel.get("modality", ""), float(values.min())
        told = image.modalities[number] if image.modalities else ""
        if told and modality not in ("", "n/a") and not same_modality(told, modality):
            said = f"its DICOM files say that the image is {told}; {modality} is expected: is it the right scan?"
            warnings.append(f"{channel['name']}: {said}")
        elif modality == "CT" and low >= 0:
            warnings.append(f"{channel['name']}: no value is below 0; a CT in Hounsfield units is expected")
        elif modality not in ("CT", "") and low < HOUNSFIELD:
            said = f"values down to {low:g} look like those of a CT; {modality} is expected"
            warnings.append(f"{channel['name']}: {said}")
    return warnings


def _check_blank(package: ModelPackage, image: Image, prepared: Prepared) -> list[str]:
    """Of the channels as the network sees them: rare bright voxels may be all that a normalisation cuts off. A single
    voxel, of an image that is tiny in mm, tells nothing of it."""
    there = [number for number in range(len(prepared.array)) if number not in image.missing]
    parts = [prepared.array[number][prepared.inside] for number in there]
    if parts[0].size == 1:
        return []
    ends = [(float(part.min()), float(part.max())) for part in parts]
    blank = [high - low <= SAME * max(abs(low), abs(high)) for low, high in ends]
    if all(blank):
        return ["the image is constant: there is nothing to see in it"]
    names = [channel["name"] for channel, nothing in zip([package.channels[n] for n in there], blank) if nothing]
    return [f"{name}: this channel is constant, there is nothing to see in it; is it the right file?" for name in names]


def _check_alike(package: ModelPackage, image: Image) -> list[str]:
    """Channels that are the same image, as far as they are there and no colours, as a grey picture's are the same."""
    names = {n: package.channels[n]["name"] for n in range(len(image.array)) if n not in image.missing}
    pairs = combinations([n for n, name in names.items() if name.casefold() not in COLORS], 2)
    return [
        f"{names[one]} and {names[other]}: these channels are the same image; is each the right file?"
        for one, other in pairs
        if all(np.array_equal(image.array[one][part], image.array[other][part]) for part in (0, ...))  # most differ soon
        and np.ptp(image.array[one])  # else it is told as constant
    ]


def _unusual(what: str, away: Distance) -> str:
    name = away.oddest.rpartition(".")[2].split("_")[0] if "same" in away.oddest else away.oddest.rpartition(".")[2]
    more, less = _WORDS.get(name, (_OTHERWISE, _OTHERWISE))
    return (
        f"{what} ({more if away.deviations > 0 else less}; score {away.score:.1f}, below 1 for 99 % of them): "
        "do not trust the numbers without a look at the result"
    )
