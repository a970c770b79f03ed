"""All that is known about a model, as a page for people."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..models.ensembles import Ensemble
from ..models.package import PAGE, ModelPackage
from ..models.provenance import doubt, stages

WIDTH = 100  # characters
_TITLE = 16
# Cross-validated figures of a package, in words.
_FIGURES = {
    "ece": "calibration error {:.4f} (cross-validated, all voxels near the structures together)",
    "expected_dice_error": "mean error of the expected Dice {:.3f}",
    "expected_dice_spearman": "rank correlation of expected and true Dice {:.2f} (all structures together)",
    "coverage": "volumes within their interval {:.0%}",
}


def model_page(package: ModelPackage) -> str:
    """Several lines. What the package does not tell is left out."""
    rows = [
        ("inputs", [_channel(channel) for channel in package.channels]),
        ("structures", [f"{label.value}  {label.name}" for label in package.foreground]),
        ("clicks", ["heeded by the network" if package.clicks else "heeded by its samples only"]),
        ("asked for", [_sampling(package.sampling)]),
        ("network", [str(package.network["name"])]),
        ("quality", _quality(package.training.get("validation"))),
        ("trained on", [f"{', then '.join(map(str, cases))} cases"] if (cases := stages(package.training)) else []),
        ("training data", [package.attribution]),
        ("licence", [package.licence or "not stated"]),
        ("size", [f"{_size(package.folder) / 1e6:.1f} MB"]),
        ("folder", [str(package.folder)]),
        ("SHA-256", [package.weights_sha256]),
        ("more", _own_page(package)),
    ]
    return _page(package, rows)


def ensemble_page(ensemble: Ensemble) -> str:
    """Likewise of an ensemble."""
    total = sum(member.weight for member in ensemble.members)
    rows = [
        ("inputs", [_channel(channel) for channel in ensemble.channels]),
        ("structures", [f"{label.value}  {label.name}" for label in ensemble.foreground]),
        ("asks", [f"{one.model}: {one.samples} sample{'s'[: one.samples > 1]}, counting {one.weight:.3g} of {total:.3g}"
                  for one in ensemble.members]),
        ("averages", [ensemble.average]),
        ("quality", _quality(ensemble.validation)),
        ("training data", ensemble.attribution.splitlines()),
        ("licence", [ensemble.licence or "not stated"]),
        ("folder", [str(ensemble.folder)]),
        ("more", [*_own_page(ensemble), "medsegdiff models info MODEL, of each"]),
    ]  # fmt: skip
    return _page(ensemble, rows)


def _page(package: ModelPackage | Ensemble, rows: list[tuple[str, list[str]]]) -> str:
    lines = [package.name, *textwrap.wrap(package.description, WIDTH), ""]
    for title, texts in rows:
        lines += _row(title, [text for text in texts if text])
    return "\n".join(lines)


def _own_page(package: ModelPackage | Ensemble) -> list[str]:
    page = package.folder / PAGE
    return [str(page)] if page.is_file() else []


def _row(title: str, texts: list[str]) -> list[str]:
    """The texts below each other, beside their title."""
    lines = []
    for text in texts:
        lines += textwrap.wrap(text, WIDTH - _TITLE, break_long_words=False, break_on_hyphens=False) or [""]
    titles = [f"{title}:", *[""] * len(lines)]
    return [f"{name:{_TITLE}}{line}" for name, line in zip(titles, lines)]


def _channel(channel: Mapping[str, Any]) -> str:
    modality = channel.get("modality")
    name = f"{channel['name']} ({modality})" if modality and modality not in channel["name"] else channel["name"]
    return f"{name}, may be missing" if channel.get("optional", False) else name


def _sampling(sampling: Mapping[str, Any]) -> str:
    samples, steps = sampling.get("samples", 1), sampling.get("steps", 1)
    if samples == 1:
        return "one answer"
    if "steps" not in sampling:  # no diffusion
        return f"{samples} answers"
    return f"{samples} samples of {steps} step{'s'[: steps > 1]} ({sampling.get('sampler', 'ddim')})"


def _quality(validation: Any) -> list[str]:
    """What validation found. Free-form data of the package: what is not a number is left out."""
    if not isinstance(validation, Mapping):
        return []
    dice, checked = (validation.get(name) for name in ("dice", "cross_validated"))
    found = [f"Dice {value:.3f}  {name}" for name, value in _numbers(dice).items()]
    figures = _numbers(checked)
    found += [text.format(figures[name]) for name, text in _FIGURES.items() if name in figures]
    cases = validation.get("cases")
    return [doubt(validation) or f"on {cases} cases", *found] if found and isinstance(cases, int) else found


def _numbers(values: Any) -> dict[str, float]:
    return {k: v for k, v in values.items() if isinstance(v, (int, float))} if isinstance(values, Mapping) else {}


def _size(folder: Path) -> int:
    """Bytes of all its files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
