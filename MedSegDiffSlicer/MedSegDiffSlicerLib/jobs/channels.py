"""Which volumes are meant for a model's channels: suggested by their names, modality and study; doubts told in
words."""

from __future__ import annotations

from collections.abc import Sequence

import slicer
from slicer.i18n import tr as _

from .image_kinds import dicom_value, kind_of, kind_of_volume, text_of, words_of
from .patients import is_study, name_different_patients, of_same_patient, study_of, unlikeness

MODALITY = {"CT": "CT", "PET": "PT"}  # DICOM's name for the kinds that are no MR
NAMED, SAME_WORDS, SAME_STUDY, LOOKED_AT, CONTRADICTS = 8, 8, 3, 1, -8


def suggest(channels: Sequence[dict], volumes: Sequence, active=None) -> list:
    """A volume for each channel, None where nothing speaks for one; no volume twice.

    channels: of a model's package.  volumes: candidates, the more likely ones first.  active: the one looked at.
    A model of one channel gets a volume, no colours or vectors, unless its name or modality speaks against it. Of
    several that suit a channel equally, the one whose name is most like the active one's is suggested; for several
    channels none that is another patient's than the active one, unless that one suits no channel. A volume with as many
    components as there are channels (a colour picture) stands for all of them: it is the first, the others are None.
    """
    complete = next((volume for volume in volumes if is_complete(channels, volume)), None)
    if active is not None and is_complete(channels, active):
        complete = active
    if complete is None or active not in (None, complete):
        own = of_same_patient(channels, active, volumes) if active is not None and len(channels) > 1 else volumes
        chosen = _best(channels, own, active)
        if len(own) < len(volumes) and active not in chosen:
            chosen = _best(channels, volumes, active)
        if complete is None or any(volume is not None for volume in chosen):
            return chosen
    return [complete] + [None] * (len(channels) - 1)


def _best(channels: Sequence[dict], volumes: Sequence, active) -> list:
    volumes = list(filter(is_one_channel, volumes))
    scores = [
        (_score(channel, volume, active), -unlikeness(volume, active), -place, index, volume)
        for index, channel in enumerate(channels) for place, volume in enumerate(volumes)
    ]  # fmt: skip
    least = 0 if len(channels) == 1 else NAMED
    chosen: list = [None] * len(channels)
    for score, _unlike, _place, index, volume in sorted(scores, key=lambda entry: entry[:3], reverse=True):
        if score >= least and chosen[index] is None and volume not in chosen:
            chosen[index] = volume
    return chosen


def is_one_channel(volume) -> bool:
    """Whether its voxels are single numbers, not colours or vectors."""
    image = volume.GetImageData()
    return image is None or image.GetNumberOfScalarComponents() == 1


def is_complete(channels: Sequence[dict], volume) -> bool:
    """Whether the volume alone holds all of several channels: a colour picture (alpha aside) or a vector volume."""
    image = volume.GetImageData() if volume is not None else None
    if image is None or len(channels) < 2:
        return False
    alpha = volume.GetVoxelVectorType() == slicer.vtkMRMLVolumeNode.VoxelVectorTypeColorRGBA
    return image.GetNumberOfScalarComponents() - alpha == len(channels)


def chosen_inputs(channels: Sequence[dict], volumes: Sequence) -> list:
    """The volumes to be sent, without what a complete one makes needless; see missing_channels before. None for a
    channel that the model does without."""
    if volumes and is_complete(channels, volumes[0]):
        return [volumes[0]]
    return list(volumes[: len(channels)])


def missing_channels(channels: Sequence[dict], volumes: Sequence) -> list[str]:
    """Names of the channels for which a volume is to be chosen yet: of all where there is none, else of those without
    which the model cannot do."""
    if volumes and is_complete(channels, volumes[0]):
        return []
    padded = [*volumes, *[None] * len(channels)]
    some = any(volume is not None for volume in volumes)
    return [
        channel["name"] for channel, volume in zip(channels, padded)
        if volume is None and not (some and channel.get("optional", False))
    ]  # fmt: skip


def first_of(volumes: Sequence):
    """The first volume that there is."""
    return next(volume for volume in volumes if volume is not None)


def doubts(channels: Sequence[dict], volumes: Sequence) -> list[str]:
    """What is strange about the choice, in words for the user; empty where nothing is."""
    told = []
    for channel, volume in zip(channels, chosen_inputs(channels, volumes)):
        if volume is not None and not is_complete(channels, volume) and _contradicts(channel, volume):
            text = _("'{volume}' does not look like {channel}.")
            told.append(text.format(volume=volume.GetName(), channel=title_of(channel)))
    given = [volume for volume in volumes if volume is not None]
    if len(set(given)) < len(given):
        told.append(_("The same volume is chosen for two channels."))
    if len(set(map(study_of, given))) > 1:
        told.append(_("The volumes are of different studies: are they of one patient?"))
    elif given and not is_study(study_of(given[0])) and name_different_patients(given):
        told.append(_("The numbers in the volumes' names differ: are they of one patient?"))
    return told


def title_of(channel: dict) -> str:
    """The channel as it is shown: its name, with the modality where the name does not tell it."""
    modality = channel.get("modality", "")
    return channel["name"] if modality in ("", channel["name"]) else f"{channel['name']} ({modality})"


def _score(channel: dict, volume, active) -> int:
    score = LOOKED_AT if volume is active else 0
    if active is not None and study_of(volume) == study_of(active):
        score += SAME_STUDY
    if _contradicts(channel, volume):
        return score + CONTRADICTS
    kind, words = kind_of(channel["name"]), words_of(channel["name"])
    if kind is not None and kind_of_volume(volume) == kind:
        score += NAMED
    elif words <= words_of(text_of(volume)):
        score += SAME_WORDS
    return score


def _contradicts(channel: dict, volume) -> bool:
    wanted, found = kind_of(channel["name"]), kind_of_volume(volume)
    if None not in (wanted, found):
        return wanted != found
    modality, told = channel.get("modality", ""), _modality(volume)
    return bool(modality and told and modality != told) or (
        found is not None and modality == "MR" and found in MODALITY
    )


def _modality(volume) -> str:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    item = hierarchy.GetItemByDataNode(volume)
    told = hierarchy.GetItemAttribute(
        item, slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    )
    return told or dicom_value(volume, "0008,0060")
