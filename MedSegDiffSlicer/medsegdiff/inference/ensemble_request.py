"""The request for models by name, where the name of an ensemble stands for its members."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import RequestError
from ..models.ensembles import find_ensemble
from .request import SegmentRequest


def request_for(models: Sequence[str], **options) -> SegmentRequest:
    """The request for these models with these options (see SegmentRequest).

    An ensemble's name, or its folder, stands for its members, and for samples, weights and variants where the options
    do not tell them. A single number of samples is for the members that are asked for most, see Ensemble.samples.
    Raises RequestError where an ensemble is broken or named beside others, or an option is out of its range.
    """
    ensembles = [(name, find_ensemble(name)) for name in models]
    named, ensemble = next((pair for pair in ensembles if pair[1] is not None), (None, None))
    if ensemble is None:
        first, *others = models
        return SegmentRequest.from_dict({"model": first, "others": tuple(others), **options})
    names = [member.model for member in ensemble.members]
    if len(models) > 1:
        raise RequestError(
            f"the ensemble '{ensemble.name}' is asked alone; to ask others, too, name its members: {', '.join(names)}"
        )
    given = dict(options)
    samples = given.get("samples")
    if isinstance(samples, Sequence) and len(samples) == 1:
        samples = samples[0]
    if not isinstance(samples, Sequence):
        SegmentRequest(names[0], samples=samples)  # says what is wrong with it
        given["samples"] = ensemble.samples(samples)
    if given.get("weights") is None:
        given["weights"] = tuple(member.weight for member in ensemble.members)
    if given.get("variants") is None and given.get("tta") is None:
        given["variants"] = ensemble.variants
    return SegmentRequest.from_dict({"model": names[0], "others": tuple(names[1:]), **given, "ensemble": named})
