"""What is told of a model as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..models.package import PAGE

if TYPE_CHECKING:
    from ..models.ensembles import Ensemble
    from ..models.package import ModelPackage


def print_json(data: Any) -> None:
    """Indented."""
    print(json.dumps(data, indent=2))


def model_entry(package: ModelPackage | Ensemble) -> dict[str, Any]:
    """As lists have it."""
    members = getattr(package, "members", None)  # of ensembles
    return {
        "name": package.name,
        "description": package.description,
        "folder": str(package.folder),
        **({} if members is None else {"members": [asdict(one) for one in members]}),
        "licence": package.licence,
        "channels": list(package.channels),
        "clicks": bool(package.clicks),
        "labels": [
            {"value": x.value, "name": x.name, "color": list(x.color), "terminology": x.terminology}
            for x in package.labels
        ],
    }


def model_details(package: ModelPackage) -> dict[str, Any]:
    """Everything but the numbers of its training cases, which its page tells."""
    page = package.folder / PAGE
    told = ("network", "preprocessing", "sampling", "calibration", "training", "attribution", "weights_sha256")
    files = {"page": str(page) if page.is_file() else None, "weights": str(package.weights_path)}
    return model_entry(package) | _told(package, told) | files


def ensemble_details(ensemble: Ensemble) -> dict[str, Any]:
    """Everything about an ensemble."""
    return model_entry(ensemble) | _told(ensemble, ("variants", "average", "calibration", "validation", "attribution"))


def _told(package: ModelPackage | Ensemble, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(package, name) for name in names}
