"""Calibration of an ensemble: its members together say more than each one's calibration knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import RequestError
from ..evaluation.dataset import Case
from ..image import Image
from ..inference.asking import Watch
from ..inference.engine import segment_image
from ..inference.ensemble import load_models, with_calibration
from ..inference.ensemble_request import request_for
from ..inference.result import SegmentResult
from ..models.ensembles import LOGITS, Ensemble, fingerprint, write_ensemble
from .calibrate import Report, fit_to_cases
from .information_page import write_page


def calibrate_ensemble(
    ensemble: Ensemble, cases: Sequence[Case], progress: Report | None = None, device: str = "auto",
    folder: Path | None = None,
) -> Ensemble:  # fmt: skip
    """Fits and stores an ensemble's calibration, with the samples, weights and variants that it tells, and writes its
    page.

    Calibrated models disagree, so that their mean is less sure than it is right (Rahaman & Thiery, 2021,
    arXiv:2007.08792): the fit is of the mean, after each member's own scaling.
    cases: that no member has learned from.  folder: where the calibrated ensemble is written; None for its own.
    Raises RequestError where the members cannot be asked together, their logits are averaged, or no case shows a
      structure.
    """
    if ensemble.average == LOGITS:
        raise RequestError(
            f"ensemble '{ensemble.name}' averages logits, which no calibration is fitted for; calibrate its members, "
            "or let it average probabilities"
        )
    say = progress or (lambda share, text: None)
    request = replace(request_for([str(ensemble.folder)], device=device), ensemble=None)
    models = load_models(request)

    def asked(image: Image, entry: dict, watch: Watch | None) -> SegmentResult:
        return segment_image(request, image, model=with_calibration(models, entry), watch=watch)

    entry, validation, reliability = fit_to_cases(asked, ensemble.foreground, cases, say)
    folder = ensemble.folder if folder is None else folder
    known = fingerprint(ensemble.packages)
    ensemble = replace(ensemble, folder=folder, calibration=entry, validation=validation, fitted_for=known)
    write_ensemble(ensemble)
    write_page(ensemble, reliability)
    say(1.0, f"wrote {folder}")
    return ensemble
