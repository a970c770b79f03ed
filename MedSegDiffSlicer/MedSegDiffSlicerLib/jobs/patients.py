"""Which volumes are of one patient, by their studies and by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from itertools import combinations

import slicer

from .image_kinds import KINDS, kind_of_volume, words_of

_NUMBERED = re.compile(r"^\d+: ")  # a series
_SIZE = re.compile(  # "0.8mm", "1x1x1 mm", "3T", "3D"
    r"(?<![a-z0-9])\d+(?:[.,]\d+)?(?:x\d+(?:[.,]\d+)?)*[ _]?(?:mm|d|t)(?![a-z0-9])", re.IGNORECASE
)
_SERIES = re.compile(r"(?<![0-9])((?:19|20)\d{12})[_ -]\d{1,4}$")  # its number behind the date and time of the study
_ATTACHED = sorted(KINDS - {"c"}, key=len, reverse=True)
_PLANES = {"ax", "axial", "tra", "transverse", "sag", "sagittal", "cor", "coronal", "2d", "3d"}


def study_of(volume) -> int:
    """The item of the folder of the subject hierarchy, usually a study, that the volume is in."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    item = hierarchy.GetItemByDataNode(volume)
    return hierarchy.GetItemParent(item) if item else hierarchy.GetSceneItemID()


def is_study(folder: int) -> bool:
    """Whether it is one of DICOM."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    return hierarchy.GetItemLevel(folder) == slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMLevelStudy()


def is_of_one_patient(folder: int, inside: Sequence, channels: Sequence[dict]) -> bool:
    """Whether the volumes inside a folder are of one patient whatever they are called: it is a study of DICOM, or there
    are no more of them than channels. What lies outside of all folders may be anybody's."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    return folder not in (0, hierarchy.GetSceneItemID()) and (is_study(folder) or len(inside) <= len(channels))


def of_same_patient(channels: Sequence[dict], active, volumes: Sequence) -> list:
    """The volumes but those that are, by their names, another patient's than the active one: their numbers tell it, or
    there is another of its kind whose name they are more like. What is of one patient anyway stays."""
    inside = [volume for volume in volumes if study_of(volume) == study_of(active)]
    if is_of_one_patient(study_of(active), inside, channels):
        return list(volumes)
    kinds = {volume: kind_of_volume(volume) for volume in (active, *volumes)}
    rivals = [volume for volume in volumes if volume is not active and kinds[volume] == kinds[active] is not None]

    def is_anothers(volume) -> bool:
        if kinds[volume] == kinds[active]:
            return False
        return any(unlikeness(volume, rival) < unlikeness(volume, active) for rival in rivals)

    return [
        volume for volume in volumes if not name_different_patients([active, volume]) and not is_anothers(volume)
    ]


def name_different_patients(volumes: Sequence) -> bool:
    """Whether of two of the volumes each has a word with a number in its name ("sub-02", "p2") that the other lacks."""
    words = [_numbers(volume.GetName()) for volume in volumes if volume is not None]
    return any(one - other and other - one for one, other in combinations(words, 2))


def unlikeness(volume, active) -> int:
    """Of two volumes' names, but for the kinds of image."""
    return len(_subject(volume) ^ _subject(active)) if active is not None else 0


@cache
def _numbers(name: str) -> set[str]:
    """The words with a number in a volume's name, but for sizes and the kinds of image that are attached to them
    ("sub01T1", "T1MPRAGE")."""
    words = words_of(_SIZE.sub(" ", _SERIES.sub(r"\1", _NUMBERED.sub("", name))))
    return set(filter(_is_numbered, map(_bare, words)))


def _bare(word: str) -> str:
    """Without kinds of image at its ends; nothing where no number is left behind one."""
    if word in KINDS or _SIZE.fullmatch(word):
        return ""
    for rest in (word.removeprefix(kind) for kind in _ATTACHED):
        if rest != word:
            return _bare(rest) if _is_numbered(rest) else ""
    for rest in (word.removesuffix(kind) for kind in _ATTACHED):
        if rest != word and _is_numbered(rest):
            return _bare(rest)
    return word


def _is_numbered(word: str) -> bool:
    return any(map(str.isdigit, word))


def _subject(volume) -> frozenset[str]:
    """The words of a volume's name that tell neither a kind of image nor its planes nor the number of a series
    ("301: ...")."""
    return words_of(_NUMBERED.sub("", volume.GetName())) - KINDS - _PLANES
