"""What the training cases of a model look like, for the checks of images to come."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..evaluation.dataset import Case
from ..inference.asking import preprocessing_for
from ..inference.comparable_options import options_of
from ..inference.describe_opinions import describe_opinions
from ..inference.engine import segment_image
from ..inference.geometry_checks import describe_geometry
from ..inference.input_checks import describe_image
from ..inference.model import Model
from ..inference.query_score import describe_queries
from ..inference.request import SegmentRequest
from ..inference.structure_ranges import border_share
from ..uncertainty.distribution import fit_distribution

MOST, SEGMENTED = 400, 80  # cases that are looked at, and that are segmented, too; evenly spread


def describe_training(model: Model, cases: Sequence[Case], progress: Callable[[float, str], None]) -> dict:
    """The package's `distribution`.

    `cases`; `geometry`: `spacing` and `extent`, [least, most] in mm of each axis as the model wants them, null for axes
    of one voxel; `image` and `opinions`: see uncertainty.distribution (the latter with `asked`, the options it holds
    for);
    `structures`: label -> `volume`, [least, most] in mm^3, and `border`, the largest share of its voxels on the image's
    faces.
    """
    cases = [cases[i] for i in _spread(len(cases), MOST)]
    segmented = set(_spread(len(cases), SEGMENTED))
    request = SegmentRequest(model=model.package.name)
    images, opinions, places, shapes, asked = [], [], [], [], {}
    sizes: dict[int, list[tuple[float, float]]] = {label.value: [] for label in model.package.foreground}
    for n, case in enumerate(cases):
        progress(n / len(cases), f"training case {n + 1}/{len(cases)}")
        image, reference = case.read()
        preprocessing = preprocessing_for(request, model, image)
        prepared = preprocessing.prepare(image)
        images.append({**describe_image(prepared), **describe_queries(model, preprocessing, prepared)})
        places.append(describe_geometry(image, prepared))
        shapes.append([image.shape[axis] for axis in prepared.plan.order])
        if n in segmented:
            result = segment_image(request, image, model=model)
            opinions.append(describe_opinions(result))
            asked = options_of(result.report["models"][0], result.report)
        for value, found in sizes.items():
            mask = reference == value
            found.append((np.count_nonzero(mask) * image.voxel_volume, border_share(mask)))
    spacing, extent = (_ranges(np.array([place[i] for place in places]), np.array(shapes)) for i in (0, 1))
    known = {"image": fit_distribution(images), "opinions": fit_distribution([row for row in opinions if row])}
    if known["opinions"] is not None:
        known["opinions"]["asked"] = asked
    structures = {}
    for value, found in sizes.items():
        volumes, borders = zip(*found)
        structures[str(value)] = {
            "volume": [_rounded(min(volumes)), _rounded(max(volumes))],
            "border": _rounded(max(borders)),
        }
    geometry = {"spacing": spacing, "extent": extent}
    described = {name: entry for name, entry in known.items() if entry is not None}
    return {"cases": len(cases), "geometry": geometry, "structures": structures, **described}


def _spread(count: int, most: int) -> list[int]:
    """At most so many of `count` numbers, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int)).tolist()


def _ranges(values: np.ndarray, shapes: np.ndarray) -> list[list[float] | None]:
    thick = (shapes > 1).all(0)
    return [[_rounded(v.min()), _rounded(v.max())] if some else None for v, some in zip(values.T, thick)]


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
