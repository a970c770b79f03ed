"""What the effect's options mean for the engine: volumes, region and request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from slicer.i18n import tr as _

from medsegdiff.errors import RequestError
from medsegdiff.inference.ensemble_request import request_for
from medsegdiff.inference.missing_channels import absent
from medsegdiff.inference.request import SegmentRequest
from medsegdiff.models.ensembles import Ensemble, find_installed, list_installed
from medsegdiff.models.package import ModelPackage
from medsegdiff.models.store import find_model

from ..nodes.region_of_interest import Box, around_segment, inside_roi, whole
from .batch_cases import scans
from .channels import chosen_inputs, missing_channels, suggest
from .patients import study_of

WHOLE, BOX, SEGMENT = REGIONS = ("whole", "box", "segment")


class Choices(NamedTuple):
    """model: its name.  samples, steps: 1 - 1000.  region: one of REGIONS.  roi: the box's node.  margin: mm around the
    current segment."""

    model: str
    samples: int
    steps: int
    region: str = WHOLE
    roi: object = None
    margin: float = 20.0


def prepare(choices: Choices, editor_node) -> tuple[list, Box, SegmentRequest]:
    """Volumes (a channel each), the part of them, and the request.  editor_node: the vtkMRMLSegmentEditorNode.

    A model of several channels gets those volumes beside the source volume that suit it by name and study.
    Raises RequestError where something is missing.
    """
    source = editor_node.GetSourceVolumeNode()
    if source is None or source.GetImageData() is None:
        raise RequestError(_("there is no source volume; choose one above"))
    package = _find(choices.model)
    request = request_of(package.folder, {"samples": choices.samples, "steps": choices.steps})
    volumes, request = given_volumes(inputs_of(package, source), request)
    return volumes, _region(choices, editor_node, volumes[0]), request


def request_of(model: str | Path | Sequence[str | Path], options: dict) -> SegmentRequest:
    """The request for a model, an ensemble or several models, whose folders it names: another process may search
    others.

    Raises RequestError where they or the options cannot be used.
    """
    models = as_list(model)
    if not models or not all(isinstance(name, (str, Path)) for name in models):
        raise RequestError(_("model {given!r} cannot be used; give the name of one, or several").format(given=model))
    found = [_find(name) for name in models]
    request = request_for([_folder(one) for one in found], **options)
    members = found[0].packages if isinstance(found[0], Ensemble) else found
    first, *others = [_folder(package) for package in members]
    return replace(request, model=first, others=tuple(others))


def as_list(given) -> list:
    """What one may give alone or as several."""
    return list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]


def given_volumes(volumes: Sequence, request: SegmentRequest) -> tuple[list, SegmentRequest]:
    """The volumes that there are, and the request that names the channels without one, which are None among the
    volumes."""
    given = [volume for volume in volumes if volume is not None]
    if len(given) == len(volumes) or not given:
        return given, request
    present = [number for number, volume in enumerate(volumes) if volume is not None]
    return given, replace(request, missing=absent(find_model(request.model).channels, present))


def _find(model: str | Path) -> ModelPackage | Ensemble:
    """By name, as lists show it, before a folder of that name where Slicer happens to have been started."""
    return next((one for one in list_installed() if one.name == model), None) or find_installed(model)


def _folder(package: ModelPackage | Ensemble) -> str:
    return str(package.folder.resolve())


def inputs_of(package: ModelPackage | Ensemble, source) -> list:
    """The source volume, or what suits the model's channels best of its study, None for those that it does without.
    Raises RequestError where a channel lacks."""
    if len(package.channels) == 1:
        return [source]
    study = [volume for volume in scans(source.GetScene()) if study_of(volume) == study_of(source)]
    chosen = suggest(package.channels, study, active=source)
    missing = missing_channels(package.channels, chosen)
    if missing:
        raise RequestError(
            _(
                "no volume beside '{volume}' was found for {channels}, of the same patient by study and name; load it "
                "into the same study, or choose volumes in the module MedSegDiff"
            ).format(volume=source.GetName(), channels=", ".join(missing))
        )
    volumes = chosen_inputs(package.channels, chosen)
    if source not in volumes:
        names = ", ".join(f"'{volume.GetName()}'" for volume in volumes if volume is not None)
        raise RequestError(
            _(
                "the source volume '{volume}' is none of those that suit the model ({names}); make one "
                "of them the source volume, or choose volumes in the module MedSegDiff"
            ).format(volume=source.GetName(), names=names)
        )
    return volumes


def _region(choices: Choices, editor_node, volume) -> Box:
    """The part of the volume."""
    if choices.region == BOX:
        if choices.roi is None:
            raise RequestError(_("there is no box; choose or create one"))
        return inside_roi(volume, choices.roi)
    if choices.region == SEGMENT:
        segmentation_node, segment_id = editor_node.GetSegmentationNode(), editor_node.GetSelectedSegmentID()
        segmentation = segmentation_node.GetSegmentation() if segmentation_node else None
        if not segment_id or segmentation is None or segmentation.GetSegment(segment_id) is None:
            raise RequestError(_("no segment is selected; select one, or choose another region"))
        return around_segment(volume, segmentation_node, segment_id, choices.margin)
    return whole(volume)
