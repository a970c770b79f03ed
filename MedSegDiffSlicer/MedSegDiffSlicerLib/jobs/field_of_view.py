"""Whether a volume shows far more than what a model was trained on: a whole head for a model of a small part of it."""

from __future__ import annotations

import numpy as np
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError
from medsegdiff.image.orientation import nearest_axes
from medsegdiff.inference.geometry_checks import EXTENT
from medsegdiff.models.ensembles import Ensemble
from medsegdiff.models.package import ModelPackage

from ..nodes.volume_to_image import affine_of


def too_much(package: ModelPackage | Ensemble, volume) -> str:
    """What to say of it before hours are spent on it; empty where it fits, or the model does not tell."""
    package = package.packages[0] if isinstance(package, Ensemble) else package
    known = package.distribution.get("geometry") or {}
    orientation = package.preprocessing.get("orientation", "RAS")
    if volume is None or volume.GetImageData() is None or "extent" not in known or not isinstance(orientation, str):
        return ""
    try:
        affine = affine_of(volume)
    except RequestError:  # it is told at Run
        return ""
    sizes = np.linalg.norm(affine[:3, :3], axis=0) * volume.GetImageData().GetDimensions()
    order, _flips = nearest_axes(affine, orientation)
    if not any(side and size > EXTENT * side[1] for size, side in zip(sizes[list(order)], known["extent"])):
        return ""
    most = " x ".join(_("any") if side is None else f"{side[1]:.0f}" for side in known["extent"])
    spans = " x ".join(f"{size:.0f}" for size in sizes[list(order)])
    text = _("'{volume}' shows {spans} mm, the scans that the model knows {most} mm at most.")
    return text.format(volume=volume.GetName(), spans=spans, most=most)
