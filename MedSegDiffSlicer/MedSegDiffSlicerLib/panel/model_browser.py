"""What the model browser tells and does, without Qt."""

from __future__ import annotations

from html import escape
from pathlib import Path

from slicer.i18n import tr as _

from medsegdiff.models.ensembles import Ensemble
from medsegdiff.models.importing import remove_package
from medsegdiff.models.package import ModelPackage
from medsegdiff.models.provenance import stages
from medsegdiff.models.store import user_store

from ..jobs.channels import title_of

PICTURE = Path("docs/reliability.png")
# Cross-validated figures of the package and their digits.
FIGURES = {"ece": 4, "expected_dice_spearman": 2, "expected_dice_error": 3, "coverage": 3}


def describe(package: ModelPackage | Ensemble) -> str:
    """All that a user wants to know before trusting the model, as rich text."""
    inputs = escape(", ".join(title_of(channel) for channel in package.channels))
    parts = [f"<p>{escape(package.description)}</p>", _table([*_labels(package), (_("Inputs"), inputs)])]
    if quality := _quality(package):
        title = escape(_("Measured quality"))
        parts.append(f"<p><b>{title}</b></p>{_table(quality)}")
    parts.append(_table(_provenance(package)))
    return "".join(parts)


def picture_of(package: ModelPackage | Ensemble) -> Path | None:
    """Its reliability diagram."""
    path = package.folder / PICTURE
    return path if path.is_file() else None


def size_on_disk(package: ModelPackage | Ensemble) -> int:
    """Bytes of all its files."""
    return sum(path.stat().st_size for path in package.folder.rglob("*") if path.is_file())


def is_removable(package: ModelPackage | Ensemble) -> bool:
    """Whether the user imported it."""
    return package.folder.resolve().parent == user_store().resolve()


def remove(package: ModelPackage | Ensemble) -> None:
    """Deletes an imported model. Raises RequestError for another one."""
    remove_package(package.name)


def _labels(package: ModelPackage | Ensemble) -> list[tuple[str, str]]:
    square = '<span style="color:rgb({},{},{})">&#9632;</span> {}'
    shown = [square.format(*label.color, escape(label.name)) for label in package.foreground]
    return [(_("Structures"), "<br>".join(shown))]


def _quality(package: ModelPackage | Ensemble) -> list[tuple[str, str]]:
    """What validation found. Free-form data of the package: whatever is not there is left out."""
    validation = package.training.get("validation")
    if not isinstance(validation, dict):
        return []
    rows = []
    if isinstance(dice := validation.get("dice"), dict):
        rows += [
            (_("Dice, {structure}").format(structure=name), f"{value:.3f}")
            for name, value in dice.items() if isinstance(value, (int, float))
        ]  # fmt: skip
    titles = {
        "ece": _("Calibration error"),
        "expected_dice_spearman": _("Rank correlation of expected and true Dice"),
        "expected_dice_error": _("Mean error of the expected Dice"),
        "coverage": _("Volumes within their interval"),
    }
    checked = validation.get("cross_validated")
    for name, digits in FIGURES.items():
        value = checked.get(name) if isinstance(checked, dict) else None
        if isinstance(value, (int, float)):
            text = f"{100 * value:.0f} %" if name == "coverage" else f"{value:.{digits}f}"
            rows.append((titles[name], text))
    if rows and isinstance(validation.get("cases"), int):
        rows.append((_("Cases measured on"), str(validation["cases"])))
    return rows


def _provenance(package: ModelPackage | Ensemble) -> list[tuple[str, str]]:
    cases = stages(package.training)
    rows = [(_("Licence"), escape(package.licence or _("not stated")))]
    if cases:
        rows.append((_("Trained on"), _("{cases} cases").format(cases=_(", then ").join(map(str, cases)))))
    if package.attribution:
        rows.append((_("Training data"), escape(package.attribution)))
    folder = escape(str(package.folder)).replace("/", "/&#8203;").replace("\\", "\\&#8203;")  # may break there
    if isinstance(package, Ensemble):
        rows.append((_("Asks together"), escape(", ".join(member.model for member in package.members))))
    else:
        size = _("{megabytes:.1f} MB").format(megabytes=size_on_disk(package) / 1e6)
        rows.append((_("Size on disk"), size))
    return [*rows, (_("Folder"), folder)]


def _table(rows: list[tuple[str, str]]) -> str:
    cells = "".join(
        f'<tr><td valign="top">{escape(title)}:&nbsp;</td><td>{text}</td></tr>' for title, text in rows
    )
    return f'<table cellspacing="2">{cells}</table>'
