"""Which volumes are meant for a model's channels: suggested by their names, modality and study; doubts told in
words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from itertools import combinations

import slicer
from slicer.i18n import tr as _

# Kind of image and the words it goes by; a kind that stands earlier wins ("T2 FLAIR" is FLAIR).
WORDS = {
    "FLAIR": ("flair", "tirm", "t2f"),
    "T1c": ("t1c", "t1ce", "t1gd", "t1gad", "t1post", "t1km", "gd", "gad", "gadolinium"),
    "ADC": ("adc",),
    "DWI": ("dwi", "trace"),
    "SWI": ("swi", "swan"),
    "PD": ("pd", "pdw"),
    "T2": ("t2", "t2w", "haste", "ciss", "fiesta"),
    "T1": ("t1", "t1w", "t1n", "mprage", "mp2rage", "spgr", "bravo", "vibe"),
    "CT": ("ct", "cbct", "cta"),
    "PET": ("pet", "suv", "fdg"),
}
AGENT = {"post", "contrast", "ce", "km"}  # beside a word for T1, as a "c" right behind it
MODALITY = {"CT": "CT", "PET": "PT"}  # DICOM's name for the kinds that are no MR
NAMED, SAME_WORDS, SAME_STUDY, LOOKED_AT, CONTRADICTS = 8, 8, 3, 1, -8
_PLUS_C = re.compile(r"(?<![a-z0-9])t1w?[ _+.-]*c(?![a-z0-9]|[ _-]*spine)", re.IGNORECASE)
_NUMBERED = re.compile(r"^\d+: ")  # a series
_LONG = r"(?<=[A-Z]{3})(?=[a-z])"  # the end of several capitals
_KINDS = AGENT.union({"c"}, *WORDS.values())
_SIZE = re.compile(r"(?<![a-z0-9])(?:\d+(?:[.,]\d+)?x?)+[ _]?(?:mm|d|t)(?![a-z0-9])", re.IGNORECASE)  # "0.8mm", "3T"
_ATTACHED = sorted(_KINDS - {"c"}, key=len, reverse=True)


def suggest(channels: Sequence[dict], volumes: Sequence, active=None) -> list:
    """A volume for each channel, None where nothing speaks for one; no volume twice.

    channels: of a model's package.  volumes: candidates, the more likely ones first.  active: the one looked at.
    A model of one channel gets a volume unless its name or modality speaks against it. Of several that suit a channel
    equally, the one whose name is most like the active one's is suggested; for several channels none that is another
    patient's than the active one, unless that one suits no channel. A volume with as many components as there are
    channels (a colour picture) stands for all of them: it is the first, the others are None.
    """
    complete = next((volume for volume in volumes if is_complete(channels, volume)), None)
    if active is not None and is_complete(channels, active):
        complete = active
    if complete is None or active not in (None, complete):
        own = _of_same_patient(channels, active, volumes) if active is not None and len(channels) > 1 else volumes
        chosen = _best(channels, own, active)
        if len(own) < len(volumes) and active not in chosen:
            chosen = _best(channels, volumes, active)
        if complete is None or any(volume is not None for volume in chosen):
            return chosen
    return [complete] + [None] * (len(channels) - 1)


def _best(channels: Sequence[dict], volumes: Sequence, active) -> list:
    scores = [
        (_score(channel, volume, active), -_unlikeness(volume, active), -place, index, volume)
        for index, channel in enumerate(channels) for place, volume in enumerate(volumes)
    ]  # fmt: skip
    least = 0 if len(channels) == 1 else NAMED
    chosen: list = [None] * len(channels)
    for score, _unlike, _place, index, volume in sorted(scores, key=lambda entry: entry[:3], reverse=True):
        if score >= least and chosen[index] is None and volume not in chosen:
            chosen[index] = volume
    return chosen


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
    elif given and not _is_study(study_of(given[0])) and name_different_patients(given):
        told.append(_("The numbers in the volumes' names differ: are they of one patient?"))
    return told


def is_of_one_patient(folder: int, inside: Sequence, channels: Sequence[dict]) -> bool:
    """Whether the volumes inside a folder are of one patient whatever they are called: it is a study of DICOM, or there
    are no more of them than channels. What lies outside of all folders may be anybody's."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    return folder not in (0, hierarchy.GetSceneItemID()) and (_is_study(folder) or len(inside) <= len(channels))


def _of_same_patient(channels: Sequence[dict], active, volumes: Sequence) -> list:
    """The volumes but those that are, by their names, another patient's than the active one: their numbers tell it, or
    there is another of its kind whose name they are more like. What is of one patient anyway stays."""
    inside = [volume for volume in volumes if study_of(volume) == study_of(active)]
    if is_of_one_patient(study_of(active), inside, channels):
        return list(volumes)
    kinds = {volume: kind_of(_text(volume)) for volume in (active, *volumes)}
    rivals = [volume for volume in volumes if volume is not active and kinds[volume] == kinds[active] is not None]

    def is_anothers(volume) -> bool:
        if kinds[volume] == kinds[active]:
            return False
        return any(_unlikeness(volume, rival) < _unlikeness(volume, active) for rival in rivals)

    return [
        volume for volume in volumes if not name_different_patients([active, volume]) and not is_anothers(volume)
    ]


def name_different_patients(volumes: Sequence) -> bool:
    """Whether of two of the volumes each has a word with a number in its name ("sub-02", "p2") that the other lacks."""
    words = [_numbers(volume.GetName()) for volume in volumes if volume is not None]
    return any(one - other and other - one for one, other in combinations(words, 2))


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
    kind, words = kind_of(channel["name"]), _words(channel["name"])
    if kind is not None and kind_of(_text(volume)) == kind:
        score += NAMED
    elif words <= _words(_text(volume)):
        score += SAME_WORDS
    return score


def _contradicts(channel: dict, volume) -> bool:
    wanted, found = kind_of(channel["name"]), kind_of(_text(volume))
    if None not in (wanted, found):
        return wanted != found
    modality, told = channel.get("modality", ""), _modality(volume)
    return bool(modality and told and modality != told) or (
        found is not None and modality == "MR" and found in MODALITY
    )


def kind_of(text: str) -> str | None:
    """The kind of image that a name tells of (see WORDS), None where it tells of none."""
    words = _words(text)
    kind = next((kind for kind, known in WORDS.items() if words & set(known)), None)
    return "T1c" if kind == "T1" and (words & AGENT or _PLUS_C.search(text)) else kind


@cache
def _words(text: str) -> frozenset[str]:
    """Lower-case words, which end at signs and where capitals begin or end ("BrainFLAIR", "T1Gd", "CTChest", "T2FLAIR",
    "ADCmap"): those of each way to read it."""
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[0-9])(?=[A-Z][a-z])", " ", text)
    further = (re.sub(end, " ", parts) for end in (r"(?<=[A-Z])(?=[A-Z][a-z])|(?<=[0-9])(?=[A-Z])", _LONG))
    return frozenset(re.findall(r"[a-z0-9]+", " ".join([parts, *further]).lower()))


def _subject(volume) -> frozenset[str]:
    """The words of a volume's name that tell neither a kind of image nor the number of a series ("301: ...")."""
    return _words(_NUMBERED.sub("", volume.GetName())) - _KINDS


def _unlikeness(volume, active) -> int:
    """Of two volumes' names, but for the kinds of image."""
    return len(_subject(volume) ^ _subject(active)) if active is not None else 0


@cache
def _numbers(name: str) -> set[str]:
    """The words with a number in a volume's name, but for sizes and the kinds of image that are attached to them
    ("sub01T1")."""
    words = _words(_SIZE.sub(" ", _NUMBERED.sub("", name))) - _KINDS
    return {_bare(word) for word in words if any(map(str.isdigit, word))}


def _bare(word: str) -> str:
    for kind in _ATTACHED:
        for rest in (word.removeprefix(kind), word.removesuffix(kind)):
            if rest != word and any(map(str.isdigit, rest)):
                return rest
    return word


def _text(volume) -> str:
    return f"{volume.GetName()} {_dicom(volume, '0008,103e')} {_dicom(volume, '0018,1030')}"


def _modality(volume) -> str:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    item = hierarchy.GetItemByDataNode(volume)
    told = hierarchy.GetItemAttribute(
        item, slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    )
    return told or _dicom(volume, "0008,0060")


def study_of(volume) -> int:
    """The item of the folder of the subject hierarchy, usually a study, that the volume is in."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    item = hierarchy.GetItemByDataNode(volume)
    return hierarchy.GetItemParent(item) if item else hierarchy.GetSceneItemID()


def _is_study(folder: int) -> bool:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    return hierarchy.GetItemLevel(folder) == slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMLevelStudy()


def _dicom(volume, tag: str) -> str:
    """A value of the first file that the volume was read from; empty without application or database."""
    files = (volume.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    return database.instanceValue(files[0], tag) if files and database is not None else ""
